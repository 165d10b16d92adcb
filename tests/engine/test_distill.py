"""A student and its teacher: what the cascade keeps, what it costs, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, scan, screen
from matscreen.engine.cascade import Look, looks
from matscreen.engine.distill import compositions, distill, measure, sample, systems
from matscreen.engine.scan import resume
from matscreen.engine.schema import composition_arrays
from matscreen.engine.screen import screen_chunk
from matscreen.kernels.hull import hull_energies
from matscreen.models import Model, ModelError
from matscreen.models.catalogue import SHIPPED, student_file, systems_file
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError
from matscreen.models.fit import fit
from matscreen.models.recipe import Recipe
from matscreen.models.target import Target

SPACE = CompositionSpace("Li,Na,Mg,Al,Ti,Fe,O,S", arity=(2, 3))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, phases: PhaseTable) -> Model:
    """ElemNet with a student of a small space."""
    folder = tmp_path_factory.mktemp("taught")
    for suffix in (".safetensors", ".json"):
        shutil.copy(SHIPPED / f"elemnet-oqmd{suffix}", folder)
    teacher = models.load(folder / "elemnet-oqmd.safetensors")
    recipe = replace(compositions.RECIPE, epochs=12, batch=64)
    of_systems = replace(systems.RECIPE, epochs=30, batch=32)
    return distill(teacher, phases, 4000, 20_000, recipe, of_systems, SPACE)


def test_sampling_takes_each_arity_and_follows_the_seed() -> None:
    elements, amounts = sample(SPACE, 20_000, np.random.default_rng(1))
    again = sample(SPACE, 20_000, np.random.default_rng(1))
    np.testing.assert_array_equal(elements, again[0])
    np.testing.assert_array_equal(amounts, again[1])
    arity = (elements > 0).sum(axis=1)
    sizes = np.sqrt([block.stop - block.start for block in SPACE.blocks])
    assert [(arity == k).sum() for k in (2, 3)] == np.rint(20_000 * sizes / sizes.sum()).tolist()
    assert (arity[:100] == 2).any()
    assert (arity[:100] == 3).any()


def test_the_cascade_keeps_what_the_model_alone_keeps(taught: Model, phases: PhaseTable) -> None:
    chunk = SPACE[:]
    alone, both = (screen_chunk(chunk, taught, phases, 0.2, False, exact) for exact in (True, False))
    kept = pa.Table.from_batches([both.candidates]).to_pylist()
    by_id = {row["id"]: row for row in pa.Table.from_batches([alone.candidates]).to_pylist()}
    assert all(by_id[row["id"]] == row for row in kept)  # the same digits, too
    assert len(kept) > 200
    assert len(by_id) - len(kept) < 0.02 * len(by_id)  # a fifth of the space was not measured on
    assert alone.refined == alone.screened == both.screened == len(SPACE)
    assert len(both.candidates) <= both.refined < 0.9 * len(SPACE)
    assert screen(chunk, taught, phases, exact=True).equals(
        screen(chunk, replace(taught, student=None, systems=None), phases)
    )


@pytest.mark.parametrize("which", ["student", "systems"])
def test_the_band_covers_what_was_measured(taught: Model, phases: PhaseTable, which: str) -> None:
    student = getattr(taught, which)
    assert student
    told = student.model.card["distillation"]
    assert told["teacher_flop_per_student_flop"] > 30
    assert set(told["calibrated_on"]) == {"2", "3"}
    assert sum(told["calibrated_on"].values()) == 20_000
    for arity in (2, 3):
        assert 0 < told["rmse_ev_atom"][str(arity)] < 0.9
        named = told["bands_ev_atom"][str(arity)]
        assert named == student.bands[arity]
        assert set(named) <= {"Li", "Na", "Mg", "Al", "Ti", "Fe", "O", "S"}
    furthest, largest = told["furthest_above_ev_atom"]["3"], max(told["bands_ev_atom"]["3"].values())
    assert largest == pytest.approx(2 * furthest + 1e-3, abs=2e-3)
    bands = student.bands_ev_atom(4)
    assert bands[3, 12] == told["bands_ev_atom"]["3"]["Mg"]
    assert np.isinf(bands[3, [0, 27]]).all()  # no band of an empty place, nor of an element that was not seen
    assert np.isinf(bands[4]).all()  # of which none was measured
    (fresh,) = measure(taught, [student.model], phases, SPACE, 3000, np.random.default_rng(9))
    assert fresh["rmse_ev_atom"][3] == pytest.approx(told["rmse_ev_atom"]["3"], rel=0.2)


@pytest.mark.parametrize("which", ["student", "systems"])
def test_a_narrow_band_loses_candidates(taught: Model, phases: PhaseTable, which: str) -> None:
    student = getattr(taught, which)
    none = {n: dict.fromkeys(of, 0.0) for n, of in student.bands.items()}
    blind = replace(taught, **{which: replace(student, bands=none)})
    chunk = SPACE[:]
    assert len(screen(chunk, blind, phases)) < 0.95 * len(screen(chunk, taught, phases))


def test_a_band_is_the_least_of_its_elements() -> None:
    bands = np.full((5, 256), np.inf)
    bands[2, [3, 8]], bands[3, [3, 8, 26]] = [0.4, 0.3], [0.1, 0.2, 0.0]
    look = Look(models.load(), None, 0.0, bands)
    given = np.array([[3, 8, 0, 0], [3, 8, 26, 0], [3, 8, 27, 0], [3, 27, 0, 0], [27, 28, 0, 0]], np.uint8)
    np.testing.assert_array_equal(look.band(given), [0.3, 0.0, 0.1, 0.4, np.inf])


def test_bands_come_from_compositions_below_the_hull(taught: Model, phases: PhaseTable) -> None:
    """Against a plain loop over the same sample."""
    assert taught.student
    small = taught.student.model
    (told,) = measure(taught, [small], phases, SPACE, 15_000, np.random.default_rng(4))
    elements, amounts = sample(SPACE, 15_000, np.random.default_rng(4))
    truth, said = (one.energies(elements, amounts).astype(float) for one in (taught, small))
    below = truth < hull_energies(elements, amounts, phases.index)
    for arity in (2, 3):
        for symbol in ("Li", "Na", "Mg", "Al", "Ti", "Fe", "O", "S"):
            has = (elements == ATOMIC_NUMBERS[symbol]).any(axis=1)
            errors = (said - truth)[below & has & ((elements > 0).sum(axis=1) == arity)]
            expected = round(2 * max(errors.max(), 0) + 1e-3, 3) if len(errors) >= 1000 else None
            assert told["bands_ev_atom"][arity].get(symbol) == expected


def test_runs_remember_whether_a_student_looked(taught: Model, phases: PhaseTable, tmp_path: Path) -> None:
    space = CompositionSpace("Li-Fe-O")
    both = scan(space, taught, phases, tmp_path / "both", 0.05)
    alone = scan(space, taught, phases, tmp_path / "alone", 0.05, exact=True)
    assert both.candidates.equals(alone.candidates)
    configs = [json.loads((run.path / "run.json").read_text()) for run in (both, alone)]
    assert taught.student
    assert taught.systems
    students = f"{taught.systems.model.checksum} {taught.student.model.checksum}"
    assert [config["model"]["student"] for config in configs] == [students, ""]
    assert configs[0]["fingerprint"] != configs[1]["fingerprint"]
    assert alone.summary["predicted_by_the_model_itself"] == len(space)
    assert resume(both.path).candidates.equals(both.candidates)
    gone = systems_file(taught.source)
    content = gone.read_bytes()
    gone.unlink()
    try:
        with pytest.raises(InputError, match="the students of .* are not those that the run was started with"):
            resume(both.path)
        assert resume(alone.path).candidates.equals(alone.candidates)
    finally:
        gone.write_bytes(content)


@pytest.mark.parametrize("file_of", [student_file, systems_file])
def test_students_that_cannot_be_trusted(taught: Model, file_of: Callable[[Path], Path], tmp_path: Path) -> None:
    for file in taught.source.parent.iterdir():
        shutil.copy(file, tmp_path)
    path = tmp_path / taught.source.name
    card = file_of(path).with_suffix(".json")
    told = json.loads(card.read_text())
    told["distillation"]["teacher_sha256"] = "0" * 64
    card.write_text(json.dumps(told))
    with pytest.raises(ModelError, match="is the student of another model"):
        models.load(path)
    told["distillation"]["teacher_sha256"] = models.load(path, with_student=False).checksum
    for bands in (
        None,
        [],
        {"4": 0.2},
        {"x": {}},
        {"4": {"0.2": 0.3}},
        {"4": {"Fe": -0.1}},
        {"-1": {"Fe": 0.1}},
        {"4": {"Fe": float("nan")}},
    ):
        told["distillation"]["bands_ev_atom"] = bands
        card.write_text(json.dumps(told))
        with pytest.raises(ModelError, match="names no bands that can be used; distill again"):
            models.load(path)
    alone = models.load(path, with_student=False)
    assert alone.student is None
    assert alone.systems is None
    file_of(path).unlink()
    assert [models.load(path).student is None, models.load(path).systems is None].count(True) == 1


def test_what_cannot_be_distilled(taught: Model, phases: PhaseTable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="take 1,000 to"):
        distill(taught, phases, samples=10)
    for space in (CompositionSpace("Li-Fe-P-O-Na", arity=5), CompositionSpace("Li-Fe", arity=2, max_atoms=17)):
        with pytest.raises(InputError, match="students learn at most 4 elements and 15 atoms of each"):
            distill(taught, phases, space=space)
    gaps = replace(taught, target=Target(("band_gap_ev",)))
    with pytest.raises(InputError, match="predicts band_gap_ev, not formation energies"):
        distill(gaps, phases)
    with pytest.raises(InputError, match="predicts band_gap_ev, not formation energies"):
        scan(SPACE, gaps, phases, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_cheaper_ones_look_first(taught: Model, phases: PhaseTable) -> None:
    chunk = SPACE[:]
    assert taught.student
    assert taught.systems
    _, elements, amounts = composition_arrays(chunk)
    order = [taught.systems.model, taught.student.model, taught]
    assert [look.model for look in looks(taught, 0.2, elements, amounts, False, None)] == order
    assert [look.model for look in looks(taught, 0.2, elements, amounts, True, None)] == [taught]
    # One that has more atoms, or fewer elements, than it learnt is left to the others, and all of its chunk with it.
    for unknown in (CompositionSpace("Li-Fe-O", max_atoms=11), CompositionSpace("Li,Na,Mg,Al,Ti,Fe,O,S", (1, 2))):
        wider = unknown[:]
        assert [look.model for look in looks(taught, 0.2, *composition_arrays(wider)[1:], False, None)] == order[1:]
        without = replace(taught, systems=None)
        both, alone = (screen_chunk(wider, one, phases, 0.0, False, False) for one in (taught, without))
        assert both.candidates.equals(alone.candidates)
        assert len(both.candidates) > 0
    fewer = replace(taught, student=None)
    both, alone = (screen_chunk(chunk, one, phases, 0.2, False, False) for one in (taught, fewer))
    assert both.refined < alone.refined < len(SPACE)
    assert set(both.candidates["id"].to_pylist()) <= set(alone.candidates["id"].to_pylist())


@pytest.mark.parametrize("charge_neutral", [False, True])
def test_it_looks_where_a_space_has_more_elements_elsewhere(
    model: Model, phases: PhaseTable, charge_neutral: bool
) -> None:
    assert model.systems
    space = CompositionSpace("Li-Fe-P-O-Na", arity=(2, 3, 4, 5))
    small = space.chunk(0, space.blocks[-1].start)
    elements, amounts = composition_arrays(small)[1:]
    assert elements.shape[1] == 5
    assert looks(model, 0.0, elements, amounts, False, None)[0].model is model.systems.model
    found = model.systems.model.energies(elements, amounts)
    np.testing.assert_array_equal(found, model.systems.model.energies(elements[:, :4].copy(), amounts[:, :4].copy()))
    for chunk in (small, space[:]):
        both, alone = (screen_chunk(chunk, model, phases, 0.0, charge_neutral, exact) for exact in (False, True))
        assert both.candidates.equals(alone.candidates)
        assert len(both.candidates) > 0


def test_a_student_is_not_asked_above_the_hull(taught: Model, phases: PhaseTable) -> None:
    chunk = SPACE[:2000]
    assert screen_chunk(chunk, taught, phases, -0.1, False, False).refined == 2000


def test_a_model_of_several_properties_can_teach(compounds: Path, tmp_path: Path, phases: PhaseTable) -> None:
    rows = pq.read_table(compounds)
    gap = pa.array(np.linspace(0, 3, len(rows)))
    pq.write_table(rows.append_column("band_gap_ev", gap), tmp_path / "two.parquet")
    out, names = tmp_path / "two.safetensors", ("band_gap_ev", "formation_energy_ev_atom")
    quick = Recipe(epochs=2, batch=64, anchors=0)
    teacher = fit("pairnet", tmp_path / "two.parquet", out, quick, properties=names)
    recipes = replace(compositions.RECIPE, epochs=1, batch=64), replace(systems.RECIPE, epochs=1, batch=64)
    again = distill(teacher, phases, 1000, 1000, *recipes, CompositionSpace("Li-Ti-O-F"))
    for taught in (again, models.load(out)):
        assert taught.student
        assert taught.systems
    fresh = fit("pairnet", tmp_path / "two.parquet", out, replace(quick, seed=1), properties=names)
    assert fresh.student is None
    assert fresh.systems is None
