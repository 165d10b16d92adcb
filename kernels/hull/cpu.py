"""The hull in Numba: a walk over the facets of a chemical system, each answering all compositions inside it.

Each new facet is tried on all compositions of the system in one vectorised sweep, and the walk goes on to the nearest
composition that no facet has held yet: the 205 ratios of a quaternary cost one walk over its facets.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from matscreen.kernels.hull.index import HullIndex, slot_of
from matscreen.kernels.hull.simplex import OUTSIDE, combine, cross, descend, jit, new_facet


class Open(NamedTuple):
    """Compositions that no facet has held yet, and their place on the facet at hand.

    Attributes
    ----------
    x : (max(k, 4), m): fractions of atoms, a column each; rows beyond k are not looked at
    rows : (m,) uint32: where their energies go, counted from the first of the system
    margin : (m,): the least fraction of any phase of the facet, negative outside it
    energy : (m,): on the facet's plane, eV/atom
    """

    x: np.ndarray
    rows: np.ndarray
    margin: np.ndarray
    energy: np.ndarray


@jit
def _room(k, m):
    return Open(np.empty((max(k, 4), m)), np.empty(m, np.uint32), np.empty(m), np.empty(m))


@jit
def runs(elements):
    """(S + 1,) int64: where each run of consecutive rows with the same elements begins, and the number of rows."""
    starts = np.empty(len(elements) + 1, np.int64)
    found = 0
    for row in range(len(elements)):
        same = row > 0
        for j in range(elements.shape[1]):
            same = same and elements[row, j] == elements[row - 1, j]
        if not same:
            starts[found] = row
            found += 1
    starts[found] = len(elements)
    return starts[: found + 1].copy()


def hull_energy(fractions: np.ndarray, phase_fractions: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """See the package."""
    k = fractions.shape[1]
    columns = np.ascontiguousarray(np.concatenate([np.eye(k), phase_fractions]).T)
    values = np.concatenate([np.zeros(k), energies])
    result = np.empty(len(fractions))
    if len(fractions):
        compositions = _room(k, len(fractions))
        compositions.x[:k] = fractions.T
        compositions.rows[:] = np.arange(len(fractions))
        _walk(columns, values, compositions, len(fractions), result, new_facet(k, len(values)))
    if np.isnan(result).any():
        raise ArithmeticError("no hull facet found: please report these phases")
    return result


def hull_energies(
    elements: np.ndarray, amounts: np.ndarray, runs: np.ndarray, index: HullIndex, result: np.ndarray
) -> None:
    """Fill `result` for the rows of `runs` (see `runs`); rows outside it are not touched."""
    if len(runs) > 1:
        _systems(elements, amounts, runs, index, result, np.empty((0, 0), np.int64), np.empty((0, 0)))


def decompositions(
    elements: np.ndarray, amounts: np.ndarray, index: HullIndex
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the package."""
    energies = np.empty(len(elements))
    phases = np.zeros(elements.shape, np.int64)
    fractions = np.zeros(elements.shape)
    _systems(elements, amounts, np.arange(len(elements) + 1), index, energies, phases, fractions)
    if np.isnan(energies).any():
        raise ArithmeticError(f"no hull facet found for row {int(np.isnan(energies).argmax())}")
    order = np.argsort(-fractions, axis=1, kind="stable")
    return energies, np.take_along_axis(phases, order, 1), np.take_along_axis(fractions, order, 1)


def competing_energies(elements: np.ndarray, amounts: np.ndarray, index: HullIndex, threads: int) -> np.ndarray:
    """(P,) hull energy at each phase that `index` was built from, spanned by all the others."""
    order = np.lexsort(elements.T)  # phases of one system side by side share what is gathered for it
    elements, amounts = elements[order], amounts[order].astype(np.float64)
    place = np.empty(len(order), np.int64)  # in the index, of each phase
    place[index.source] = np.arange(len(order))
    place = place[order]
    starts = runs(elements)
    result = np.empty(len(order))
    parts = np.array_split(np.arange(len(starts) - 1), 8 * threads)
    with ThreadPoolExecutor(threads) as pool:
        list(
            pool.map(
                lambda part: _without_each(elements, amounts, place, starts[part[0] : part[-1] + 2], index, result),
                [part for part in parts if len(part)],
            )
        )
    back = np.empty_like(result)
    back[order] = result
    return back


@jit
def _margins(inverse, x, margin):
    """For every composition the least fraction of any phase of the facet: negative outside it."""
    k = len(inverse)
    if k == 4:  # the bulk of every scan, in one vectorised pass
        a0, a1, a2, a3 = inverse[0, 0], inverse[0, 1], inverse[0, 2], inverse[0, 3]
        b0, b1, b2, b3 = inverse[1, 0], inverse[1, 1], inverse[1, 2], inverse[1, 3]
        c0, c1, c2, c3 = inverse[2, 0], inverse[2, 1], inverse[2, 2], inverse[2, 3]
        d0, d1, d2, d3 = inverse[3, 0], inverse[3, 1], inverse[3, 2], inverse[3, 3]
        for r in range(len(margin)):
            a = a0 * x[0, r] + a1 * x[1, r] + a2 * x[2, r] + a3 * x[3, r]
            b = b0 * x[0, r] + b1 * x[1, r] + b2 * x[2, r] + b3 * x[3, r]
            c = c0 * x[0, r] + c1 * x[1, r] + c2 * x[2, r] + c3 * x[3, r]
            d = d0 * x[0, r] + d1 * x[1, r] + d2 * x[2, r] + d3 * x[3, r]
            a = a if a < b else b
            c = c if c < d else d
            margin[r] = a if a < c else c
        return
    for r in range(len(margin)):
        least = np.inf
        for i in range(k):
            share = 0.0
            for j in range(k):
                share += inverse[i, j] * x[j, r]
            least = min(least, share)
        margin[r] = least


@jit
def _walk(columns, values, compositions, m, result, facet):
    """Energies of the first m compositions, which are used up, into their rows of `result`; NaN where it failed."""
    x, rows, margin, energy = compositions
    k = len(facet.basis)
    at = 0
    found = descend(facet, columns, values, x)
    while m:
        found = found and cross(facet, columns, values, x, at)
        if not found:
            for r in range(m):
                result[rows[r]] = np.nan
            return
        _margins(facet.inverse, x, margin[:m])
        combine(facet.plane, x, energy[:m])
        margin[at] = 0.0  # `cross` has found it inside; rounding must not say otherwise here
        left = 0
        for r in range(m):  # without a branch: what is written for a composition outside is written again later
            result[rows[r]] = energy[r]
            outside = margin[r] < -OUTSIDE
            rows[left] = rows[r]
            margin[left] = margin[r]
            for j in range(4):
                x[j, left] = x[j, r]
            for j in range(4, k):
                x[j, left] = x[j, r]
            left += 1 if outside else 0
        m = left
        at = 0
        for r in range(1, m):  # on to the nearest: fewest facets away
            at = r if margin[r] > margin[at] else at


@jit
def _slots(labels, index, slots):
    """Slot in the index of every subset of `labels`, by the bits of its number; returns the phases in all of them."""
    low = np.uint64(0)
    high = np.uint64(0)
    total = 0
    for count in range(1, 1 << len(labels)):  # Gray code: each subset differs from the last by one element
        changed = 0
        while not count >> changed & 1:
            changed += 1
        bit = np.uint64(1) << np.uint64(labels[changed] & 63)
        if labels[changed] < 64:
            low ^= bit
        else:
            high ^= bit
        slot = slot_of(low, high, index.low, index.high)
        slots[count ^ count >> 1] = slot
        total += index.number[slot]
    return total


@jit
def _gather(k, index, slots, columns, values, members):
    """The pure elements and the phases of all subsets. members[p] is the phase's place in the index."""
    columns[:] = 0.0
    for i in range(k):
        columns[i, i] = 1.0
        values[i] = 0.0
    n = k
    for subset in range(1, 1 << k):
        slot = slots[subset]
        for p in range(index.first[slot], index.first[slot] + index.number[slot]):
            values[n] = index.energies[p]
            members[n] = p
            place = 0
            for i in range(k):
                if subset >> i & 1:
                    columns[i, n] = index.fractions[p, place]
                    place += 1
            n += 1


@jit
def _labels(elements, row, labels):
    k = 0
    for j in range(elements.shape[1]):
        if elements[row, j] != 0:
            labels[k] = elements[row, j]
            k += 1
    return k


@jit
def _systems(elements, amounts, runs, index, result, phases, fractions):
    """Energies of all runs. With room in `phases` and `fractions`, and one row a run, also the decomposition."""
    width = elements.shape[1]
    longest = 0
    for s in range(len(runs) - 1):
        longest = max(longest, runs[s + 1] - runs[s])
    labels = np.empty(width, np.int64)
    slots = np.empty(1 << width, np.uint64)
    size = 0  # elements and phases that the work space below has room for
    room = 0
    facet, compositions = new_facet(0, 0), _room(0, 0)
    flat, values, members = np.empty(0), np.empty(0), np.empty(0, np.int64)
    for s in range(len(runs) - 1):
        first = runs[s]
        k = _labels(elements, first, labels)
        n = k + _slots(labels[:k], index, slots)
        if k != size or n > room:
            size, room = k, max(2 * n, room)
            facet, compositions = new_facet(k, room), _room(k, longest)
            flat, values, members = np.empty(k * room), np.empty(room), np.empty(room, np.int64)
        columns = flat[: k * n].reshape(k, n)  # contiguous, or loops over phases are not vectorised
        _gather(k, index, slots, columns, values, members)
        for row in range(first, runs[s + 1]):
            compositions.rows[row - first] = row - first
            total = 0.0
            for j in range(k):
                total += amounts[row, j]
            share = 1.0 / total
            for j in range(k):
                compositions.x[j, row - first] = amounts[row, j] * share
        _walk(columns, values[:n], compositions, runs[s + 1] - first, result[first : runs[s + 1]], facet)
        if len(phases):
            for i in range(k):
                share = 0.0
                for j in range(k):
                    share += facet.inverse[i, j] * compositions.x[j, 0]
                if share > 1e-9:
                    fractions[first, i] = share
                    phase = facet.basis[i]
                    phases[first, i] = -labels[phase] if phase < k else index.source[members[phase]]


@jit
def _without_each(elements, amounts, place, runs, index, result):
    """Hull energy at each row of the runs with the phase that stands at `place` in the index left out."""
    labels = np.empty(elements.shape[1], np.int64)
    slots = np.empty(1 << elements.shape[1], np.uint64)
    for s in range(len(runs) - 1):
        k = _labels(elements, runs[s], labels)
        n = k + _slots(labels[:k], index, slots)
        columns, values, members = np.empty((k, n)), np.empty(n), np.empty(n, np.int64)
        _gather(k, index, slots, columns, values, members)
        others, energies = np.empty((k, n - 1)), np.empty(n - 1)
        facet, composition = new_facet(k, n), _room(k, 1)
        for row in range(runs[s], runs[s + 1]):
            total = amounts[row, :k].sum()
            for j in range(k):
                composition.x[j, 0] = amounts[row, j] / total
            composition.rows[0] = 0
            left = 0
            for p in range(n):
                if p < k or members[p] != place[row]:
                    for j in range(k):
                        others[j, left] = columns[j, p]
                    energies[left] = values[p]
                    left += 1
            _walk(others, energies, composition, 1, result[row : row + 1], facet)
