"""From facet to facet of the lower hull of one chemical system, by the simplex method on a handful of phases.

A basis of k phases whose plane lies below every phase is a facet of the lower hull. The first is found by the primal
simplex from the pure elements; for a composition outside it, dual pivots cross to the facet that holds it, and every
basis on the way is a facet too.

Arrays are laid out with the long axis last: columns (k, n) are the phases (pure elements first), x (k, m) compositions.
"""

from typing import NamedTuple

import numba
import numpy as np

OUTSIDE = 1e-13  # a fraction below −OUTSIDE lies outside a facet; rounding is about 1e-16 × the basis' condition
PIVOT = 1e-10  # smallest pivot: phases nearer to each other than this count as one, or a basis of both would be noise
LARGE = 1e3  # an inverse with larger entries is of a sliver, which costs digits; they are won back at once
ROUNDING = 1e-9  # a composition this little outside a facet with no way across lies on its edge
GAIN = 1e-13  # eV/atom; a phase must lie this far below a plane to enter
LOST = 1e-9  # eV/atom; a facet with a phase so far below it is none, but what rounding has made of one

jit = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")


class Facet(NamedTuple):
    """k phases that span a facet, changed in place from one facet to the next.

    Attributes
    ----------
    basis : (k,) int64: the phases, as columns
    inverse : (k, k): times a composition gives the fraction of atoms in each phase; negative outside the facet
    plane : (k,): times a composition gives the energy on the facet's plane, eV/atom
    spare, step, cost, row : (k, k), (k,), (n,), (max(n, k),): work space
    """

    basis: np.ndarray
    inverse: np.ndarray
    plane: np.ndarray
    spare: np.ndarray
    step: np.ndarray
    cost: np.ndarray
    row: np.ndarray


@jit
def new_facet(k, n):
    """Room for a facet of k elements and at most n phases."""
    return Facet(
        np.empty(k, np.int64),
        np.empty((k, k)),
        np.empty(k),
        np.empty((k, k)),
        np.empty(k),
        np.empty(n),
        np.empty(max(n, k)),
    )


@jit
def combine(weights, vectors, out):
    """out (n,) = weights (k,) · vectors (k, at least n)."""
    k = len(weights)
    if k == 4:  # the bulk of every scan, in one vectorised pass
        w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
        for r in range(len(out)):
            out[r] = w0 * vectors[0, r] + w1 * vectors[1, r] + w2 * vectors[2, r] + w3 * vectors[3, r]
        return
    out[:] = 0.0
    for i in range(k):
        weight = weights[i]
        for r in range(len(out)):
            out[r] += weight * vectors[i, r]


@jit
def _exchange(facet, values, row, entering):
    """Put phase `entering`, whose column in this basis is facet.step, in place `row`. True if this cost digits."""
    basis, inverse, plane, step = facet.basis, facet.inverse, facet.plane, facet.step
    k = len(basis)
    scale = 1.0 / step[row]
    gap = values[entering] - facet.cost[entering]
    largest = 0.0
    for j in range(k):
        inverse[row, j] *= scale
        plane[j] += gap * inverse[row, j]
        largest = max(largest, abs(inverse[row, j]))
    for i in range(k):
        if i != row:
            for j in range(k):
                inverse[i, j] -= step[i] * inverse[row, j]
                largest = max(largest, abs(inverse[i, j]))
    basis[row] = entering
    return largest > LARGE or abs(scale) > LARGE


@jit
def _refine(facet, columns, values):
    """One Newton step X ← X(2 − BX), so that rounding does not grow with the walk; then the plane of the basis."""
    basis, inverse, plane, spare = facet.basis, facet.inverse, facet.plane, facet.spare
    k = len(basis)
    for i in range(k):
        for j in range(k):
            s = 0.0
            for l in range(k):
                s += columns[i, basis[l]] * inverse[l, j]
            spare[i, j] = (2.0 if i == j else 0.0) - s
    for i in range(k):
        for j in range(k):
            s = 0.0
            for l in range(k):
                s += inverse[i, l] * spare[l, j]
            plane[j] = s
        for j in range(k):
            inverse[i, j] = plane[j]
    for j in range(k):
        s = 0.0
        for i in range(k):
            s += values[basis[i]] * inverse[i, j]
        plane[j] = s


@jit
def descend(facet, columns, values, x):
    """Primal simplex for the first column of x, from the pure elements: leaves a facet. False if it did not end."""
    basis, inverse, plane, step = facet.basis, facet.inverse, facet.plane, facet.step
    k, n = len(basis), len(values)
    cost, amount = facet.cost[:n], facet.row[:k]
    inverse[:] = 0.0
    plane[:] = 0.0
    for i in range(k):
        basis[i] = i
        inverse[i, i] = 1.0
    limit = 50 + 4 * n
    for iteration in range(4 * limit):
        combine(plane, columns, cost)
        entering = -1
        gain = -GAIN
        for j in range(n):
            if values[j] - cost[j] < gain:
                entering = j
                if iteration >= limit:  # Bland's rule: it cannot cycle
                    break
                gain = values[j] - cost[j]
        if entering < 0:
            return True
        leaving = -1
        ratio = np.inf
        for i in range(k):
            amount[i] = 0.0
            step[i] = 0.0
            for j in range(k):
                amount[i] += inverse[i, j] * x[j, 0]
                step[i] += inverse[i, j] * columns[j, entering]
            if step[i] > PIVOT:
                r = max(amount[i], 0.0) / step[i]
                if r < ratio or (r == ratio and basis[i] < basis[leaving]):
                    ratio = r
                    leaving = i
        if leaving < 0:
            return False
        if _exchange(facet, values, leaving, entering) or iteration % 4 == 3:
            _refine(facet, columns, values)
    return False


@jit
def cross(facet, columns, values, x, at):
    """Dual simplex to the facet that holds column `at` of x. False if it did not end."""
    basis, inverse, plane, step = facet.basis, facet.inverse, facet.plane, facet.step
    k, n = len(basis), len(values)
    cost, row = facet.cost[:n], facet.row[:n]
    limit = 50 + 4 * n
    for iteration in range(4 * limit):
        bland = iteration >= limit
        leaving = -1
        lowest = -OUTSIDE
        worst = 0.0
        for i in range(k):
            amount = 0.0
            for j in range(k):
                amount += inverse[i, j] * x[j, at]
            worst = min(worst, amount)
            if amount < lowest and (not bland or leaving < 0 or basis[i] < basis[leaving]):
                leaving = i
                if not bland:
                    lowest = amount
        entering = -1
        if leaving >= 0:
            combine(plane, columns, cost)
            combine(inverse[leaving], columns, row)
            for i in range(k):
                row[basis[i]] = 0.0  # but for rounding, which must not let a phase in twice
            ratio = np.inf
            for j in range(n):
                if row[j] < -PIVOT:
                    r = max(values[j] - cost[j], 0.0) / -row[j]
                    if r < ratio or (not bland and r == ratio and row[j] < row[entering]):
                        ratio = r
                        entering = j
        if entering < 0:
            _refine(facet, columns, values)
            combine(plane, columns, cost)
            below = 0.0
            for j in range(n):
                below = min(below, values[j] - cost[j])
            return worst > -ROUNDING and below > -LOST
        for i in range(k):
            step[i] = 0.0
            for j in range(k):
                step[i] += inverse[i, j] * columns[j, entering]
        if _exchange(facet, values, leaving, entering) or iteration % 4 == 3:
            _refine(facet, columns, values)
    return False
