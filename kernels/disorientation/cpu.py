"""Numba: one quaternion product a pair, then the nearest of the rotations between the two groups.

With d = q1 q2⁻¹ the half angle h of the disorientation has cos h = max |⟨s, d⟩| over the rotations s of `between`.
For 432 the sorted magnitudes a ≥ b ≥ c ≥ e of d say it without a search (Grimmer, Acta Cryst. A30, 685, 1974): the
largest of

    a,  (a + b)/√2,  (a + b + c + e)/2

The angle comes from the sine as well, computed without subtracting squares from 1, so that small ones keep their
digits. Loops are over arrays of components and free of branches: the compiler makes vector instructions of them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

BLOCK = 512
"""Pairs at a time: their components stay in the nearest cache."""
TOLERANCE = 1e-3
"""By which the squared length of a quaternion may differ from 1."""


ARCTANGENT = (
    -0.017805397205419446,
    0.03796525745386593,
    -0.05035102456601552,
    0.05846878297330872,
    -0.06662951813629191,
    0.07692045330902225,
    -0.09090896809064027,
    0.11111110744919658,
    -0.14285714279250245,
    0.19999999999940893,
    -0.3333333333333312,
    1.0,
)
"""c of arctan(t) = t · Σ c_k (t²)^k, highest power first: Chebyshev fit for t up to tan(π/8), good to 2e-18 before
rounding. Numba has no arctangent that it can make vector instructions of."""


def _constants(kind: type) -> tuple[np.floating, ...]:
    """What the loops multiply by, in their own precision: Numba would make float64 of float32 times a literal."""
    known = (
        np.tan(np.pi / 8),
        np.pi / 4,
        np.pi / 2,
        np.sqrt(0.5),
        0.5,
        0.25,
        np.finfo(kind).tiny,
        1,
        TOLERANCE,
        np.nan,
    )
    return tuple(kind(c) for c in (*known, *ARCTANGENT))


CONSTANTS = {kind: _constants(kind) for kind in (np.float32, np.float64)}
_TAN, _QUARTER_TURN, _HALF_TURN, _ROOT, _HALF, _FOURTH, _TINY, _ONE, _TOLERANCE, _NOTHING = range(10)


def all_unit(q: np.ndarray) -> bool:
    """Whether quaternions (N, 4) are of length 1, and numbers."""
    return bool(not_unit(q.ravel(), q.dtype.type(1), q.dtype.type(TOLERANCE)) == 0)


def angles(q1: np.ndarray, q2: np.ndarray, rotations: np.ndarray, cubic: bool, threads: int) -> np.ndarray:
    """(N,) of pairs of quaternions (N, 4), of their dtype; NaN where one is not of length 1.

    `cubic` says that `rotations` are those of 432. Lengths are looked at on the way, not in a pass of their own.
    """
    result = np.empty(len(q1), q1.dtype)
    k, rotations = CONSTANTS[q1.dtype.type], rotations.astype(q1.dtype)

    def work(first: int, last: int) -> None:
        a, b = q1[first:last].ravel(), q2[first:last].ravel()
        if cubic:
            pairs_cubic(a, b, k, result[first:last])
        else:
            pairs(a, b, rotations, k, result[first:last])

    _shared(len(q1), threads, work)
    return result


def matrix(q1: np.ndarray, q2: np.ndarray, rotations: np.ndarray, cubic: bool, threads: int) -> np.ndarray:
    """(N, M) angles of all of q1 (N, 4) with all of q2 (M, 4), of their dtype."""
    result = np.empty((len(q1), len(q2)), q1.dtype)
    columns, rotations, k = np.ascontiguousarray(q2.T), rotations.astype(q1.dtype), CONSTANTS[q1.dtype.type]
    _shared(len(q1), threads, lambda a, b: rows(q1[a:b], columns, rotations, cubic, k, result[a:b]))
    return result


def nearest(
    q1: np.ndarray, q2: np.ndarray, rotations: np.ndarray, cubic: bool, count: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """(N, count) smallest angles of a row of `matrix`, rising, and whose they are: int64; the matrix is never kept."""
    found, whose = np.empty((len(q1), count), q1.dtype), np.empty((len(q1), count), np.int64)
    columns, rotations, k = np.ascontiguousarray(q2.T), rotations.astype(q1.dtype), CONSTANTS[q1.dtype.type]
    _shared(len(q1), threads, lambda a, b: best(q1[a:b], columns, rotations, cubic, k, found[a:b], whose[a:b]))
    return found, whose


def _shared(length: int, threads: int, work: Callable[[int, int], None]) -> None:
    """`work(first, last + 1)` on so many parts at a time."""
    if threads == 1:
        work(0, length)
        return
    cuts = [length * n // threads for n in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: work(*part), pairwise(cuts)))


@njit(cache=True, nogil=True, error_model="numpy")
def lower(a, b):
    """The lesser; as an instruction, which `min` with its care for NaN is not."""
    return a if a < b else b


@njit(cache=True, nogil=True, error_model="numpy")
def upper(a, b):
    """The greater."""
    return b if a < b else a


@njit(cache=True, nogil=True, error_model="numpy")
def angle_of(square, cosine, k):
    """Whole angle from sin² and cos >= 0 of its half, both by the same factor (squared): 2 arctan(sin / cos)."""
    sine = np.sqrt(square)
    small, large = lower(sine, cosine), upper(sine, cosine)
    far = small > k[_TAN] * large
    t = (small - large if far else small) / upper(small + large if far else large, k[_TINY])
    z = t * t
    high = ((((k[10] * z + k[11]) * z + k[12]) * z + k[13]) * z + k[14]) * z + k[15]
    value = ((((((high * z + k[16]) * z + k[17]) * z + k[18]) * z + k[19]) * z + k[20]) * z + k[21]) * t
    value = value + k[_QUARTER_TURN] if far else value
    value = k[_HALF_TURN] - value if sine > cosine else value
    return value + value


@njit(cache=True, nogil=True, error_model="numpy")
def cubic_half(w, x, y, z, k):
    """sin² and cos of the half angle for 432, from the components of q1 q2⁻¹."""
    w, x, y, z = abs(w), abs(x), abs(y), abs(z)
    p, q, r, s = upper(w, x), lower(w, x), upper(y, z), lower(y, z)
    a, b, c, e = upper(p, r), lower(p, r), upper(q, s), lower(q, s)
    b, c = upper(b, c), lower(b, c)
    two, four = (a + b) * k[_ROOT], (a + b + c + e) * k[_HALF]
    u, v, t = a + b - c - e, a - b + c - e, a - b - c + e
    tail = c * c + e * e
    square_one, square_two = b * b + tail, (a - b) * (a - b) * k[_HALF] + tail
    square_four = (u * u + v * v + t * t) * k[_FOURTH]
    square, cosine = square_two if two > a else square_one, upper(two, a)
    return square_four if four > cosine else square, upper(four, cosine)


@njit(cache=True, nogil=True, error_model="numpy")
def product(a, b, c, d, w, x, y, z):
    """Components of (a, b, c, d) · (w, x, y, z)⁻¹."""
    return (
        a * w + b * x + c * y + d * z,
        b * w - a * x - c * z + d * y,
        c * w - a * y + b * z - d * x,
        d * w - a * z - b * y + c * x,
    )


@njit(cache=True, nogil=True, error_model="numpy")
def if_unit(value, a, b, c, d, k):
    """The value, or NaN if the quaternion (a, b, c, d) is not of length 1."""
    off = abs(a * a + b * b + c * c + d * d - k[_ONE])
    return value if off <= k[_TOLERANCE] else k[_NOTHING]


@njit(cache=True, nogil=True, error_model="numpy")
def pairs_cubic(q1, q2, k, out):
    """Pair by pair for 432; quaternions flat, (4 N,), as only a stride that is known beforehand is vectorised."""
    for n in range(len(out)):
        a, b, c, d = q1[4 * n], q1[4 * n + 1], q1[4 * n + 2], q1[4 * n + 3]
        e, f, g, h = q2[4 * n], q2[4 * n + 1], q2[4 * n + 2], q2[4 * n + 3]
        w, x, y, z = product(a, b, c, d, e, f, g, h)
        square, cosine = cubic_half(w, x, y, z, k)
        out[n] = if_unit(if_unit(angle_of(square, cosine, k), a, b, c, d, k), e, f, g, h, k)


@njit(cache=True, nogil=True, error_model="numpy")
def pairs(q1, q2, rotations, k, out):
    """Pair by pair for any rotations (M, 4); quaternions flat, (4 N,)."""
    parts = np.empty((4, BLOCK), out.dtype)
    for first in range(0, len(out), BLOCK):
        into, p, q = out[first : first + BLOCK], q1[4 * first :], q2[4 * first :]
        size = len(into)
        w, x, y, z = parts[0][:size], parts[1][:size], parts[2][:size], parts[3][:size]
        for n in range(size):
            a, b, c, d = p[4 * n], p[4 * n + 1], p[4 * n + 2], p[4 * n + 3]
            e, f, g, h = q[4 * n], q[4 * n + 1], q[4 * n + 2], q[4 * n + 3]
            real, x[n], y[n], z[n] = product(a, b, c, d, e, f, g, h)
            w[n] = if_unit(if_unit(real, a, b, c, d, k), e, f, g, h, k)
        search(w, x, y, z, rotations, k, into)


@njit(cache=True, nogil=True, error_model="numpy")
def rows(q1, columns, rotations, cubic, k, out):
    """All of q1 (N, 4) with all of `columns` (4, M)."""
    d = np.empty((4, BLOCK), out.dtype)
    for n in range(len(q1)):
        a, b, c, e = q1[n, 0], q1[n, 1], q1[n, 2], q1[n, 3]
        for first in range(0, columns.shape[1], BLOCK):
            into = out[n][first : first + BLOCK]
            size = len(into)
            p, q, r, s = columns[0][first:], columns[1][first:], columns[2][first:], columns[3][first:]
            if cubic:
                for m in range(size):
                    w, x, y, z = product(a, b, c, e, p[m], q[m], r[m], s[m])
                    square, cosine = cubic_half(w, x, y, z, k)
                    into[m] = angle_of(square, cosine, k)
                continue
            f, g, h, i = d[0], d[1], d[2], d[3]
            for m in range(size):
                f[m], g[m], h[m], i[m] = product(a, b, c, e, p[m], q[m], r[m], s[m])
            search(f[:size], g[:size], h[:size], i[:size], rotations, k, into)


@njit(cache=True, nogil=True, error_model="numpy")
def search(w, x, y, z, rotations, k, out):
    """Angles of the products (w, x, y, z), each (n,), from the nearest of the rotations, told by its distance.

    The products are put on the unit sphere in place.
    """
    size = len(out)
    kept = np.zeros((5, BLOCK), out.dtype)
    for n in range(size):  # distances are told from the sphere
        length = np.sqrt(w[n] * w[n] + x[n] * x[n] + y[n] * y[n] + z[n] * z[n])
        w[n], x[n], y[n], z[n] = w[n] / length, x[n] / length, y[n] / length, z[n] / length
    best, a, b, c, e = kept[0][:size], kept[1][:size], kept[2][:size], kept[3][:size], kept[4][:size]
    for number in range(len(rotations)):
        r, s, t, u = rotations[number]
        for n in range(size):
            dot = w[n] * r + x[n] * s + y[n] * t + z[n] * u
            size_of = abs(dot)
            more = size_of > best[n]
            best[n] = size_of if more else best[n]
            a[n], b[n] = r if more else a[n], s if more else b[n]
            c[n], e[n] = t if more else c[n], u if more else e[n]
    for n in range(size):
        dot = w[n] * a[n] + x[n] * b[n] + y[n] * c[n] + z[n] * e[n]
        sign = k[_ONE] if dot > dot - dot else -k[_ONE]
        f, g, h, i = w[n] * sign - a[n], x[n] * sign - b[n], y[n] * sign - c[n], z[n] * sign - e[n]
        chord = f * f + g * g + h * h + i * i
        out[n] = angle_of(chord * (k[_ONE] - chord * k[_FOURTH]), k[_ONE] - chord * k[_HALF], k)


@njit(cache=True, nogil=True, error_model="numpy")
def best(q1, columns, rotations, cubic, k, found, whose):
    """The smallest angles of every row of `rows`, the earlier column first where they are equal."""
    count = found.shape[1]
    row = np.empty((1, columns.shape[1]), found.dtype)
    for n in range(len(q1)):
        rows(q1[n : n + 1], columns, rotations, cubic, k, row)
        taken = 0
        for m in range(columns.shape[1]):
            if taken == count and not row[0, m] < found[n, count - 1]:
                continue
            place = min(taken, count - 1)
            while place > 0 and row[0, m] < found[n, place - 1]:
                found[n, place], whose[n, place] = found[n, place - 1], whose[n, place - 1]
                place -= 1
            found[n, place], whose[n, place] = row[0, m], m
            taken = min(taken + 1, count)


@njit(cache=True, nogil=True, error_model="numpy")
def not_unit(q, one, tolerance):
    """How many of the quaternions, flat, are not of length 1."""
    wrong = 0
    for n in range(len(q) // 4):
        off = q[4 * n] ** 2 + q[4 * n + 1] ** 2 + q[4 * n + 2] ** 2 + q[4 * n + 3] ** 2 - one
        wrong += 0 if abs(off) <= tolerance else 1
    return wrong
