"""Searches in the latent space: what they see, what they find, and that nothing stops them for good."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, rundir, schema
from matscreen.engine import resume as resume_scan
from matscreen.engine.chemistry import is_charge_neutral
from matscreen.engine.cluster import Job
from matscreen.engine.computed import add_computed
from matscreen.engine.digested import write_digested
from matscreen.engine.merge import KEY
from matscreen.engine.properties import Property, parse
from matscreen.engine.report.contents import contents
from matscreen.engine.rescreen import current_list, rescreen
from matscreen.engine.rundir import NO_THRESHOLD
from matscreen.engine.search.goal import STEEP, Goal, fresh, look, losses
from matscreen.engine.search.run import LATENT, Progress, resume, search
from matscreen.engine.shortlist import Filters
from matscreen.engine.status import status
from matscreen.engine.verify import verify
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError
from matscreen.models.formula import composition_arrays
from matscreen.models.latent.training import load as load_latent

SPACE = CompositionSpace("Li-Mg-Al-Ti-Fe-Ni-W-B-C-N-O")
BULK = "bulk_modulus_gpa"
SIZES = {"evaluations": 230, "batch": 40, "seed": 3}


def goal(model: Model, phases: PhaseTable, *wanted: str, threshold: float = NO_THRESHOLD, **job: bool) -> Goal:
    properties = tuple(parse(text) for text in ("bulk_modulus", *wanted))
    known = Job(SPACE, model, phases, threshold, job.get("charge_neutral", False), True, properties)
    return Goal(known, load_latent(LATENT), ((BULK, -1),))


def searched(path: Path, model: Model, phases: PhaseTable, **options: object) -> Path:
    wanted: list[Property] = [parse("bulk_modulus"), parse("band_gap:<1")]
    search(SPACE, model, phases, path, [(BULK, -1)], wanted, 0.0, **(SIZES | options))  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable) -> Path:
    return searched(tmp_path_factory.mktemp("search") / "whole", model, phases)


def test_a_look_sees_what_the_models_say(model: Model, phases: PhaseTable, rng: np.random.Generator) -> None:
    own = goal(model, phases, "band_gap:0.1..0.5", "shear_modulus:>60", threshold=0.1, charge_neutral=True)
    points = rng.random((60, 24))
    points[7] = points[3]
    points[8] = 1  # a corner of the cube
    found: set[int] = set()
    seen = look(own, points, 100, found, {"TiC", "Fe2O3"})
    assert seen["number"].to_pylist() == list(range(100, 160))
    np.testing.assert_array_equal(np.array(seen["point"].to_pylist()), points)
    formulas = seen["formula"].to_pylist()
    assert formulas == [SPACE[i] for i in seen["id"].to_pylist()]
    distance = model.predict(formulas).astype(np.float64) - phases.hull_energy(formulas)
    np.testing.assert_allclose(seen[KEY].to_numpy(), distance, atol=1e-5)
    network = own.job.properties[0].model
    values = dict(zip(network.target.properties, network.predict(formulas).T.astype(np.float64), strict=True))
    np.testing.assert_allclose(seen[BULK].to_numpy(), values[BULK], rtol=1e-4)
    gap, shear = values["band_gap_ev"], values["shear_modulus_gpa"]
    neutral = is_charge_neutral(*composition_arrays(formulas))
    broken = np.maximum(distance + 0.1, 0) / STEEP + np.maximum(0.1 - gap, 0) / 0.1 + np.maximum(gap - 0.5, 0) / 0.5
    broken += np.maximum(60 - shear, 0) / 60 + ~neutral
    np.testing.assert_allclose(seen["violation"].to_numpy(), broken, rtol=1e-3, atol=1e-3)
    repeated = [formula in formulas[:row] for row, formula in enumerate(formulas)]
    assert repeated[7]
    assert seen["repeated"].to_pylist() == repeated
    assert found == set(seen["id"].to_pylist())
    assert seen["known"].to_pylist() == [formula in ("TiC", "Fe2O3") for formula in formulas]
    np.testing.assert_allclose(losses(own, seen), -values[BULK], rtol=1e-4)
    assert len(fresh(own, points, found)) == 0
    new = fresh(own, points, set())
    assert new.tolist() == [row for row in range(60) if not repeated[row]]


def test_points_are_read_as_the_nearest_composition(model: Model, phases: PhaseTable) -> None:
    """Where the codes of known compounds lie, they or their neighbours are seen."""
    from scipy.special import ndtr

    from matscreen.models.dataset import fraction_matrix

    own = goal(model, phases)
    formulas = ["TiC", "Fe2O3", "Al2MgO4", "WN", "Ni3Al"]
    fractions = fraction_matrix(*composition_arrays(formulas))
    seen = look(own, ndtr(own.latent.codes(fractions).astype(np.float64)), 0, set(), set())
    decoded = fraction_matrix(*composition_arrays(seen["formula"].to_pylist()))
    assert (np.abs(decoded - fractions).sum(axis=1) / 2 < 0.25).all()


def test_what_is_found_keeps_every_limit(whole: Path, model: Model, phases: PhaseTable) -> None:
    table = rundir.read_candidates(whole)
    assert table.schema.equals(schema.candidates([BULK, "band_gap_ev"]))
    formulas = table["formula"].to_pylist()
    assert 0 < len(formulas) == len(set(formulas))
    assert formulas == [SPACE[i] for i in table["id"].to_pylist()]
    assert (table[KEY].to_numpy() < 0).all()
    assert (table["band_gap_ev"].to_numpy() <= 1).all()
    assert (np.diff(table[BULK].to_numpy()) <= 0).all()  # the largest first
    np.testing.assert_allclose(table["formation_energy_ev_atom"].to_numpy(), model.predict(formulas), atol=1e-5)
    np.testing.assert_allclose(table["hull_energy_ev_atom"].to_numpy(), phases.hull_energy(formulas), atol=1e-9)
    trials = pa.concat_tables([pq.read_table(file) for file in sorted((whole / "trials").glob("*.parquet"))])
    assert trials["number"].to_pylist() == list(range(230))
    kept = (trials["violation"].to_numpy() == 0) & ~trials["repeated"].to_numpy()
    assert sorted(table["id"].to_pylist()) == sorted(trials.filter(pa.array(kept))["id"].to_pylist())
    summary = rundir.read_summary(whole)
    assert summary["screened"] == len(set(trials["id"].to_pylist()))
    assert summary["candidates"] == len(table)


@pytest.mark.parametrize("after", [0, 40, 200, 230])
def test_an_interrupted_search_ends_with_the_same_bytes(
    whole: Path, tmp_path: Path, model: Model, phases: PhaseTable, after: int
) -> None:
    def stop(state: Progress) -> None:
        if state.done >= after:
            raise KeyboardInterrupt

    path = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        searched(path, model, phases, report=stop)
    told = status(path)
    assert (told.state, told.done, told.total) == ("interrupted", after, 230)
    states: list[Progress] = []
    resume(path, states.append)
    assert states[0].done == states[0].resumed == after
    assert (path / "candidates.parquet").read_bytes() == (whole / "candidates.parquet").read_bytes()
    finished = status(path)
    assert (finished.state, finished.done, finished.chunks) == ("finished", 230, 6)
    assert finished.candidates == rundir.read_summary(path)["candidates"]


def test_damaged_trials_are_looked_at_again(whole: Path, tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    path = searched(tmp_path / "own", model, phases)
    before = sorted(file.name for file in (path / "trials").iterdir())
    content = bytearray((path / "trials" / before[2]).read_bytes())
    content[len(content) // 2] ^= 1
    (path / "trials" / before[2]).write_bytes(content)
    with pytest.raises(JobError, match="damaged or missing"):
        verify(path)
    resume(path)
    assert len(list((path / "rejected").iterdir())) == 4  # and those that followed on it
    assert sorted(file.name for file in (path / "trials").iterdir()) == before
    assert (path / "candidates.parquet").read_bytes() == (whole / "candidates.parquet").read_bytes()
    assert verify(path).chunks == 6
    other = searched(tmp_path / "other", model, phases, seed=4)
    assert (other / "candidates.parquet").read_bytes() != (whole / "candidates.parquet").read_bytes()
    for file in (other / "trials").glob("*.parquet"):  # of another search
        for old in (path / "trials").glob(f"{file.name[:6]}-*"):
            old.unlink()
        (path / "trials" / file.name).write_bytes(file.read_bytes())
    resume(path)
    assert (path / "candidates.parquet").read_bytes() == (whole / "candidates.parquet").read_bytes()


@pytest.mark.parametrize(
    ("column", "value"), [("id", -5), ("id", 10**9), (BULK, float("nan")), ("violation", float("inf")), ("number", 7)]
)
def test_trials_that_cannot_be_are_not_taken(whole: Path, tmp_path: Path, column: str, value: float) -> None:
    """Though their names tell the bytes that they hold."""
    path = tmp_path / "own"
    shutil.copytree(whole, path)
    file = max((path / "trials").iterdir())
    table = pq.read_table(file)
    changed = table[column].to_numpy().copy()
    changed[0] = value
    place, field = table.column_names.index(column), table.schema.field(column)
    file.unlink()
    write_digested(path / "trials", 5, table.set_column(place, field, pa.array(changed, field.type)))
    notes: list[str] = []
    resume(path, notice=notes.append)
    assert len(list((path / "rejected").iterdir())) == 1
    assert len(notes) == 1
    assert (path / "candidates.parquet").read_bytes() == (whole / "candidates.parquet").read_bytes()


def test_verify_finds_what_was_changed(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    path = searched(tmp_path / "own", model, phases, evaluations=80)
    assert verify(path).sampled == rundir.read_summary(path)["candidates"]
    config, table = rundir.read_config(path), rundir.read_candidates(path)
    summary = json.loads((path / "summary.json").read_text())
    summary["candidates_sha256"] = rundir.write_candidates(path, config.fingerprint, [table.slice(1)])
    (path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(JobError, match="does not hold what the search found"):
        verify(path)


def test_a_search_finds_more_than_chance(model: Model, phases: PhaseTable, tmp_path: Path) -> None:
    """At equal numbers of compositions, of each of three seeds."""
    space = CompositionSpace("all")
    own = dataclasses.replace(goal(model, phases), job=dataclasses.replace(goal(model, phases).job, space=space))
    for seed in range(3):
        run = search(
            space,
            model,
            phases,
            tmp_path / str(seed),
            [(BULK, -1)],
            [parse("bulk_modulus")],
            evaluations=600,
            seed=seed,
        )
        by_chance = look(own, np.random.default_rng(seed).random((600, 24)), 0, set(), set())
        mine = run.candidates[BULK].to_numpy()
        assert mine[0] > by_chance[BULK].to_numpy().max()
        assert np.median(mine) > 1.5 * np.median(by_chance[BULK].to_numpy())


def test_several_objectives(model: Model, phases: PhaseTable, tmp_path: Path) -> None:
    goals = [(BULK, -1), (KEY, 1)]
    found = search(SPACE, model, phases, tmp_path / "run", goals, [parse("bulk_modulus")], **SIZES)  # type: ignore[arg-type]
    table = found.candidates
    values = np.column_stack([-table[BULK].to_numpy(), table[KEY].to_numpy()])
    beaten = np.array([((values <= own).all(axis=1) & (values < own).any(axis=1)).any() for own in values])
    assert not beaten[: np.argmax(beaten)].any()
    assert (~beaten).sum() == np.argmax(beaten)  # the front stands first
    assert len(table) == rundir.read_summary(tmp_path / "run")["screened"]  # nothing is left out without a limit
    told = contents(tmp_path / "run", Filters())
    assert [one["name"] for one in told["search"]] == [BULK, KEY]
    assert told["run"]["threshold"] is None
    assert told["properties"]["columns"][0]["sign"] == -1
    json.dumps(told, allow_nan=False)


def test_what_was_calculated_leaves_the_list_in_its_order(
    whole: Path, tmp_path: Path, model: Model, phases: PhaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matscreen.engine.rescreen.AT_ONCE", 2)
    path = searched(tmp_path / "own", model, phases)
    before = rundir.read_candidates(path)["formula"].to_pylist()
    add_computed(path, {"a": (before[1], float(phases.hull_energy([before[1]])[0]) + 0.1)})
    rescreen(path)
    assert pq.read_table(current_list(path)[0])["formula"].to_pylist() == [before[0], *before[2:]]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"evaluations": 0}, "evaluations must lie between"),
        ({"evaluations": 10**6}, "evaluations must lie between"),
        ({"batch": 0}, "a batch must lie between"),
        ({"seed": -1}, "seed must lie"),
        ({"threshold": float("nan")}, "threshold must be"),
        ({"objectives": []}, "needs something"),
        ({"objectives": [("hardness_gpa", 1)]}, "nothing predicts hardness_gpa"),
        ({"objectives": [(BULK, 1), (BULK, -1)]}, "twice"),
        ({"space": CompositionSpace("Li-O")}, "only 31 compositions"),
        ({"space": CompositionSpace("Li-Fe-P-O", require="O")}, "no required elements"),
        ({"space": CompositionSpace("Li-Po-O-S")}, "does not know Po"),
    ],
)
def test_bad_input(model: Model, phases: PhaseTable, tmp_path: Path, changed: dict[str, object], says: str) -> None:
    given = {"space": SPACE, "objectives": [(BULK, -1)], "properties": [parse("bulk_modulus")], **SIZES, **changed}
    with pytest.raises(InputError, match=says):
        search(model=model, phases=phases, out=tmp_path / "run", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_scan_is_no_search(whole: Path) -> None:
    with pytest.raises(InputError, match="is a search"):
        resume_scan(whole)


def test_on_the_command_line(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    few = ("--evaluations", "100", "--batch", "50", "--arity", "2,3")
    assert run("search", "Ti-W-C-N-B", "--maximize", "bulk_modulus", "--require-stable", *few, "--out", out) == 0
    first = capsys.readouterr()
    assert "bulk modulus, GPa" in first.out
    looked_at = re.search(r"(\d+) compositions looked at", first.err)
    assert looked_at
    assert 80 < int(looked_at[1]) <= 100  # a few points may stand for one that was seen
    assert run("resume", out) == 0
    assert "nothing was left to do" in capsys.readouterr().err
    assert run("show", out, "--top", "2") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "large bulk modulus, GPa; more than 0 eV/atom below the hull" in shown
    assert run("status", out) == 0
    assert run("verify", out, "--sample", "20") == 0
    assert run("queue", "make", out, "--to", "cif", "--top", "3", "--out", str(tmp_path / "queue")) == 0
    capsys.readouterr()
    for arguments, says in (
        ((), "give --maximize or --minimize"),
        (("--maximize", "hardness"), "no property 'hardness'"),
        (("--maximize", "bulk_modulus:>5"), "limits go to --property"),
        (("--maximize", "bulk_modulus", "--property", "band_gap:3..1"), "lies between 3 and 1"),
        (("--maximize", "bulk_modulus", "--evaluations", "0"), "evaluations must"),
        (("--maximize", "bulk_modulus", "--top", "-1"), "--top"),
        (("--maximize", "bulk_modulus", "--require-stable", "--threshold", "-0.1"), "allows nothing above the hull"),
    ):
        assert run("search", "Ti-W-Fe-Cr-C-N", *arguments, "--out", str(tmp_path / "bad")) == 2
        assert says in capsys.readouterr().err
        assert not (tmp_path / "bad").exists()
    assert run("resume", out, "--workers", "2") == 2
