"""No candidate rests on a number that is none, or on a kernel that errs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, scan, schema
from matscreen.engine.safety import CHECKED, check_energies
from matscreen.engine.screen import screen_chunk
from matscreen.models import Model
from matscreen.models.errors import JobError

SPACE = CompositionSpace("Li-Fe-O")


class Wrong(Model):
    """A model whose fast kernel errs at one composition."""

    at: tuple[int, ...]
    by: float

    def uncertain_energies(self, elements, amounts, backend="auto", precision="fp32"):  # type: ignore[no-untyped-def]
        energies, spread = super().uncertain_energies(elements, amounts, backend, precision)
        if backend != "reference":
            energies = energies.copy()
            energies[(amounts[:, :3] == np.array(self.at)).all(axis=1)] += self.by
        return energies, spread


@pytest.fixture
def wrong(model: Model) -> Wrong:
    plain = replace(model, student=None, systems=None)
    made = object.__new__(Wrong)
    made.__dict__.update(plain.__dict__ | {"at": (1, 3, 2), "by": np.nan})
    return made


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_energy_that_is_none_stops_the_chunk(wrong: Wrong, phases: PhaseTable, tmp_path: Path, value: float) -> None:
    wrong.__dict__["by"] = value
    told = rf"predicts {value} eV/atom for LiFe2O3 \(id {SPACE.index('LiFe2O3')}\)"
    with pytest.raises(ArithmeticError, match=told):
        screen_chunk(SPACE.chunk(0, len(SPACE)), wrong, phases, 0.2, False, True)
    with pytest.raises(JobError, match=f"chunk 0: model .* {told}"):
        scan(SPACE, wrong, phases, tmp_path / "run")
    assert not list((tmp_path / "run" / "chunks").iterdir())


def test_a_kernel_that_errs_is_found(wrong: Wrong) -> None:
    wrong.__dict__["by"] = 0.003
    arrays = schema.composition_arrays(SPACE.chunk(0, len(SPACE)))
    energies = wrong.energies(*arrays[1:])
    with pytest.raises(ArithmeticError, match=r"eV/atom for LiFe2O3 \(id \d+\), its definition"):
        check_energies(*arrays, energies, wrong, one_in=1)
    wrong.__dict__["by"] = 0.0
    assert check_energies(*arrays, wrong.energies(*arrays[1:]), wrong, one_in=1) == len(SPACE)


def test_the_sample_is_spread_and_stays(model: Model) -> None:
    ids = np.arange(3_000_000, dtype=np.int64)
    elements, amounts = np.zeros((1, 2), np.uint8), np.zeros((1, 2), np.uint8)
    elements[:], amounts[:] = (3, 8), (2, 1)
    many = np.broadcast_to(elements, (len(ids), 2)), np.broadcast_to(amounts, (len(ids), 2))
    energies = np.full(len(ids), model.energies(elements, amounts)[0])
    whole = check_energies(ids, *many, energies, model)
    assert 15 <= whole <= 50  # 30 are expected of a sample without a pattern
    cut = 1_234_567
    parts = [slice(0, cut), slice(cut, None)]
    counts = [check_energies(ids[p], many[0][p], many[1][p], energies[p], model) for p in parts]
    assert sum(counts) == whole
    assert CHECKED == 100_000
    energies[:] += 1
    with pytest.raises(ArithmeticError, match="Li2O"):
        check_energies(ids, *many, energies, model)


def test_ties_between_facets_are_counted(model: Model, phases: PhaseTable) -> None:
    done = screen_chunk(SPACE.chunk(0, len(SPACE)), model, phases, -10, False, True)
    products = [len(row["decomposition"]) for row in done.candidates.to_pylist()]
    elements = done.candidates["n_elements"].to_numpy()
    assert len(products) == len(SPACE)
    assert done.degenerate == np.count_nonzero(products < elements)
    assert 0 < done.degenerate < len(SPACE)
