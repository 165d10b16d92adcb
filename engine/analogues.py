"""A known compound of the same make: the same amounts, each element itself or another of its column of the periodic
table, and so with as many valence electrons. Chemists look there for a structure and for whether it can be made.
"""

import functools

import numpy as np
from pymatgen.core import Element

from matscreen.engine.reference import PhaseTable
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import composition_arrays, reduced

LANTHANIDES, ACTINIDES = 19, 20
"""Columns of their own, after the eighteen."""

AT_ONCE = 2**22
"""Pairs of a composition and a phase that are compared at a time."""


@functools.cache
def _columns() -> tuple[np.ndarray, np.ndarray]:
    """Column and Mendeleev number (Pettifor 1988: near ones form alike compounds) of each atomic number; 0 of none."""
    column, mendeleev = np.zeros(len(SYMBOLS), np.int64), np.zeros(len(SYMBOLS))
    for z in range(1, 104):
        element = Element.from_Z(z)
        column[z] = LANTHANIDES if element.is_lanthanoid else ACTINIDES if element.is_actinoid else element.group
        mendeleev[z] = element.mendeleev_no
    return column, mendeleev


def analogues(elements: np.ndarray, amounts: np.ndarray, phases: PhaseTable) -> np.ndarray:
    """(N,) int64: row of the nearest analogue among `phases.table` of each composition, −1 where there is none.

    The nearest has the fewest other elements, then the least difference of Mendeleev numbers over all atoms; of equal
    ones the first. The composition itself is no analogue.

    elements, amounts : (N, K) uint8: atomic numbers by rising value, atoms (reduced); 0 in empty places
    """
    known = _by_make(phases)
    found = np.full(len(elements), -1, np.int64)
    if not len(elements):
        return found
    mendeleev = _columns()[1]
    makes, ordered = _makes(elements, amounts)
    unique, inverse = np.unique(makes, axis=0, return_inverse=True)
    mine = np.argsort(inverse, kind="stable")
    ends = np.searchsorted(inverse[mine], np.arange(len(unique) + 1))
    for number, make in enumerate(unique):
        rows, theirs = known.get(make[make > 0].tobytes(), (None, None))
        if rows is None or theirs is None:
            continue
        weights = (make[make > 0] % 256).astype(np.float64)
        part = mine[ends[number] : ends[number + 1]]
        for some in np.array_split(part, -(-len(part) * len(rows) // AT_ONCE)):
            own = ordered[some, -theirs.shape[1] :]
            others = (own[:, None, :, None] != theirs[None, :, None, :]).all(axis=3).sum(axis=2)
            apart = np.abs(mendeleev[own][:, None] - mendeleev[theirs][None]) @ weights
            cost = np.where(others, others * 1e6 + apart, np.inf)
            best = cost.argmin(axis=1)
            found[some] = np.where(np.isfinite(cost[np.arange(len(some)), best]), rows[best], -1)
    return found


@functools.lru_cache(maxsize=4)
def _by_make(phases: PhaseTable) -> dict[bytes, tuple[np.ndarray, np.ndarray]]:
    """{make: (rows of the phases, their elements (P, k))}; phases of broken amounts have none."""
    elements, amounts = composition_arrays(phases.table["formula"].to_pylist())
    amounts = np.array([reduced(row) for row in amounts.tolist()]).reshape(elements.shape)
    whole = (amounts == np.rint(amounts)).all(axis=1) & (amounts < 256).all(axis=1) & ((elements > 0).sum(axis=1) > 1)
    rows = np.flatnonzero(whole & (elements < 104).all(axis=1))
    makes, ordered = _makes(elements[rows], amounts[rows].astype(np.uint8))
    listed: dict[bytes, list[int]] = {}
    for place, make in enumerate(makes):
        listed.setdefault(make[make > 0].tobytes(), []).append(place)
    return {
        key: (rows[places], ordered[places][:, -int((makes[places[0]] > 0).sum()) :]) for key, places in listed.items()
    }


def _makes(elements: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column · 256 + amount of each element, rising (0 in empty places), and the elements in that order.

    Those with the same column and amount stand by Mendeleev number, so that two such rows pair off with the least
    differences.
    """
    column, mendeleev = _columns()
    makes = np.where(elements > 0, column[elements] * 256 + amounts, 0)
    order = np.lexsort((mendeleev[elements], makes), axis=1)
    return np.take_along_axis(makes, order, axis=1), np.take_along_axis(elements, order, axis=1).astype(np.int64)
