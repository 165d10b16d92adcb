"""Every choice in Numba, counted through like an odometer, with the charge kept up to date as a digit turns."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def charge_neutral(elements, amounts, first, states):
    """See the package."""
    n, width = elements.shape
    result = np.zeros(n, np.bool_)
    begin = np.empty(width, np.int64)
    end = np.empty(width, np.int64)
    digit = np.empty(width, np.int64)
    atoms = np.empty(width, np.int64)
    for row in range(n):
        k = 0
        charge = 0
        possible = True
        for j in range(width):
            z = elements[row, j]
            if z == 0:
                continue
            begin[k] = first[z]
            end[k] = first[z + 1]
            digit[k] = begin[k]
            atoms[k] = amounts[row, j]
            if begin[k] == end[k]:
                possible = False
            else:
                charge += atoms[k] * states[begin[k]]
            k += 1
        while possible:
            if charge == 0:
                result[row] = True
                break
            turn = 0
            while turn < k:
                charge -= atoms[turn] * states[digit[turn]]
                digit[turn] += 1
                if digit[turn] < end[turn]:
                    charge += atoms[turn] * states[digit[turn]]
                    break
                digit[turn] = begin[turn]
                charge += atoms[turn] * states[digit[turn]]
                turn += 1
            possible = turn < k
    return result


@numba.njit(cache=True, nogil=True)
def _in_order(elements, row, states, digit, place, k, electronegativities):
    """Whether every anion of the choice is more electronegative than every cation, and there are both."""
    cation, anion = -np.inf, np.inf
    for j in range(k):
        chi = electronegativities[elements[row, place[j]]]
        if np.isnan(chi):
            return False
        if states[digit[j]] > 0:
            cation = max(cation, chi)
        elif states[digit[j]] < 0:
            anion = min(anion, chi)
    return cation > -np.inf and anion < np.inf and cation < anion


@numba.njit(cache=True, nogil=True)
def oxidation_states(elements, amounts, first, states, weights, electronegativities):
    """See the package."""
    n, width = elements.shape
    chosen = np.zeros((n, width), np.int8)
    neutral, ordered = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    place, digit = np.empty(width, np.int64), np.empty(width, np.int64)
    for row in range(n):
        k = 0
        possible = True
        for j in range(width):
            z = elements[row, j]
            if z:
                place[k], digit[k] = j, first[z]
                possible &= first[z] < first[z + 1]
                k += 1
        best, best_in_order = -np.inf, False
        while possible:
            charge = 0
            for j in range(k):
                charge += amounts[row, place[j]] * states[digit[j]]
            if charge == 0:
                usual = 0.0
                for j in range(k):
                    usual += amounts[row, place[j]] * weights[digit[j]]
                fits = _in_order(elements, row, states, digit, place, k, electronegativities)
                neutral[row] = True
                ordered[row] |= fits
                if (fits and not best_in_order) or (fits == best_in_order and usual > best):
                    best, best_in_order = usual, fits
                    for j in range(k):
                        chosen[row, place[j]] = states[digit[j]]
            turn = 0
            while turn < k:
                digit[turn] += 1
                z = elements[row, place[turn]]
                if digit[turn] < first[z + 1]:
                    break
                digit[turn] = first[z]
                turn += 1
            possible = turn < k
    return chosen, neutral, ordered
