"""Properties beside stability: how they are asked for, and what a scan makes of them."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, resume, rundir, scan, screen
from matscreen.engine.properties import Property, need_elements, parse, predicted, reopen
from matscreen.engine.report.contents import contents
from matscreen.engine.scan import reopen as reopen_run
from matscreen.engine.search.pareto import front
from matscreen.engine.shortlist import Filters
from matscreen.engine.verify import verify
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError
from matscreen.models.fit import fit
from matscreen.models.recipe import Recipe

SPACE = CompositionSpace("Li-Mg-Al-Ti-Fe-O")
WANTED = ("bulk_modulus:>90", "band_gap:0.5..4", "shear_modulus")


@pytest.fixture(scope="module")
def wanted() -> list[Property]:
    return [parse(text) for text in WANTED]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable, wanted: list[Property]) -> Path:
    path = tmp_path_factory.mktemp("properties") / "whole"
    scan(SPACE, model, phases, path, 0.0, chunk_size=400, workers=2, properties=wanted)
    return path


@pytest.mark.parametrize(
    ("text", "column", "low", "high"),
    [
        ("band_gap:1.0..1.6", "band_gap_ev", 1.0, 1.6),
        ("bulk_modulus:>200", "bulk_modulus_gpa", 200, math.inf),
        (" debye_temperature_k:<3e2 ", "debye_temperature_k", -math.inf, 300),
        ("shear_modulus", "shear_modulus_gpa", -math.inf, math.inf),
        ("thermal_expansion@properties-aflow:2..2", "thermal_expansion_300k_um_m_k", 2, 2),
    ],
)
def test_people_write_them_like_this(text: str, column: str, low: float, high: float) -> None:
    found = parse(text)
    assert (found.column, found.low, found.high) == (column, low, high)
    assert reopen(found.spec()).spec() == found.spec()
    json.dumps(found.spec(), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hardness", "no property 'hardness'"),
        ("thermal", "more than one property 'thermal'"),
        ("band_gap:2..1", "no band_gap_ev lies between 2 and 1"),
        ("band_gap:>inf", "no band_gap_ev lies between inf and inf"),
        ("band_gap:<-1e999", "no band_gap_ev lies between -inf and -inf"),
        ("band_gap:nan..1", "cannot read the range"),
        ("band_gap:>", "cannot read the range"),
        ("band_gap:5", "cannot read the property"),
        (":>5", "cannot read the property"),
        ("", "cannot read the property"),
        ("band_gap@nowhere.safetensors:>5", "no such file"),
        ("band_gap@elemnet-oqmd", "elemnet-oqmd predicts formation_energy_ev_atom"),
    ],
)
def test_what_cannot_be_asked_for(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(text)


def test_a_model_of_ones_own(compounds: Path, tmp_path: Path, model: Model) -> None:
    """One that does not know all the elements, and one of several columns."""
    table = pq.read_table(compounds)
    data = tmp_path / "colour.parquet"
    pq.write_table(pa.table({"formula": table["formula"], "colour_ev": table["formation_energy_ev_atom"]}), data)
    out = tmp_path / "own.safetensors"
    fit("pairnet-student", data, out, Recipe(epochs=2, batch=64), properties=("colour_ev",))
    found = parse(f"colour@{out}:<0")
    assert (found.column, found.high) == ("colour_ev", 0)
    values, spread = predicted([found], *(np.array([row], np.uint8) for row in ([3, 8], [2, 1])))["colour_ev"]
    assert np.isfinite(values).all()
    assert np.isnan(spread).all()  # of a single network
    narrow = dataclasses.replace(found.model, elements=np.array([3, 8]))
    with pytest.raises(InputError, match="own, for colour_ev, does not know Fe"):
        need_elements([dataclasses.replace(found, model=narrow)], [3, 8, 26])
    with pytest.raises(InputError, match="colour_ev is asked for twice"):
        need_elements([found, found], [3])
    with pytest.raises(InputError, match="predicts formation_energy_ev_atom, not colour_ev"):
        Property("colour_ev", model)
    spec = found.spec()
    fit("pairnet-student", data, out, Recipe(epochs=1, batch=64), properties=("colour_ev",))
    with pytest.raises(InputError, match="not the one that the run was started with"):
        reopen(spec)


def test_candidates_are_those_that_a_plain_loop_finds(
    whole: Path, model: Model, phases: PhaseTable, wanted: list[Property]
) -> None:
    formulas = [SPACE[i] for i in range(len(SPACE))]
    distance = model.predict(formulas).astype(np.float64) - phases.hull_energy(formulas)
    network = wanted[0].model
    values = dict(zip(network.target.properties, network.predict(formulas).T, strict=True))
    gap, bulk = values["band_gap_ev"], values["bulk_modulus_gpa"]
    below = distance < 0
    kept = np.flatnonzero(below & (bulk >= 90) & (gap >= 0.5) & (gap <= 4))
    assert 0 < len(kept) < below.sum()
    table = rundir.read_candidates(whole).sort_by("id")
    assert table["id"].to_pylist() == kept.tolist()
    assert table.column_names[-6:] == [
        name
        for column in ("bulk_modulus_gpa", "band_gap_ev", "shear_modulus_gpa")
        for name in (column, f"{column}_spread")
    ]
    for name in ("bulk_modulus_gpa", "band_gap_ev", "shear_modulus_gpa"):
        np.testing.assert_allclose(table[name].to_numpy(), values[name][kept], rtol=1e-5, atol=1e-5)
    _, spread = network.predict_with_uncertainty([formulas[i] for i in kept])
    column = network.target.properties.index("bulk_modulus_gpa")
    np.testing.assert_allclose(table["bulk_modulus_gpa_spread"].to_numpy(), spread[:, column], rtol=1e-3, atol=1e-3)
    assert table.schema.field("bulk_modulus_gpa").metadata[b"unit"] == b"GPa"
    outside = rundir.read_summary(whole)["below_the_hull_but_without_the_properties_wanted"]
    assert outside == below.sum() - len(kept)
    found = screen(SPACE[:], model, phases, 0.0, properties=wanted)
    assert found.schema.equals(table.schema.remove_metadata())
    assert found["id"].to_pylist() == kept.tolist()


def test_a_run_goes_on_with_its_properties(
    whole: Path, tmp_path: Path, model: Model, phases: PhaseTable, wanted: list[Property]
) -> None:
    def kill(state: object) -> None:
        if getattr(state, "done", 0) > 400:
            raise KeyboardInterrupt

    path = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        scan(SPACE, model, phases, path, 0.0, chunk_size=400, workers=1, properties=wanted, report=kill)
    resume(path)
    assert (path / "candidates.parquet").read_bytes() == (whole / "candidates.parquet").read_bytes()
    config = rundir.read_config(path)
    without = dataclasses.replace(config, properties=())
    assert config.fingerprint != without.fingerprint
    elsewhere = [{**one, "source": "/elsewhere"} for one in config.properties]
    assert dataclasses.replace(config, properties=tuple(elsewhere)).fingerprint == config.fingerprint
    document = json.loads((path / "run.json").read_text())
    del document["properties"][0]["source"]
    (path / "run.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"run\.json cannot be read"):
        rundir.read_config(path)


def test_verify_looks_at_properties(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify(whole, sample=60).energy_error < 1e-4
    own = rundir.read_config(whole)

    def asked(**changed: object) -> None:
        wrong = tuple(one | (changed if one["column"] == "bulk_modulus_gpa" else {}) for one in own.properties)
        properties = tuple(reopen(spec) for spec in wrong)
        monkeypatch.setattr(
            "matscreen.engine.verify.reopen",
            lambda path, config: dataclasses.replace(reopen_run(path, config), properties=properties),
        )

    asked(low=200.0)
    with pytest.raises(JobError, match="has not what was asked for"):
        verify(whole, sample=20)
    asked()
    usual = Property.values
    more = lambda one, *given: usual(one, *given) * (1.01 if one.column == "shear_modulus_gpa" else 1)  # noqa: E731
    monkeypatch.setattr(Property, "values", more)
    with pytest.raises(JobError, match="shear_modulus_gpa differs by"):
        verify(whole, sample=20)


def test_limits_are_meant_in_full(wanted: list[Property]) -> None:
    narrow = dataclasses.replace(wanted[0], low=0.1, high=1e39)
    assert narrow.within(np.array([0.1, 0.0999, 5], np.float32)).tolist() == [True, False, True]
    assert not dataclasses.replace(wanted[0], low=-1, high=0.1).within(np.array([0.1], np.float32))[0]


def test_a_report_shows_them(whole: Path) -> None:
    told = contents(whole, Filters())
    columns = {one["name"]: one for one in told["properties"]["columns"]}
    assert [one["sign"] for one in columns.values()] == [-1, 0, 0]
    assert (columns["bulk_modulus_gpa"]["title"], columns["bulk_modulus_gpa"]["unit"]) == ("bulk modulus", "GPa")
    table = rundir.read_candidates(whole)
    losses = np.column_stack([table["hull_distance_ev_atom"], -table["bulk_modulus_gpa"].to_numpy()])
    best = [
        not ((losses <= own).all(axis=1) & (losses < own).any(axis=1)).any()  # by the definition
        for own in losses
    ]
    assert told["properties"]["front"] == [int(one) for one in best]
    json.dumps(told, allow_nan=False)


def test_a_front_is_what_nothing_beats(rng: np.random.Generator) -> None:
    for dimensions in (1, 2, 3):
        losses = rng.integers(0, 9, (200, dimensions)).astype(float)
        losses[7] = np.nan
        beaten = [((losses <= own).all(axis=1) & (losses < own).any(axis=1)).any() for own in losses]
        expected = ~np.array(beaten) & ~np.isnan(losses).any(axis=1)
        np.testing.assert_array_equal(front(losses), expected)
    assert front(np.empty((0, 2))).tolist() == []


def test_on_the_command_line(run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert run("scan", "Al-Ti-O", "--property", "bulk_modulus:>100", "--threshold", "-0.1", "--out", out) == 0
    assert "bulk modulus, GPa" in capsys.readouterr().out
    assert run("show", out, "--format", "csv") == 0
    assert "bulk_modulus_gpa,bulk_modulus_gpa_spread" in capsys.readouterr().out.splitlines()[0]
    assert run("scan", "Al-Ti-O", "--property", "bulk_modulus:7..6", "--out", str(tmp_path / "other")) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
    assert not (tmp_path / "other").exists()
