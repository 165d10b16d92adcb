"""Rank and unrank in Numba: one unranked system, then the next ones by counting up.

A range is filled system by system, so the cost of a composition is the store of its bytes. Unranking each composition
by itself was 20 times slower.
"""

import math

import numba
import numpy as np


def unrank(
    start: int, stop: int, free: np.ndarray, required: np.ndarray, ratios: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """See the package."""
    elements = np.empty((stop - start, width), np.uint8)
    amounts = np.empty((stop - start, width), np.uint8)
    arity = ratios.shape[1]
    padded = np.zeros((len(ratios), width), np.uint8)
    padded[:, :arity] = ratios
    binomials = _binomials(len(free), arity)
    if len(elements):  # with none asked for the block itself may have none
        _fill(start, elements.reshape(-1), amounts.reshape(-1), free, required, padded, arity, binomials)
    return elements, amounts


def unrank_each(
    ranks: np.ndarray, free: np.ndarray, required: np.ndarray, ratios: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """See the package."""
    elements = np.empty((len(ranks), width), np.uint8)
    amounts = np.empty((len(ranks), width), np.uint8)
    arity = ratios.shape[1]
    padded = np.zeros((len(ratios), width), np.uint8)
    padded[:, :arity] = ratios
    binomials = _binomials(len(free), arity)
    _fill_each(ranks.astype(np.int64, copy=False), elements, amounts, free, required, padded, arity, binomials)
    return elements, amounts


def rank(
    elements: np.ndarray, amounts: np.ndarray, free: np.ndarray, required: np.ndarray, ratios: np.ndarray
) -> np.ndarray:
    """See the package."""
    kind = np.zeros(256, np.int64) - 1  # of a label: its place in `free`, −1 foreign, −2 required
    kind[free] = np.arange(len(free))
    kind[required] = -2
    return _rank(elements, amounts, kind, len(required), ratios, _binomials(len(free), ratios.shape[1]))


def _binomials(n: int, k: int) -> np.ndarray:
    """C(i, j) for i ≤ n, j ≤ k; those beyond 2⁶³ − 1 (never reached by a valid rank) are cut there."""
    limit = np.iinfo(np.int64).max
    return np.array([[min(math.comb(i, j), limit) for j in range(k + 1)] for i in range(n + 1)], np.int64)


@numba.njit(cache=True, nogil=True)
def _copy(to, source):
    # Over slices, so that the index cannot be negative and the loop becomes wide moves.
    for b in range(len(to)):
        to[b] = source[b]


@numba.njit(cache=True, nogil=True)
def _fill(start, elements, amounts, free, required, ratios, arity, binomials):
    n_ratios, width = ratios.shape
    flat_ratios = ratios.reshape(-1)
    k = arity - len(required)
    chosen = np.empty(k + 1, np.int64)
    system = start // n_ratios
    for place in range(k, 0, -1):
        c = place - 1
        while c + 1 < len(binomials) and binomials[c + 1, place] <= system:
            c += 1
        system -= binomials[c, place]
        chosen[place - 1] = c
    chosen[k] = len(free)

    first = (start % n_ratios) * width  # all positions are in bytes from here on
    at = 0
    while at < len(elements):
        # Merge two rising runs: the chosen free labels and the required ones.
        i = 0
        j = 0
        for place in range(arity):
            if j == len(required) or (i < k and free[chosen[i]] < required[j]):
                elements[at + place] = free[chosen[i]]
                i += 1
            else:
                elements[at + place] = required[j]
                j += 1
        for place in range(arity, width):
            elements[at + place] = 0
        size = min(len(flat_ratios) - first, len(elements) - at)
        filled = width
        while filled < size:  # all rows of a system are alike: copy what is there, twice as much each time
            step = min(filled, size - filled)
            _copy(elements[at + filled : at + filled + step], elements[at : at + step])
            filled += step
        _copy(amounts[at : at + size], flat_ratios[first : first + size])
        at += size
        first = 0
        # Next combination in colexicographic order: raise the first that can rise, reset those below it.
        i = 0
        while i < k - 1 and chosen[i] + 1 == chosen[i + 1]:
            chosen[i] = i
            i += 1
        if k:
            chosen[i] += 1


@numba.njit(cache=True, nogil=True)
def _fill_each(ranks, elements, amounts, free, required, ratios, arity, binomials):
    for n in range(len(ranks)):
        _fill(ranks[n], elements[n], amounts[n], free, required, ratios, arity, binomials)


@numba.njit(cache=True, nogil=True)
def _rank(elements, amounts, kind, n_required, ratios, binomials):
    n, arity = elements.shape
    result = np.empty(n, np.int64)
    for row in range(n):
        system = 0
        free_seen = 0
        required_seen = 0
        previous = -1
        valid = True
        for place in range(arity):
            label = np.int64(elements[row, place])
            if label <= previous:
                valid = False
            previous = label
            position = kind[label]
            if position >= 0:
                free_seen += 1
                system += binomials[position, free_seen]
            elif position == -2:
                required_seen += 1
            else:
                valid = False
        low = 0
        high = len(ratios)
        while low < high:  # the table is in lexicographic order
            middle = (low + high) // 2
            order = 0
            for place in range(arity):
                if order == 0:
                    order = np.int64(ratios[middle, place]) - np.int64(amounts[row, place])
            if order < 0:
                low = middle + 1
            else:
                high = middle
        if low == len(ratios):
            valid = False
        else:
            for place in range(arity):
                if ratios[low, place] != amounts[row, place]:
                    valid = False
        if valid and required_seen == n_required:
            result[row] = system * len(ratios) + low
        else:
            result[row] = -1
    return result
