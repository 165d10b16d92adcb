"""The hull in Numba: a walk from facet to facet by the dual simplex, each facet answering all compositions inside it.

A basis of k phases whose plane lies below every phase is a facet of the lower hull. The first is found by the primal
simplex from the pure elements; for a composition outside it, dual pivots cross to the facet that holds it, and every
basis on the way is a facet too. Each new facet is then tried on all compositions of the system that are still open, in
one vectorised sweep, so the 205 ratios of a quaternary cost one walk over its facets.

Arrays are laid out with the long axis last: columns (k, n) are the phases (pure elements first), x (k, m) compositions.
"""

import numba
import numpy as np

from matscreen.kernels.hull.index import HullIndex, slot_of

OUTSIDE = 1e-13  # a fraction below −OUTSIDE lies outside a facet; rounding is about 1e-16 × the basis' condition
PIVOT = 1e-10  # smallest pivot: phases nearer to each other than this count as one, or a basis of both would be noise
ROUNDING = 1e-9  # a composition this little outside a facet with no way across lies on its edge
GAIN = 1e-13  # eV/atom; a phase must lie this far below a plane to enter

_jit = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")


@_jit
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
    x = np.ascontiguousarray(fractions.T)
    if len(fractions):
        _walk(columns, values, x, np.arange(len(fractions)), result, *_state(k, len(values), len(fractions)))
    if np.isnan(result).any():
        raise ArithmeticError("no hull facet found: please report these phases")
    return result


def hull_energies(
    elements: np.ndarray, amounts: np.ndarray, runs: np.ndarray, index: HullIndex, result: np.ndarray
) -> None:
    """Fill `result` for the rows of `runs` (see `runs`); rows outside it are not touched."""
    if len(runs) > 1:
        _systems(elements, amounts, runs, index, result)


def decompositions(
    elements: np.ndarray, amounts: np.ndarray, index: HullIndex
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the package."""
    energies = np.empty(len(elements))
    phases = np.zeros(elements.shape, np.int64)
    fractions = np.zeros(elements.shape)
    _decompose(elements, amounts, index, energies, phases, fractions)
    if np.isnan(energies).any():
        raise ArithmeticError(f"no hull facet found for row {int(np.isnan(energies).argmax())}")
    order = np.argsort(-fractions, axis=1, kind="stable")
    return energies, np.take_along_axis(phases, order, 1), np.take_along_axis(fractions, order, 1)


@_jit
def _state(k, n, m):
    """Work space: basis, its inverse, a spare matrix, plane, entering column; costs, pivot row; margins, part."""
    return (
        np.empty(k, np.int64),
        np.empty((k, k)),
        np.empty((k, k)),
        np.empty(k),
        np.empty(k),
        np.empty(n),
        np.empty(n),
        np.empty(m),
        np.empty(m),
    )


@_jit
def _axpy(y, a, x):
    for i in range(len(y)):
        y[i] += a * x[i]


@_jit
def _pivot(basis, inverse, row, entering, step):
    """Put phase `entering`, whose column in this basis is `step`, in place `row`."""
    k = len(basis)
    scale = 1.0 / step[row]
    for j in range(k):
        inverse[row, j] *= scale
    for i in range(k):
        if i != row:
            for j in range(k):
                inverse[i, j] -= step[i] * inverse[row, j]
    basis[row] = entering


@_jit
def _refine(columns, values, basis, inverse, spare, plane):
    """One Newton step X ← X(2 − BX), so that rounding does not grow with the walk; then the plane of the basis."""
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


@_jit
def _combine(columns, weights, out):
    out[:] = 0.0
    for i in range(len(weights)):
        _axpy(out, weights[i], columns[i, : len(out)])


@_jit
def _descend(columns, values, x, basis, inverse, spare, plane, step, cost, row_of):
    """Primal simplex for the first column of x, from the pure elements: leaves a facet. False if it did not end."""
    k = len(basis)
    n = len(values)
    inverse[:] = 0.0
    for i in range(k):
        basis[i] = i
        inverse[i, i] = 1.0
    amount = row_of[:k]
    limit = 50 + 4 * n
    for iteration in range(4 * limit):
        _refine(columns, values, basis, inverse, spare, plane)
        _combine(columns, plane, cost)
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
        _pivot(basis, inverse, leaving, entering, step)
    return False


@_jit
def _cross(columns, values, x, at, basis, inverse, spare, plane, step, cost, row_of):
    """Dual simplex to the facet that holds column `at` of x. False if it did not end."""
    k = len(basis)
    n = len(values)
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
        if leaving < 0:
            return True
        _combine(columns, plane, cost)
        _combine(columns, inverse[leaving], row_of)
        entering = -1
        ratio = np.inf
        for j in range(n):
            if row_of[j] < -PIVOT:
                r = max(values[j] - cost[j], 0.0) / -row_of[j]
                if r < ratio or (not bland and r == ratio and row_of[j] < row_of[entering]):
                    ratio = r
                    entering = j
        if entering < 0:
            return worst > -ROUNDING
        for i in range(k):
            step[i] = 0.0
            for j in range(k):
                step[i] += inverse[i, j] * columns[j, entering]
        _pivot(basis, inverse, leaving, entering, step)
        _refine(columns, values, basis, inverse, spare, plane)
    return False


@_jit
def _sweep(inverse, plane, x, m, margin, energy):
    """For m compositions: the least fraction of any phase of the facet, and the energy on its plane."""
    k = len(plane)
    if k == 4:  # the bulk of every scan, in one vectorised pass
        a0, a1, a2, a3 = inverse[0, 0], inverse[0, 1], inverse[0, 2], inverse[0, 3]
        b0, b1, b2, b3 = inverse[1, 0], inverse[1, 1], inverse[1, 2], inverse[1, 3]
        c0, c1, c2, c3 = inverse[2, 0], inverse[2, 1], inverse[2, 2], inverse[2, 3]
        d0, d1, d2, d3 = inverse[3, 0], inverse[3, 1], inverse[3, 2], inverse[3, 3]
        e0, e1, e2, e3 = plane[0], plane[1], plane[2], plane[3]
        x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
        for r in range(m):
            a = a0 * x0[r] + a1 * x1[r] + a2 * x2[r] + a3 * x3[r]
            b = b0 * x0[r] + b1 * x1[r] + b2 * x2[r] + b3 * x3[r]
            c = c0 * x0[r] + c1 * x1[r] + c2 * x2[r] + c3 * x3[r]
            d = d0 * x0[r] + d1 * x1[r] + d2 * x2[r] + d3 * x3[r]
            a = a if a < b else b
            c = c if c < d else d
            margin[r] = a if a < c else c
            energy[r] = e0 * x0[r] + e1 * x1[r] + e2 * x2[r] + e3 * x3[r]
        return
    for r in range(m):
        least = np.inf
        for i in range(k):
            share = 0.0
            for j in range(k):
                share += inverse[i, j] * x[j, r]
            least = min(least, share)
        margin[r] = least
        energy[r] = 0.0
        for j in range(k):
            energy[r] += plane[j] * x[j, r]


@_jit
def _walk(columns, values, x, rows, result, basis, inverse, spare, plane, step, cost, row_of, margin, part):
    """Hull energy of all columns of x (destroyed) into result[rows] (rows is destroyed too); NaN where it failed."""
    k = len(basis)
    n = len(values)
    open_ = len(rows)
    cost = cost[:n]
    row_of = row_of[: max(n, k)]
    found = _descend(columns, values, x, basis, inverse, spare, plane, step, cost, row_of)
    while open_:
        found = found and _cross(columns, values, x, 0, basis, inverse, spare, plane, step, cost, row_of)
        if not found:
            for r in range(open_):
                result[rows[r]] = np.nan
            return
        _sweep(inverse, plane, x, open_, margin, part)
        margin[0] = 0.0  # `_cross` has found it inside; rounding must not say otherwise here
        left = 0
        for r in range(open_):
            if margin[r] >= -OUTSIDE:
                result[rows[r]] = part[r]
            else:
                rows[left] = rows[r]
                for j in range(k):
                    x[j, left] = x[j, r]
                left += 1
        open_ = left


@_jit
def _gather(labels, index, columns, values, members):
    """Phases of the system `labels` after its pure elements, up to the room in `columns`; returns how many there are.

    members[p] is the phase's place in the index.
    """
    k = len(labels)
    low = np.uint64(0)
    high = np.uint64(0)
    n = k
    for i in range(k):
        columns[i, :k] = 0.0
        columns[i, i] = 1.0
        values[i] = 0.0
    for subset in range(1, 1 << k):
        low = np.uint64(0)
        high = np.uint64(0)
        for i in range(k):
            if subset >> i & 1:
                bit = np.uint64(1) << np.uint64(labels[i] & 63)
                if labels[i] < 64:
                    low |= bit
                else:
                    high |= bit
        slot = slot_of(low, high, index.low, index.high)
        for p in range(index.first[slot], index.first[slot] + index.number[slot]):
            if n < len(values):
                values[n] = index.energies[p]
                members[n] = p
                place = 0
                for i in range(k):
                    columns[i, n] = 0.0
                    if subset >> i & 1:
                        columns[i, n] = index.fractions[p, place]
                        place += 1
            n += 1
    return n


@_jit
def _labels(elements, row, labels):
    k = 0
    for j in range(elements.shape[1]):
        if elements[row, j] != 0:
            labels[k] = elements[row, j]
            k += 1
    return k


@_jit
def _systems(elements, amounts, runs, index, result):
    width = elements.shape[1]
    longest = 0
    for s in range(len(runs) - 1):
        longest = max(longest, runs[s + 1] - runs[s])
    room = 256  # phases; grows where a system has more
    columns = np.empty((width, room))
    values = np.empty(room)
    members = np.empty(room, np.int64)
    labels = np.empty(width, np.int64)
    x = np.empty((width, longest))
    rows = np.empty(longest, np.int64)
    size = 0  # elements of the systems that the work space below is for
    basis, inverse, spare, plane, step, cost, row_of, margin, part = _state(width, room + width, longest)
    for s in range(len(runs) - 1):
        k = _labels(elements, runs[s], labels)
        n = _gather(labels[:k], index, columns, values, members)
        if n > room:
            room = 2 * n
            columns = np.empty((width, room))
            values = np.empty(room)
            members = np.empty(room, np.int64)
            n = _gather(labels[:k], index, columns, values, members)
            size = 0
        if k != size:
            basis, inverse, spare, plane, step, cost, row_of, margin, part = _state(k, room + width, longest)
            size = k
        m = runs[s + 1] - runs[s]
        for r in range(m):
            row = runs[s] + r
            rows[r] = row
            total = 0.0
            for j in range(k):
                total += amounts[row, j]
            for j in range(k):
                x[j, r] = amounts[row, j] / total
        _walk(
            columns[:k, :n], values[:n], x[:k, :m], rows[:m], result,
            basis, inverse, spare, plane, step, cost, row_of, margin, part,
        )  # fmt: skip


@_jit
def _decompose(elements, amounts, index, energies, phases, fractions):
    width = elements.shape[1]
    labels = np.empty(width, np.int64)
    room = 256
    columns = np.empty((width, room))
    values = np.empty(room)
    members = np.empty(room, np.int64)
    x = np.empty((width, 1))
    rows = np.empty(1, np.int64)
    for row in range(len(elements)):
        k = _labels(elements, row, labels)
        n = _gather(labels[:k], index, columns, values, members)
        if n > room:
            room = 2 * n
            columns = np.empty((width, room))
            values = np.empty(room)
            members = np.empty(room, np.int64)
            n = _gather(labels[:k], index, columns, values, members)
        basis, inverse, spare, plane, step, cost, row_of, margin, part = _state(k, n + k, 1)
        total = 0.0
        for j in range(k):
            total += amounts[row, j]
        for j in range(k):
            x[j, 0] = amounts[row, j] / total
        rows[0] = row
        _walk(
            columns[:k, :n], values[:n], x[:k], rows, energies,
            basis, inverse, spare, plane, step, cost, row_of, margin, part,
        )  # fmt: skip
        for i in range(k):
            share = 0.0
            for j in range(k):
                share += inverse[i, j] * amounts[row, j] / total
            if share > 1e-9:
                fractions[row, i] = share
                phases[row, i] = -labels[basis[i]] if basis[i] < k else index.source[members[basis[i]]]
