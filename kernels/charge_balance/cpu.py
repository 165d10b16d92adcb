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
