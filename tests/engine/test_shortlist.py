"""Filters on a list of candidates, and what they say that they removed."""

import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, schema, screen
from matscreen.engine.likelihood import WEIGHTS, log_odds, stable_of_stoichiometry
from matscreen.engine.shortlist import ALIKE, Filters, columns, holds, known, place_in_system, places
from matscreen.models import Model
from matscreen.models.errors import InputError
from matscreen.models.formula import parse_formula


@pytest.fixture(scope="module")
def candidates(model: Model, phases: PhaseTable) -> pa.Table:
    space = CompositionSpace("Li,La,U,O,F,Fe,Xe", arity=(2, 3))
    found = pa.Table.from_batches([screen(space[:], model, phases, threshold=0.0)])
    return found.sort_by("hull_distance_ev_atom")


def shortlist(candidates: pa.Table, filters: Filters) -> tuple[pa.Table, dict[str, int]]:
    chosen, removed = places([candidates], filters)
    return candidates.take(pa.array(chosen)), removed


def vectors(table: pa.Table) -> np.ndarray:
    rows = np.zeros((len(table), 119))
    for row, formula in enumerate(table["formula"].to_pylist()):
        for z, n in parse_formula(formula).items():
            rows[row, z] = n
    return rows / rows.sum(axis=1, keepdims=True)


def test_each_filter_says_what_it_removed(candidates: pa.Table) -> None:
    everything = Filters(True, True, True, 2, True)
    kept, removed = shortlist(candidates, everything)
    assert list(removed) == ["charge-balanced", "no-f-block", "no-radioactive", "max-per-system", "diverse"]
    assert len(kept) + sum(removed.values()) == len(candidates)
    assert kept["hull_distance_ev_atom"].to_pylist() == sorted(kept["hull_distance_ev_atom"].to_pylist())
    assert shortlist(candidates, Filters())[0].equals(candidates)


def test_no_f_block_and_no_radioactive(candidates: pa.Table) -> None:
    kept, removed = shortlist(candidates, Filters(no_f_block=True))
    assert not any({"La", "U"} & set(row) for row in kept["elements"].to_pylist())
    assert removed["no-f-block"] == sum(bool({"La", "U"} & set(row)) for row in candidates["elements"].to_pylist())
    kept, _ = shortlist(candidates, Filters(no_radioactive=True))
    assert not any("U" in row for row in kept["elements"].to_pylist())
    assert holds(candidates, "noble gas").tolist() == ["Xe" in row for row in candidates["elements"].to_pylist()]


def test_charge_balanced_keeps_what_balances_in_order(candidates: pa.Table) -> None:
    kept, _ = shortlist(candidates, Filters(charge_balanced=True))
    assert 0 < len(kept) < len(candidates)
    for row in kept.to_pylist():
        assert sum(n * q for n, q in zip(row["amounts"], row["oxidation_states"], strict=True)) == 0


def test_max_per_system_keeps_the_best(candidates: pa.Table) -> None:
    kept, _ = shortlist(candidates, Filters(max_per_system=1))
    seen: dict[str, float] = {}
    for row in candidates.to_pylist():
        seen.setdefault(row["chemical_system"], row["hull_distance_ev_atom"])
    assert (
        dict(zip(kept["chemical_system"].to_pylist(), kept["hull_distance_ev_atom"].to_pylist(), strict=True)) == seen
    )
    systems = candidates["chemical_system"].to_pylist()
    assert place_in_system(candidates).tolist() == [systems[:i].count(s) for i, s in enumerate(systems)]


def test_diverse_leaves_no_two_alike(candidates: pa.Table) -> None:
    kept, _ = shortlist(candidates, Filters(diverse=True))
    x = vectors(kept)
    apart = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2)) + 10 * np.eye(len(x))
    assert apart.min() > ALIKE
    left_out = vectors(candidates.filter(pa.array(~np.isin(candidates["id"].to_numpy(), kept["id"].to_numpy()))))
    assert len(left_out)
    assert np.sqrt(((left_out[:, None] - x[None]) ** 2).sum(axis=2)).min(axis=1).max() <= ALIKE + 1e-9


def test_stoichiometries_are_counted_by_formula(phases: PhaseTable, candidates: pa.Table) -> None:
    """Formulas are in the order of electronegativity: their numbers alone are left."""

    def numbers(formula: str) -> str:
        return ",".join(n or "1" for n in re.findall(r"[A-Z][a-z]?([0-9.]*)", formula))

    seen = Counter(map(numbers, set(phases.table["formula"].take(pa.array(phases.on_own_hull)).to_pylist())))
    counted = candidates["stable_of_stoichiometry"].to_pylist()
    assert counted == [seen[numbers(formula)] for formula in candidates["formula"].to_pylist()]
    assert max(counted) > 500
    assert min(counted) == 0
    alone = PhaseTable("elements", ["Fe"], np.zeros(1), ["1"], {})
    assert stable_of_stoichiometry(*schema.candidate_arrays(candidates), alone).tolist() == [0] * len(candidates)


def test_likely_first_is_by_what_speaks_for_them(candidates: pa.Table) -> None:
    ordered, removed = shortlist(candidates, Filters(likely_first=True))
    assert removed == {}
    assert sorted(ordered["id"].to_pylist()) == sorted(candidates["id"].to_pylist())
    above, unsure, common, balanced, alike = WEIGHTS.values()
    assert max(above, unsure) < 0 < min(common, balanced, alike)
    told = [
        -1e9 * (row["nearest_phase_distance"] < schema.SAME)
        + above * row["hull_distance_ev_atom"]
        + unsure * row["uncertainty_ev_atom"]
        + common * math.log(1 + row["stable_of_stoichiometry"])
        + balanced * row["electronegativity_ordered"]
        + alike * (row["analogue"] is not None)
        for row in ordered.to_pylist()
    ]
    assert told == pytest.approx(sorted(told, reverse=True), abs=1e-6)
    assert ordered["formula"][:5] != candidates["formula"][:5]
    first, _ = shortlist(candidates, Filters(likely_first=True, max_per_system=1))
    best = {row["chemical_system"]: row["formula"] for row in reversed(ordered.to_pylist())}
    assert set(first["formula"].to_pylist()) == set(best.values())
    unknown = candidates.set_column(
        candidates.column_names.index("uncertainty_ev_atom"),
        "uncertainty_ev_atom",
        pa.nulls(len(candidates), pa.float32()),
    )
    assert np.isfinite(log_odds(unknown)).all()  # a single network has none
    with pytest.raises(InputError, match="the run is of an older matscreen"):
        shortlist(candidates.drop_columns("stable_of_stoichiometry"), Filters(likely_first=True))


def test_known_compounds_are_no_candidates_for_the_first_places(model: Model, phases: PhaseTable) -> None:
    space = CompositionSpace("Li,Fe,P,O", arity=(2, 3))
    found = pa.Table.from_batches([screen(space[:], model, phases, threshold=-0.02)])
    ordered, _ = shortlist(found, Filters(likely_first=True))
    is_known = known(ordered).tolist()
    assert 3 < sum(is_known) < len(is_known) - 3
    assert is_known == sorted(is_known)
    bare = PhaseTable("elements", ["Fe"], np.zeros(1), ["1"], {})  # to which nothing is near
    assert not known(pa.Table.from_batches([screen(space[:50], model, bare, threshold=0.0)])).any()


def test_the_weights_are_those_that_were_measured() -> None:
    told = json.loads((Path(__file__).parents[2] / "bench/results/likelihood.json").read_text())["figures"]["weights"]
    assert {name: float(f"{weight:.2g}") for name, weight in told.items()} == WEIGHTS


@pytest.mark.parametrize("chosen", [*itertools.product((False, True), repeat=3)])
def test_pieces_make_the_list_of_the_whole(candidates: pa.Table, chosen: tuple[bool, bool, bool]) -> None:
    single, compared, likely = chosen
    filters = Filters(single, single, single, 2 * compared, compared, likely)
    whole, removed = shortlist(candidates, filters)
    needed = candidates.select(sorted(columns(filters)))
    parts = [needed.slice(0, 7), needed.slice(7, 0), needed.slice(7, 300), needed.slice(307)]
    found, counts = places(parts, filters)
    assert candidates.take(pa.array(found)).equals(whole)
    assert counts == removed
    assert 0 < len(whole) <= len(candidates)


def test_nothing_left(candidates: pa.Table) -> None:
    kept, _ = shortlist(candidates.slice(0, 0), Filters(True, True, True, 1, True, True))
    assert len(kept) == 0
    with pytest.raises(InputError, match="--max-per-system"):
        Filters(max_per_system=-1)


def test_the_command_says_what_it_removed(
    tmp_path: Path,
    phases: PhaseTable,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from matscreen.engine import cli, scan

    scan(CompositionSpace("Li-Fe-O"), model, phases, tmp_path / "run", 0.0)
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["matscreen", "show", str(tmp_path / "run"), "--charge-balanced", "--diverse"])
    cli.main()
    printed = capsys.readouterr()
    assert "removed: charge-balanced " in printed.err
    assert "are left" in printed.err
    assert "formula" in printed.out
