"""Only compositions that share elements are compared, found through lists of what holds which."""

import numba
import numpy as np

from matscreen.kernels.composition_distance.reference import TIE

MOST_UNSURE = 30
"""Elements of which all subsets can be counted; more than there are compositions to compare with."""


def nearest_phase(elements: np.ndarray, fractions: np.ndarray, phases) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """See the package."""
    # ‖x − f‖² = x·x + f·f − 2 x·f, and x·f is a sum over shared elements. A phase that shares none has no x·f: such a
    # one can only be nearest if the least f·f of all phases is less than the best found.
    return _search(elements, fractions, phases.first, phases.phase, phases.fraction, phases.square)


@numba.njit(cache=True, nogil=True)
def _search(elements, fractions, first, phase, fraction, square):
    n, width = elements.shape
    rows, distances = np.empty(n, np.int64), np.empty(n)
    shared = np.zeros(len(square))  # x·f, 0 again after each composition
    least = square.min()
    for i in range(n):
        own = 0.0
        for j in range(width):
            z = elements[i, j]
            if z:
                own += fractions[i, j] * fractions[i, j]
                for m in range(first[z], first[z + 1]):
                    shared[phase[m]] += fractions[i, j] * fraction[m]
        best, at = np.inf, -1
        for j in range(width):
            z = elements[i, j]
            if z:
                for m in range(first[z], first[z + 1]):
                    p = phase[m]
                    away = square[p] - 2 * shared[p]
                    shared[p] = 0.0  # met again by another element it only seems further off than it was
                    if away < best - TIE or (away <= best + TIE and p < at):
                        best, at = min(best, away), p
        if at < 0 or least <= best + TIE:  # perhaps one that shares nothing
            for p in range(len(square)):
                away = square[p]
                if away < best - TIE or (away <= best + TIE and p < at):
                    best, at = min(best, away), p
        # The distance itself from differences: near 0 the sum above has lost its digits.
        rows[i] = at
        distances[i] = _distance(elements[i], fractions[i], first, phase, fraction, square[at], at)
    return rows, distances


@numba.njit(cache=True, nogil=True)
def _distance(elements, fractions, first, phase, fraction, square, at):
    apart, seen = 0.0, 0.0
    for j in range(len(elements)):
        z = elements[j]
        if z:
            m = first[z] + np.searchsorted(phase[first[z] : first[z + 1]], at)
            f = fraction[m] if m < first[z + 1] and phase[m] == at else 0.0
            apart += (fractions[j] - f) ** 2
            seen += f * f
    return np.sqrt(apart + max(square - seen, 0.0))


def diverse(elements: np.ndarray, fractions: np.ndarray, alike: float) -> np.ndarray:
    """See the package."""
    signs = np.random.default_rng(0).integers(0, 2**63, 256)
    return _kept(elements, fractions, alike * alike + TIE, signs)


@numba.njit(cache=True, nogil=True)
def _kept(elements, fractions, limit, signs):
    # Two are alike up to a distance of √limit. One that lacks an element of which another has f is at least
    # f √(1 + 1/m) away: its own elements, m ≤ width, have f more in all. So what has more than `least` in one, a main
    # element, is in all that are alike to it (1/√(1 + 1/m) ≤ √(1 − 1/2m)); and what has `near` more than that, a sure
    # one, is a main element of them all. Whatever is kept stands in the chain of its set of main elements; a new one
    # looks through the chains of all sets between its sure elements and all that it has, or, where those are more,
    # through all that is kept. A set is the exclusive or of its elements' signs: two with the same only share a chain.
    n, width = elements.shape
    near = np.sqrt(limit) + 1e-9  # more than rounding takes
    least = near * np.sqrt(1 - 0.5 / max(width, 1))
    chains = 1
    while chains < 2 * n:
        chains *= 2
    keep = np.zeros(n, np.bool_)
    last, before = np.full(chains, -1, np.int64), np.full(n, -1, np.int64)  # of those kept in a chain
    kept, count = np.empty(n, np.int64), 0
    unsure = np.empty(width, np.int64)
    for i in range(n):
        main, current, number = np.int64(0), np.int64(0), 0
        for j in range(width):
            if elements[i, j]:
                sign = signs[elements[i, j]]
                if fractions[i, j] > least:
                    main ^= sign
                if fractions[i, j] > least + near:
                    current ^= sign
                else:
                    unsure[number] = sign
                    number += 1
        far, turn = True, 0
        if number > MOST_UNSURE or 1 << number > count:
            while far and turn < count:
                far = _square(elements, fractions, i, kept[turn]) > limit
                turn += 1
        else:
            while far and turn < 1 << number:
                if turn:  # in the order of a Gray code: one element comes or goes
                    bit = 0
                    while not (turn >> bit) & 1:
                        bit += 1
                    current ^= unsure[bit]
                place = last[current & (chains - 1)]
                while far and place >= 0:
                    far = _square(elements, fractions, i, place) > limit
                    place = before[place]
                turn += 1
        if far:
            keep[i] = True
            kept[count] = i
            count += 1
            before[i] = last[main & (chains - 1)]
            last[main & (chains - 1)] = i
    return keep


@numba.njit(cache=True, nogil=True)
def _square(elements, fractions, a, b):
    """‖x − y‖² of two rows, whose elements rise: merged like two sorted lists."""
    width = elements.shape[1]
    i, j, total = 0, 0, 0.0
    while True:
        own = elements[a, i] if i < width and elements[a, i] else 256
        other = elements[b, j] if j < width and elements[b, j] else 256
        if own == other == 256:
            return total
        apart = 0.0
        if own <= other:
            apart += fractions[a, i]
            i += 1
        if other <= own:
            apart -= fractions[b, j]
            j += 1
        total += apart * apart
