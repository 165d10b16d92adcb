"""Numba: first where in the master pattern each pixel looks, eight at a time, then the four values there.

The first loop has no branch and no table, so that the compiler turns it into vector instructions; the second waits for
memory. Both work on as many pixels as their places fit into the first-level cache.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

from matscreen.kernels.master_pattern.reference import directions

BLOCK = 1024
"""Pixels at a time."""

# 4/π arctan(t) / t as a polynomial in t², least squares at Chebyshev points of [0, 1], ends weighted: 3e-8.
_POINTS = (1 - np.cos(np.pi * (np.arange(2000) + 0.5) / 2000)) / 2
_ARCTAN = np.polynomial.Polynomial.fit(
    _POINTS, 4 / np.pi * np.arctan(np.sqrt(_POINTS)) / np.sqrt(_POINTS), 8, domain=[0, 1], window=[0, 1]
).coef
A0, A1, A2, A3, A4, A5, A6, A7, A8 = (np.float32(c) for c in _ARCTAN)


def project(
    master: np.ndarray,
    orientations: np.ndarray,
    centres: np.ndarray,
    shape: tuple[int, int],
    axes: np.ndarray,
    threads: int,
) -> np.ndarray:
    """See the package."""
    table, least, step = packed(np.ascontiguousarray(master, np.float32))
    across, down = (np.ascontiguousarray(g, np.float32) for g in directions(centres, shape))
    q, frame = np.ascontiguousarray(orientations, np.float64), np.ascontiguousarray(axes, np.float64)
    patterns = np.empty((len(q), *shape), np.float32)

    def work(first: int, last: int) -> None:
        own = slice(first, last) if len(centres) > 1 else slice(None)
        project_each(table, least, step, q[first:last], across[own], down[own], frame, patterns[first:last])

    if threads == 1:
        work(0, len(q))
        return patterns
    cuts = [len(q) * n // threads for n in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: work(*part), pairwise(cuts)))
    return patterns


@njit(cache=True, nogil=True, error_model="numpy")
def packed(master):
    """A master pattern in 16 bits, which the second-level cache holds: value = least + step · integer.

    A step is a 65,535th of the range: less than a detector tells apart, and no loss at all of what was in 8 bits.
    """
    values = master.ravel()
    least, most = values.min(), values.max()
    step = np.float32((np.float64(most) - least) / 65535)
    step = step if step > 0 else np.float32(1)
    table = np.empty(values.size, np.uint16)
    inverse = 1 / np.float64(step)
    for n in range(values.size):
        table[n] = min(65535, int((np.float64(values[n]) - least) * inverse + 0.5))
    return table.reshape(master.shape), least, step


@njit(cache=True, nogil=True, error_model="numpy")
def project_each(table, least, step, orientations, across, down, axes, patterns):
    """Fill `patterns` (N, rows, columns); gnomonic `across` and `down` are (1, …) for all or (N, …)."""
    rows, columns = patterns.shape[1:]
    side, flat = table.shape[1], table.ravel()
    x, y = np.empty(rows * columns, np.float32), np.empty(rows * columns, np.float32)
    place, right, below = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    for n in range(len(patterns)):
        if n == 0 or len(across) > 1:
            for i in range(rows):
                for j in range(columns):
                    x[i * columns + j], y[i * columns + j] = across[n, j], down[n, i]
        turn = matrix(orientations[n]) @ axes
        pattern = patterns[n].ravel()
        for start in range(0, rows * columns, BLOCK):
            stop = min(start + BLOCK, rows * columns)
            look(x[start:stop], y[start:stop], turn.astype(np.float32), side, place, right, below)
            take(flat, side, place, right, below, least, step, pattern[start:stop])


@njit(cache=True, nogil=True)
def matrix(q):
    """Rotation matrix of a unit quaternion."""
    w, x, y, z = q
    return np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"})
def look(x, y, turn, side, place, right, below):
    """Where in the flat master pattern each pixel looks: the upper left of four points and how far beyond it."""
    xx, xy, xz = turn[0]
    yx, yy, yz = turn[1]
    zx, zy, zz = turn[2]
    one = np.float32(1)
    middle, most = np.float32((side - 1) / 2), np.float32(side - 2)
    lower = np.int32(side * side)
    for p in range(len(x)):
        a = xx * x[p] + xy * y[p] + xz
        b = yx * x[p] + yy * y[p] + yz
        c = zx * x[p] + zy * y[p] + zz
        length = np.sqrt(x[p] * x[p] + y[p] * y[p] + one)
        flat, height = a * a + b * b, np.abs(c)
        radius = np.sqrt(flat / (length * (length + height)))
        width, depth = np.abs(a), np.abs(b)
        steep = depth > width
        long = depth if steep else width
        short = width if steep else depth
        t = short / (long if long > 0 else one)
        s = t * t
        bent = A8
        bent = bent * s + A7
        bent = bent * s + A6
        bent = bent * s + A5
        bent = bent * s + A4
        bent = bent * s + A3
        bent = bent * s + A2
        bent = bent * s + A1
        bent = bent * s + A0
        beside = radius * t * bent
        u = beside if steep else radius
        v = radius if steep else beside
        column = middle + middle * (u if a > 0 else -u)
        row = middle + middle * (v if b > 0 else -v)
        j = np.float32(np.int32(column))  # both are >= 0 but for rounding, which this rounds away too
        i = np.float32(np.int32(row))
        j = j if j < most else most
        i = i if i < most else most
        right[p], below[p] = column - j, row - i
        place[p] = np.int32(i) * np.int32(side) + np.int32(j) + (lower if c < 0 else np.int32(0))


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def take(table, side, place, right, below, least, step, out):
    """Bilinear between the four points."""
    next_row = np.uint64(side)
    for p in range(len(out)):
        k = np.uint64(place[p])  # unsigned, so that no index is taken as one from the end
        a, b = np.float32(np.int32(table[k])), np.float32(np.int32(table[k + np.uint64(1)]))
        k += next_row
        c, d = np.float32(np.int32(table[k])), np.float32(np.int32(table[k + np.uint64(1)]))
        upper = a + right[p] * (b - a)
        lower = c + right[p] * (d - c)
        out[p] = least + step * (upper + below[p] * (lower - upper))
