"""Known phases, found by chemical system: a hash table from a set of elements to the phases of exactly that set.

A system's phases are those of all its subsets. A set is two 64-bit words (element z is bit z mod 64 of word z / 64), so
the table needs no strings and works for any number of elements.
"""

from typing import NamedTuple

import numba
import numpy as np

MAX_ELEMENTS = 16
"""Most elements of one composition: a look-up walks all 2^k subsets."""

ABOVE = 1e-9
"""eV/atom; what lies this far above its hull is not on it, whatever rounding does. Keeping too many does no harm."""


class HullIndex(NamedTuple):
    """Phases grouped by chemical system.

    Attributes
    ----------
    low, high : (T,) uint64: the element set in each slot of the table (both 0 where it is free); T is a power of two
    first, number : (T,) int64: where the set's phases begin and how many there are
    fractions : (P, K) float64: fraction of atoms of each element of the phase, by rising label, then 0
    energies : (P,) float64, eV/atom
    source : (P,) int64: row of the phase in the table that the index was built from
    """

    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    number: np.ndarray
    fractions: np.ndarray
    energies: np.ndarray
    source: np.ndarray


def build_index(elements: np.ndarray, amounts: np.ndarray, energies: np.ndarray) -> HullIndex:
    """Index phases by chemical system and drop those above the hull of their own system (they never matter).

    Parameters
    ----------
    elements : (P, K) uint8, labels 1…127 by rising value, then 0 in empty places
    amounts : (P, K), atoms of each, 0 in empty places
    energies : (P,) float64, formation energy in eV/atom, finite
    """
    everything = index_all(elements, amounts, energies)
    above = energies > _own_hull(elements, amounts, everything) + ABOVE  # not where the hull is NaN: none was found
    return _build(elements, amounts, energies, np.flatnonzero(~above))


def index_all(elements: np.ndarray, amounts: np.ndarray, energies: np.ndarray) -> HullIndex:
    """As `build_index`, with the phases above the hull of their own system kept."""
    if elements.shape != amounts.shape or energies.shape != (len(elements),):
        raise ValueError(f"shapes do not fit: {elements.shape}, {amounts.shape}, {energies.shape}")
    if elements.shape[1] > MAX_ELEMENTS or not np.isfinite(energies).all():
        raise ValueError(f"phases need finite energies and at most {MAX_ELEMENTS} elements")
    return _build(elements, amounts, energies, np.arange(len(elements)))


def _own_hull(elements: np.ndarray, amounts: np.ndarray, index: HullIndex) -> np.ndarray:
    from matscreen.kernels.hull import cpu  # which needs the class above

    order = np.lexsort(elements.T)  # phases of one system side by side share the facets
    result = np.empty(len(elements))
    sorted_elements, sorted_amounts = elements[order], amounts[order].astype(np.float64)
    cpu.hull_energies(sorted_elements, sorted_amounts, cpu.runs(sorted_elements), index, result)
    back = np.empty_like(result)
    back[order] = result
    return back


def _build(elements: np.ndarray, amounts: np.ndarray, energies: np.ndarray, rows: np.ndarray) -> HullIndex:
    low, high = element_sets(elements[rows])
    order = np.lexsort((rows, low, high))
    rows, low, high = rows[order], low[order], high[order]
    new = np.ones(len(rows), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    first = np.flatnonzero(new)
    count = np.diff(np.append(first, len(rows)))
    size = 1 << max(4, int(2 * len(first)).bit_length())
    table = (
        np.zeros(size, np.uint64),
        np.zeros(size, np.uint64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
    )
    _insert(low[first], high[first], first, count, *table)
    part = amounts[rows].astype(np.float64)
    part /= part.sum(axis=1, keepdims=True)
    return HullIndex(*table, np.ascontiguousarray(part), energies[rows].astype(np.float64), rows.astype(np.int64))


def element_sets(elements: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two words (N,) uint64 of each row's set of elements."""
    bit = np.uint64(1) << (elements.astype(np.uint64) & np.uint64(63))
    low = np.where((elements > 0) & (elements < 64), bit, 0).astype(np.uint64)
    high = np.where(elements >= 64, bit, 0).astype(np.uint64)
    return np.bitwise_or.reduce(low, axis=1), np.bitwise_or.reduce(high, axis=1)


@numba.njit(cache=True, nogil=True, inline="always")
def slot_of(low, high, table_low, table_high):
    """Slot of the set (low, high), or the free slot where it would go."""
    mixed = low * np.uint64(0x9E3779B97F4A7C15) ^ high * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= mixed >> np.uint64(29)
    mask = np.uint64(len(table_low) - 1)
    slot = (mixed * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(32) & mask
    while (table_low[slot] != low or table_high[slot] != high) and (table_low[slot] | table_high[slot]) != 0:
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(cache=True)
def _insert(low, high, first, count, table_low, table_high, table_first, table_count):
    for i in range(len(low)):
        slot = slot_of(low[i], high[i], table_low, table_high)
        table_low[slot] = low[i]
        table_high[slot] = high[i]
        table_first[slot] = first[i]
        table_count[slot] = count[i]
