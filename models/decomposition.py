"""What compounds would fall apart into, so that a network can learn the energies of that too.

Whether a compound is stable is a small difference between its energy and those of its competitors (Bartel et al., npj
Comput. Mater. 6, 97, 2020). A network that learns single energies is never told which errors cancel in it; one that
also learns the difference is.
"""

from typing import NamedTuple

import numpy as np

from matscreen.kernels.hull import MAX_ELEMENTS, build_index, decompositions
from matscreen.models.dataset import Dataset
from matscreen.models.formula import composition_arrays

GROUPS = 10
"""Of compounds, each of which is held against the hull of the others: a compound must not decompose into itself."""


class Decompositions(NamedTuple):
    """The phases that compounds compete with.

    Attributes
    ----------
    phases : (N, K) int64: rows of the table, where `fractions` is not 0
    fractions : (N, K) float32: of atoms that each phase takes; pure elements, whose energy is 0, are left out
    """

    phases: np.ndarray
    fractions: np.ndarray


def decompositions_of(data: Dataset, rows: np.ndarray, seed: int) -> Decompositions:
    """Competing phases of the compounds `rows`, all from among themselves; nothing for the other rows of `data`.

    The compounds are drawn into groups by `seed`. The data must have formation energies.
    """
    rows = few_enough(data, rows)
    elements, amounts, energies = known_energies(data, rows)
    phases = np.zeros((len(data), elements.shape[1]), np.int64)
    fractions = np.zeros(phases.shape, np.float32)
    group = np.random.default_rng(seed).integers(0, GROUPS, len(rows))
    for number in range(GROUPS):
        others, mine = np.flatnonzero(group != number), np.flatnonzero(group == number)
        index = build_index(elements[others], amounts[others], energies[others])
        _, found, share = decompositions(elements[mine], amounts[mine], index)
        compound = (share > 0) & (found >= 0)
        if len(others):
            fractions[rows[mine]] = np.where(compound, share, 0)
            phases[rows[mine]] = np.where(compound, rows[others[np.where(compound, found, 0)]], 0)
    return Decompositions(phases, fractions)


def few_enough(data: Dataset, rows: np.ndarray) -> np.ndarray:
    """The rows of compounds that a hull is found for."""
    few: np.ndarray = rows[(data.fractions[rows] > 0).sum(axis=1) <= MAX_ELEMENTS]
    return few


def known_energies(data: Dataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements and amounts (N, K) of these rows, as hulls are made of, and formation energies (N,) float64."""
    assert data.target.energy is not None
    # Not from the fractions, in whose float32 what lies on a line does not quite.
    elements, amounts = composition_arrays([data.formulas[i] for i in rows])
    return elements, amounts, data.values[rows, data.target.energy].astype(np.float64)
