"""Numbers that no candidate may rest on: energies that are none, and kernels that err."""

import numpy as np

from matscreen.kernels.mlp import Precision
from matscreen.models import Model
from matscreen.models.formula import format_formula
from matscreen.models.guard import ENERGY_TOLERANCE
from matscreen.models.systems import SystemModel

CHECKED = 100_000
"""One composition in so many is predicted again by the definition while a scan goes on."""


def check_energies(
    ids: np.ndarray,
    elements: np.ndarray,
    amounts: np.ndarray,
    energies: np.ndarray,
    model: Model | SystemModel,
    precision: Precision | None = None,
    tolerance: float = ENERGY_TOLERANCE,
    one_in: int = CHECKED,
) -> int:
    """Compare predicted energies (N,), eV/atom, with what the definition gives; returns of how many.

    Those of a fixed sample of ids, whichever chunk or run they came from. With `precision`, of a GPU, goes its guard
    band as `tolerance`, eV/atom.

    ArithmeticError, with id and values, for the first energy that is not finite, or differs.
    """
    strange = np.flatnonzero(~np.isfinite(energies))
    if len(strange):
        row = strange[0]
        where = _named(ids, elements, amounts, row)
        raise ArithmeticError(f"model {model.name} predicts {energies[row]} eV/atom for {where}")
    rows = np.flatnonzero(_scattered(ids) % np.uint64(one_in) == 0)
    if not len(rows):
        return 0
    expected = model.energies(elements[rows], amounts[rows], backend="reference")
    wrong = np.flatnonzero(~(np.abs(energies[rows] - expected) <= tolerance))
    if len(wrong):
        at, kernel, what = wrong[0], "the kernel", "run `matscreen doctor --kernels`"
        if precision:
            kernel = f"the kernel in {precision}"
            what = (
                f"beyond the guard band of {tolerance} eV/atom; go on without --gpu, or widen it by `matscreen guard`"
            )
        raise ArithmeticError(
            f"{kernel} predicts {energies[rows[at]]:.6f} eV/atom for {_named(ids, elements, amounts, rows[at])}, its "
            f"definition {expected[at]:.6f}: {what}"
        )
    return len(rows)


def _scattered(ids: np.ndarray) -> np.ndarray:
    """Ids (N,) mixed into uint64 without a pattern that a run of ids could miss (the finalizer of SplitMix64)."""
    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _named(ids: np.ndarray, elements: np.ndarray, amounts: np.ndarray, row: int) -> str:
    return f"{format_formula(elements[row].tolist(), amounts[row].tolist())} (id {ids[row]})"
