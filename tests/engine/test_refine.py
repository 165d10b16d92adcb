"""Refinement: what it finds is lower, of whole atoms, and predicted as anything else is."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, scan, schema
from matscreen.engine.properties import parse
from matscreen.engine.refine import REFINED, refine, rounded
from matscreen.engine.search.run import search
from matscreen.models import Model
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays, parse_formula


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    space = CompositionSpace("Li-Fe-P-O", arity=(2, 3, 4), max_atoms=8)
    return scan(space, model=model, phases=phases, out=out, threshold=0.05).path


def test_what_is_found_is_lower(path: Path, model: Model, phases: PhaseTable) -> None:
    found = refine(path, 15, 16)
    assert found.started == 15
    assert found.beyond is not None
    assert 3 < found.beyond <= len(found.table)
    kept = pq.read_table(path / "candidates.parquet")
    began = dict(zip(kept["formula"].to_pylist(), kept["hull_distance_ev_atom"].to_pylist(), strict=True))
    rows = found.table.to_pylist()
    assert [row["hull_distance_ev_atom"] for row in rows] == sorted(row["hull_distance_ev_atom"] for row in rows)
    assert len({row["formula"] for row in rows}) == len(rows)
    energies = model.predict([row["formula"] for row in rows])
    hull = phases.hull_energy([row["formula"] for row in rows])
    for row, energy, at_hull in zip(rows, energies.tolist(), hull.tolist(), strict=True):
        amounts = parse_formula(row["formula"])
        assert 8 < sum(amounts.values()) <= 16
        assert all(n == int(n) for n in amounts.values())
        assert np.gcd.reduce([int(n) for n in amounts.values()]) == 1
        assert set(amounts) == set(parse_formula(row["started_from"]))
        assert row["hull_distance_ev_atom"] == pytest.approx(energy - at_hull, abs=1e-5)
        assert row["change_ev_atom"] == pytest.approx(energy - at_hull - began[row["started_from"]], abs=1e-5)
        assert row["change_ev_atom"] < 0
        assert row["change_uncertainty_ev_atom"] >= 0
        assert sum(part["fraction"] for part in row["decomposition"]) == pytest.approx(1)
    written = pq.read_table(path / REFINED)
    assert written.schema.equals(schema.REFINED)
    assert written.replace_schema_metadata(None).equals(found.table)
    first = (path / REFINED).read_bytes()
    refine(path, 15, 16)
    assert (path / REFINED).read_bytes() == first


def test_a_scan_of_what_balances_stays_so(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    space = CompositionSpace("Na-Al-S-O", arity=(3, 4), max_atoms=8)
    run = scan(space, model=model, phases=phases, out=tmp_path / "run", threshold=-0.05, charge_neutral=True)
    found = refine(run.path, 20, 18)
    assert len(found.table)
    assert all(found.table["charge_balanced"].to_pylist())


def test_properties_that_were_wanted_are_kept(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    wanted = (parse("bulk_modulus:>100"),)
    space = CompositionSpace("Ti-Fe-B", max_atoms=8)
    run = scan(space, model=model, phases=phases, out=tmp_path / "run", threshold=-0.3, properties=wanted)
    found = refine(run.path, 10, 14).table["formula"].to_pylist()
    assert found
    assert (models.load("properties-aflow").predict(found)[:, 1] > 100).all()


def test_one_network_and_nothing_found(tmp_path: Path, phases: PhaseTable) -> None:
    alone = models.load("elemnet-oqmd")
    space = CompositionSpace("Li-Fe-P-O", max_atoms=7)
    run = scan(space, model=alone, phases=phases, out=tmp_path / "run", threshold=0.0)
    found = refine(run.path, 10, 14)
    assert found.beyond is None
    assert found.table["change_uncertainty_ev_atom"].null_count == len(found.table) > 0
    empty = scan(CompositionSpace("Li-Fe-O"), model=alone, phases=phases, out=tmp_path / "empty", threshold=5.0)
    nothing = refine(empty.path, 5, 14)
    assert (nothing.started, len(nothing.table)) == (0, 0)


def test_balanced_neighbours_are_found(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    """On the way nothing balances to the network, so that no step leads down; whole atoms beside it are tried."""
    space = CompositionSpace("Mg-Al-O", arity=(3,), max_atoms=7, require="O")
    run = scan(space, model=model, phases=phases, out=tmp_path / "run", threshold=-1.0, charge_neutral=True)
    assert "MgAl2O4" in run.candidates["formula"].to_pylist()
    found = refine(run.path, 20, 20)
    assert all(found.table["charge_balanced"].to_pylist())
    assert len(found.table) > 0
    assert found.table["known"].to_pylist() == [
        phases.nearest(*composition_arrays([formula]))[1][0] < schema.SAME
        for formula in found.table["formula"].to_pylist()
    ]


def test_a_search_has_no_grid(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    space = CompositionSpace("Li-Fe-O")
    run = search(space, model, phases, tmp_path / "run", [("hull_distance_ev_atom", 1)], evaluations=20, batch=20)
    with pytest.raises(InputError, match="has no grid"):
        refine(run.path, 5, 20)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(6, 100))
def test_rounding(parts: list[int], atoms: int) -> None:
    x = np.array([parts], float) / sum(parts)
    amounts = rounded(x, x > 0, atoms)
    assert amounts.sum() == atoms
    assert (amounts >= 1).all()
    assert np.abs(amounts - x * atoms).max() <= len(parts)
    if (x * atoms >= 1).all():
        assert np.abs(amounts - x * atoms).max() < 1


def test_on_the_command_line(
    path: Path, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("refine", str(path), "--top", "5", "--format", "json") == 0
    out, said = capsys.readouterr()
    assert {row["started_from"] for row in json.loads(out)} <= {row["formula"] for row in shown(path)[:5]}
    assert "from 5 candidates to" in said
    assert run("refine", str(path), "--top", "3") == 0
    assert "known phases there" in capsys.readouterr().out
    for wrong, told in (
        ((str(path), "--max-atoms", "8"), "--max-atoms takes 9"),
        ((str(path), "--max-atoms", "999"), "to 200"),
        ((str(path), "--top", "0"), "--top takes"),
        ((str(tmp_path / "nowhere"),), "no run directory"),
    ):
        assert run("refine", *wrong) == 2
        assert told in capsys.readouterr().err


def test_a_run_that_has_not_ended(path: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((path / "run.json").read_bytes())
    with pytest.raises(InputError, match="has not ended"):
        refine(tmp_path, 5, 20)


def shown(path: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(path / "candidates.parquet").to_pylist()
    return rows
