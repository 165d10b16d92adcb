"""In Numba: what a composition's neighbour had too is not done again."""

import numba
import numpy as np


def by_system(
    elements: np.ndarray, amounts: np.ndarray, ratios: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the package."""
    row_of = np.full(1 << 16, -1, np.int32)
    row_of[(ratios.astype(np.int64) << (4 * np.arange(ratios.shape[1]))).sum(axis=1)] = np.arange(len(ratios))
    system, ratio = np.empty(len(elements), np.int64), np.empty(len(elements), np.int64)
    systems = np.zeros_like(elements)
    found = _by_system(elements, amounts, row_of, order.astype(np.int64), systems, system, ratio)
    return systems[:found].copy(), system, ratio


@numba.njit(cache=True, nogil=True)
def _by_system(elements, amounts, row_of, order, systems, system, ratio):
    width = elements.shape[1]
    shift = np.zeros(width, np.int64)
    found = 0
    for n in range(len(elements)):
        if not _as_before(elements, n):
            _ordered(elements[n], order, systems[found], shift)
            found += 1
        key = np.int64(0)
        for k in range(width):
            amount = np.int64(amounts[n, k])
            told = amount < 16 and shift[k] < 16 and (amount > 0) == (elements[n, k] != 0)
            key |= amount << shift[k] if told else np.int64(1 << 16)
        system[n] = found - 1
        ratio[n] = row_of[key] if key < len(row_of) else -1
    return found


@numba.njit(cache=True, nogil=True)
def _as_before(elements, n):
    same = n > 0
    for k in range(elements.shape[1] if same else 0):
        same &= elements[n, k] == elements[n - 1, k]
    return same


@numba.njit(cache=True, nogil=True)
def _ordered(labels, order, ordered, shift):
    """Labels by rising order, and by how many bits the amount of each is moved to its place."""
    for k in range(len(labels)):
        place = 0
        for j in range(len(labels)):
            if labels[j] != 0 and order[labels[j]] < order[labels[k]]:
                place += 1
        shift[k] = 0
        if labels[k] != 0:
            ordered[place] = labels[k]
            shift[k] = 4 * place


@numba.njit(cache=True, nogil=True)
def least(elements, values):
    """See the package."""
    result = np.empty(len(elements))
    for n in range(len(elements)):
        if _as_before(elements, n):
            result[n] = result[n - 1]
            continue
        present = 0
        for k in range(elements.shape[1]):
            present += elements[n, k] != 0
        smallest = np.inf
        for k in range(elements.shape[1]):
            if elements[n, k] != 0:
                smallest = min(smallest, values[present, elements[n, k]])
        result[n] = smallest
    return result
