"""What compounds would fall apart into, so that a network can learn the energies of that too.

Whether a compound is stable is a small difference between its energy and those of its competitors (Bartel et al., npj
Comput. Mater. 6, 97, 2020). A network that learns single energies is never told which errors cancel in it; one that
also learns the difference is.
"""

from typing import NamedTuple

import numpy as np

from matscreen.kernels.hull import build_index, decompositions
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
    assert data.target.energy is not None
    energies = data.values[:, data.target.energy].astype(np.float64)
    elements, amounts = composition_arrays(data.formulas)  # in float32, what lies on a line would not quite
    phases = np.zeros(elements.shape, np.int64)
    fractions = np.zeros(elements.shape, np.float32)
    group = np.random.default_rng(seed).integers(0, GROUPS, len(rows))
    for number in range(GROUPS):
        others, mine = rows[group != number], rows[group == number]
        index = build_index(elements[others], amounts[others], energies[others])
        _, found, share = decompositions(elements[mine], amounts[mine], index)
        compound = (share > 0) & (found >= 0)
        fractions[mine] = np.where(compound, share, 0)
        phases[mine] = np.where(compound, others[np.where(compound, found, 0)], 0) if len(others) else 0
    return Decompositions(phases, fractions)
