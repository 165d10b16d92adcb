"""The attributes in Numba: the 22 properties of an element are one vector, and charges are bits of a word."""

import numba
import numpy as np

from matscreen.kernels.features.reference import MOST_ATOMS, WHOLE
from matscreen.kernels.features.tables import TABLES, VALENCE

_PROPERTIES = TABLES.properties.shape[1]
_S, _P, _D, _F = VALENCE
_WORDS = MOST_ATOMS * 16 // 64 + 2  # no element's states span more than 15

_jit = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")


def composition_features(elements: np.ndarray, amounts: np.ndarray, result: np.ndarray) -> None:
    """Fill `result` (N, 145); see the package."""
    _fill(elements, amounts, TABLES, result)


@_jit
def sparse(fractions, columns, elements, amounts):
    """Non-zero fractions (N, 86) of each row, with their atomic numbers, to the left of elements and amounts (N, K)."""
    for row in range(len(fractions)):
        place = 0
        for column in range(fractions.shape[1]):
            if fractions[row, column] > 0:
                elements[row, place] = columns[column]
                amounts[row, place] = fractions[row, column]
                place += 1


@_jit
def _unit(share, k, atoms):
    """Whole amounts of the smallest formula unit into `atoms`; the number of atoms in it, 0 if there is none."""
    for total in range(1, MOST_ATOMS + 1):
        whole = True
        for i in range(k):
            n = np.rint(share[i] * total)
            atoms[i] = n
            if not abs(share[i] * total - n) < WHOLE:
                whole = False
                break
        if whole:
            return total
    return 0


@_jit
def _possible(labels, share, k, atoms, sums, tables):
    """Whether the atoms can take oxidation states that sum to zero. Bit b of `sums`: they can sum to (lowest + b)."""
    if k == 1:
        return 1.0
    for i in range(k):
        if tables.first[labels[i]] == tables.first[labels[i] + 1]:
            return 0.0
    total = _unit(share, k, atoms)
    low = 0.0
    high = 0.0
    for i in range(k):
        first, last = tables.first[labels[i]], tables.first[labels[i] + 1] - 1  # states are sorted
        weight = np.float64(atoms[i]) if total else share[i]
        low += weight * tables.states[first]
        high += weight * tables.states[last]
    if low > 0 or high < 0:
        return 0.0
    if total == 0:
        return 1.0
    lowest = np.int64(low)
    words = (np.int64(high) - lowest) // 64 + 1
    for w in range(words):
        sums[w] = 0
    sums[0] = 1
    for i in range(k):
        first, last = tables.first[labels[i]], tables.first[labels[i] + 1]
        for _ in range(atoms[i]):  # each atom moves the sums by one of its element's states
            for w in range(words - 1, -1, -1):
                moved = np.uint64(0)
                for s in range(first, last):
                    by = np.int64(tables.states[s]) - np.int64(tables.states[first])
                    moved |= sums[w] << np.uint64(by)
                    if by > 0 and w > 0:
                        moved |= sums[w - 1] >> np.uint64(64 - by)
                sums[w] = moved
    return np.float64(sums[-lowest // 64] >> np.uint64(-lowest % 64) & np.uint64(1))


@_jit
def _fill(elements, amounts, tables, result):
    width = elements.shape[1]
    labels = np.empty(width, np.int64)
    share = np.empty(width)
    atoms = np.empty(width, np.int64)
    sums = np.empty(_WORDS, np.uint64)
    low, high, mean = np.empty(_PROPERTIES), np.empty(_PROPERTIES), np.empty(_PROPERTIES)
    deviation, mode = np.empty(_PROPERTIES), np.empty(_PROPERTIES)
    for row in range(len(elements)):
        out = result[row]
        k = 0
        whole = 0.0
        for place in range(width):
            if elements[row, place] != 0:
                labels[k] = elements[row, place]
                share[k] = amounts[row, place]
                whole += share[k]
                k += 1
        norm2, norm3, norm5, norm7, norm10, largest = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(k):
            share[i] /= whole
            x = share[i]
            largest = max(largest, x)
            x2 = x * x
            x5 = x2 * x2 * x
            norm2 += x2
            norm3 += x2 * x
            norm5 += x5
            norm7 += x5 * x2
            norm10 += x5 * x5
        out[0] = k
        out[1] = np.sqrt(norm2)
        out[2] = np.cbrt(norm3)
        out[3] = norm5 ** (1 / 5)
        out[4] = norm7 ** (1 / 7)
        out[5] = norm10 ** (1 / 10)

        low[:], high[:], mean[:], deviation[:], mode[:] = np.inf, -np.inf, 0.0, 0.0, np.inf
        for i in range(k):
            x = share[i]
            most = abs(x - largest) <= 1e-5 * largest
            for p in range(_PROPERTIES):
                value = tables.properties[labels[i], p]
                low[p] = min(low[p], value)
                high[p] = max(high[p], value)
                mean[p] += x * value
                mode[p] = min(mode[p], value) if most else mode[p]
        for i in range(k):
            for p in range(_PROPERTIES):
                deviation[p] += share[i] * abs(tables.properties[labels[i], p] - mean[p])
        for p in range(_PROPERTIES):
            out[6 + 6 * p] = low[p]
            out[7 + 6 * p] = high[p]
            out[8 + 6 * p] = high[p] - low[p]
            out[9 + 6 * p] = mean[p]
            out[10 + 6 * p] = deviation[p]
            out[11 + 6 * p] = mode[p]
        at = 6 + 6 * _PROPERTIES
        out[at], out[at + 1], out[at + 2], out[at + 3] = mean[_S], mean[_P], mean[_D], mean[_F]

        out[at + 4] = _possible(labels, share, k, atoms, sums, tables)
        strongest = 0.0
        average = 0.0
        for i in range(k):
            for j in range(i):
                apart = tables.electronegativity[labels[i]] - tables.electronegativity[labels[j]]
                ionic = 1.0 - np.exp(-0.25 * apart * apart)
                strongest = max(strongest, ionic)
                average += share[i] * share[j] * ionic
        out[at + 5] = strongest
        out[at + 6] = average


def standardised(features: np.ndarray, mean: np.ndarray, scale: np.ndarray, largest: float) -> np.ndarray:
    """See the package."""
    out = np.empty(features.shape, np.float32)
    _standardise(np.ascontiguousarray(features, np.float64), mean, 1 / scale.astype(np.float64), largest, out)
    return out


@numba.njit(cache=True, nogil=True)
def _standardise(features, mean, times, largest, out):
    for n in range(len(features)):
        for j in range(len(mean)):
            out[n, j] = min(max((features[n, j] - mean[j]) * times[j], -largest), largest)
