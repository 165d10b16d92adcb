"""Filters on a list of candidates, and what they say that they removed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, screen
from matscreen.engine.shortlist import ALIKE, Filters, holds, place_in_system, shortlist
from matscreen.models import Model
from matscreen.models.errors import InputError
from matscreen.models.formula import parse_formula


@pytest.fixture(scope="module")
def candidates(model: Model, phases: PhaseTable) -> pa.Table:
    space = CompositionSpace("Li,La,U,O,F,Fe,Xe", arity=(2, 3))
    found = pa.Table.from_batches([screen(space[:], model, phases, threshold=0.0)])
    return found.sort_by("hull_distance_ev_atom")


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


def test_nothing_left(candidates: pa.Table) -> None:
    kept, _ = shortlist(candidates.slice(0, 0), Filters(True, True, True, 1, True))
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
