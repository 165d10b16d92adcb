"""Numba: sliding windows at a cost that does not grow with the window.

Extremes go down the columns after van Herk (Pattern Recogn. Lett. 13, 517, 1992) and Gil–Werman: rows in blocks of the
window's height; a window is the end of one block and the beginning of the next, each known from the window before it.
Along a row they double: of windows of 1, 4, 16 … pixels the next are the best of four; that is log4 f passes, but over
one row, in the nearest cache, with vector instructions.

Sums run in float64, which is exact for integers (counts, also in a float image) and elsewhere leaves 2⁻⁵³ of the
largest partial sum a step. They begin afresh with every band of rows and every row, so no error grows along the image.
Those of a box slide down the columns and along the rows in one pass, whose buffers are a few rows.

The image is worked on in bands of rows that do not depend on the number of threads, nor does the result.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from matscreen.kernels.filters2d.windows import Window

MINIMUM, MAXIMUM = 0, 1
BAND, SLOPE_BAND = 256, 128
"""Fewest rows of a band: its buffers stay in the last cache. Slopes have four, in float64."""


def minimum(stack: np.ndarray, valid: np.ndarray | None, window: Window, threads: int) -> np.ndarray:
    """See the package; of the stack's dtype."""
    return _extreme(stack, valid, window, threads, MINIMUM)


def maximum(stack: np.ndarray, valid: np.ndarray | None, window: Window, threads: int) -> np.ndarray:
    """See the package; of the stack's dtype."""
    return _extreme(stack, valid, window, threads, MAXIMUM)


def mean(stack: np.ndarray, valid: np.ndarray | None, window: Window, threads: int) -> np.ndarray:
    """See the package."""
    kind = np.float32 if stack.dtype == np.float32 else np.float64
    if valid is None:
        return _slide_sum(stack, window, threads, 1 / math.prod(window.size), kind)
    sums = _slide_sum(np.where(valid, stack, 0), window, threads, 1.0)
    counts = _slide_sum(valid.view(np.uint8), window._replace(constant=1), threads, 1.0)
    return (sums / _counts(counts)).astype(kind)


def slopes(stack: np.ndarray, valid: np.ndarray | None, window: Window, threads: int) -> np.ndarray:
    """See the package."""
    kind = np.float32 if stack.dtype == np.float32 else np.float64
    if valid is None:
        return _slope_sums(stack, window, threads, kind)
    filled, certain = np.where(valid, stack, 0), window._replace(constant=1)
    difference, number = (
        _slope_sums(filled, window, threads, np.float64),
        _slope_sums(valid.view(np.uint8), certain, threads, float),
    )
    total = _slide_sum(filled, window, threads, 1.0)
    counted = _slide_sum(valid.view(np.uint8), certain, threads, 1.0)
    size = window.size[0]
    triangle, half = size * (size - 1) // 2, size * ((size + 1) // 2)
    negative = np.array([triangle, triangle, half, half])[:, None, None, None]
    plus = (total + difference) * (size**2 - negative) / _counts(counted + number)
    minus = (total - difference) * negative / _counts(counted - number)
    return (plus - minus).astype(kind)


def _counts(numbers: np.ndarray) -> np.ndarray:
    """Numbers of pixels to divide by, NaN for none."""
    return np.where(numbers > 0, numbers, np.nan)


def _extreme(stack: np.ndarray, valid: np.ndarray | None, window: Window, threads: int, operation: int) -> np.ndarray:
    if valid is None:
        return _slide_extreme(stack, window, threads, operation)
    floating = stack.dtype.kind == "f"
    limits = np.finfo(stack.dtype) if floating else np.iinfo(stack.dtype)
    worst = limits.max if operation == MINIMUM else limits.min
    if floating:
        worst = np.inf if operation == MINIMUM else -np.inf
    found = _slide_extreme(np.where(valid, stack, stack.dtype.type(worst)), window, threads, operation)
    seen = _slide_extreme(valid.view(np.uint8), window._replace(constant=1), threads, MAXIMUM)
    found[seen == 0] = np.nan if floating else 0
    return found


def _over_bands(
    stack: np.ndarray,
    size: int,
    threads: int,
    work: Callable[[list[tuple[int, int, int]]], None],
    fewest: int = BAND,
) -> None:
    """`work` on every band, (image, first row, last row + 1), of whole blocks of `size` rows; shared among threads."""
    step = size * -(-fewest // size)
    height = stack.shape[1]
    bands = [(n, y, min(y + step, height)) for n in range(len(stack)) for y in range(0, height, step)]
    if threads == 1:
        work(bands)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [bands[n::threads] for n in range(threads)]))


def _most_rows(bands: list[tuple[int, int, int]]) -> int:
    return max((last - first for _, first, last in bands), default=0)


def _slide_extreme(stack: np.ndarray, window: Window, threads: int, operation: int) -> np.ndarray:
    """Minimum or maximum of every window, (n, H, W) of the stack's dtype."""
    result = np.empty_like(stack)
    constant = np.asarray(window.constant).astype(stack.dtype)[()]

    def work(bands: list[tuple[int, int, int]]) -> None:
        down = np.empty((_most_rows(bands), stack.shape[2]), stack.dtype)
        for image, first, last in bands:
            rows, found = window.rows[first : last + window.size[0] - 1], down[: last - first]
            extreme_down(stack[image], rows, window.size[0], operation, constant, found)
            extreme_along(found, window.columns, window.size[1], operation, constant, result[image, first:last])

    _over_bands(stack, window.size[0], threads, work)
    return result


def _slide_sum(
    stack: np.ndarray, window: Window, threads: int, factor: float, kind: np.dtype | type = np.float64
) -> np.ndarray:
    """`factor` × the sum of every window, (n, H, W) of `kind`."""
    result = np.empty(stack.shape, kind)

    def work(bands: list[tuple[int, int, int]]) -> None:
        for image, first, last in bands:
            rows = window.rows[first : last + window.size[0] - 1]
            box_sums(
                stack[image], rows, window.columns, *window.size, window.constant, factor, result[image, first:last]
            )

    _over_bands(stack, 4 * window.size[0], threads, work)  # each begins with the sum of a whole window's rows
    return result


def _slope_sums(stack: np.ndarray, window: Window, threads: int, kind: np.dtype | type) -> np.ndarray:
    """The four correlations (4, n, H, W), all from sums of C(y, x), the sum of the first x pixels of padded row y.

    With V, D and A the sums of C over f rows straight down, down to the right and down to the left,

        F1 = 2 D(y, x + 1) − V(y, x) − V(y, x + f)      HF = V(y, x) + V(y, x + f) − 2 V(y, x + ⌈f/2⌉)
        F2 = 2 A(y, x + f) − V(y, x) − V(y, x + f)      VF the same as the whole window, of V's lower less upper half

    C of an integer image is exact. Of others it is off by 2⁻⁵³ of the sum of a row at most.
    """
    size = window.size[0]
    pitch, half = stack.shape[2] + size, size // 2
    result = np.empty((4, *stack.shape), kind)

    def work(bands: list[tuple[int, int, int]]) -> None:
        most = _most_rows(bands)
        # A diagonal is a column of the same array cut into rows that are one longer or shorter.
        sums = np.zeros((most + size + 1) * (pitch + 1))
        straight = np.empty((most + size - half) * pitch)
        right, left = np.empty(most * (pitch + 1)), np.empty((most + 1) * pitch)
        for image, first, last in bands:
            rows = window.rows[first : last + size - 1]
            table = sums[: len(rows) * pitch].reshape(-1, pitch)
            prefix_sums(stack[image], rows, window.columns, size // 2, window.constant, table)
            n = last - first
            for step, height, count, out in (
                (pitch, half, n + size - half, straight),
                (pitch + 1, size, n, right),
                (pitch - 1, size, -(-n * pitch // (pitch - 1)), left),
            ):
                lines = sums[: (count + height - 1) * step].reshape(-1, step)
                every = np.arange(len(lines))
                sum_down(lines, every, height, 0.0, out[: count * step].reshape(-1, step))
            combine_slopes(sums, straight, right, left, size, pitch, result[:, image, first:last])

    _over_bands(stack, size, threads, work, SLOPE_BAND)
    return result


@njit(cache=True, nogil=True)
def better(a, b, operation, out):
    """The smaller or larger, pixel by pixel; `out` is neither a nor b."""
    if operation == MINIMUM:
        for x in range(len(out)):
            out[x] = b[x] if b[x] < a[x] else a[x]
    else:
        for x in range(len(out)):
            out[x] = b[x] if b[x] > a[x] else a[x]


@njit(cache=True, nogil=True)
def best_of_four(a, b, c, d, operation, out):
    """The smallest or largest, pixel by pixel; `out` is none of them."""
    if operation == MINIMUM:
        for x in range(len(out)):
            low = b[x] if b[x] < a[x] else a[x]
            other = d[x] if d[x] < c[x] else c[x]
            out[x] = other if other < low else low
    else:
        for x in range(len(out)):
            high = b[x] if b[x] > a[x] else a[x]
            other = d[x] if d[x] > c[x] else c[x]
            out[x] = other if other > high else high


@njit(cache=True, nogil=True)
def extreme_down(image, rows, size, operation, constant, out):
    """out[y] = best of image[rows[y]] … image[rows[y + size − 1]], pixel by pixel; a row −1 is of the constant."""
    width = image.shape[1]
    border = np.empty(width, image.dtype)
    border[:] = constant
    ends = np.empty((size, width), image.dtype)
    beginning, other = np.empty(width, image.dtype), np.empty(width, image.dtype)
    for first in range(0, len(out), size):
        last = rows[first + size - 1]
        ends[size - 1] = image[last] if last >= 0 else border
        for y in range(size - 2, -1, -1):
            row = rows[first + y]
            better(ends[y + 1], image[row] if row >= 0 else border, operation, ends[y])
        out[first] = ends[0]
        for y in range(1, min(size, len(out) - first)):
            row = rows[first + size + y - 1]
            latest = image[row] if row >= 0 else border
            if y == 1:
                beginning[:] = latest
            else:
                better(beginning, latest, operation, other)
                beginning, other = other, beginning
            better(ends[y], beginning, operation, out[first + y])


@njit(cache=True, nogil=True)
def sum_down(image, rows, size, constant, out):
    """out[y] = image[rows[y]] + … + image[rows[y + size − 1]], pixel by pixel; a row −1 is of the constant."""
    border = np.empty(image.shape[1], image.dtype)
    border[:] = constant
    first = out[0]
    first[:] = 0
    for y in range(size):
        add(first, image[rows[y]] if rows[y] >= 0 else border, first)
    for y in range(1, len(out)):
        entering, leaving = rows[y + size - 1], rows[y - 1]
        slide_sum(
            out[y - 1], image[entering] if entering >= 0 else border, image[leaving] if leaving >= 0 else border, out[y]
        )


@njit(cache=True, nogil=True)
def add(total, row, out):
    for x in range(len(out)):
        out[x] = total[x] + row[x]


@njit(cache=True, nogil=True)
def slide_sum(total, entering, leaving, out):
    """out = total + entering − leaving in float64."""
    for x in range(len(out)):
        out[x] = total[x] + (np.float64(entering[x]) - np.float64(leaving[x]))


@njit(cache=True, nogil=True)
def pad(row, columns, before, constant, out):
    """out = the row between its borders; `columns` says what lies there, −1 for the constant."""
    width = len(row)
    for x in range(before):
        out[x] = row[columns[x]] if columns[x] >= 0 else constant
    out[before : before + width] = row
    for x in range(before + width, len(columns)):
        out[x] = row[columns[x]] if columns[x] >= 0 else constant


@njit(cache=True, nogil=True)
def extreme_along(rows, columns, size, operation, constant, out):
    """out[y, x] = best of the window of `size` that begins at x of the padded row y."""
    length, width = len(columns), out.shape[1]
    kept = np.empty((2, length), out.dtype)
    for y in range(len(rows)):
        found, other = kept[0], kept[1]
        pad(rows[y], columns, size // 2, constant, found)
        n, step = length, 1  # found[x] is of the `step` pixels from x on
        while 4 * step <= size:
            n -= 3 * step
            best_of_four(
                found[:n], found[step:][:n], found[2 * step :][:n], found[3 * step :][:n], operation, other[:n]
            )
            found, other = other, found
            step *= 4
        # Four of these cover the window; where it is shorter than all four, they overlap.
        last = size - step
        best_of_four(
            found[:width],
            found[min(step, last) :][:width],
            found[min(2 * step, last) :][:width],
            found[last:][:width],
            operation,
            out[y],
        )


@njit(cache=True, nogil=True)
def prefix_sums(image, rows, columns, before, constant, out):
    """out[y, x] = sum of the first x pixels of padded row y; four rows at a time, as one addition waits for another."""
    width = len(columns)
    padded = np.empty((4, width))
    border = np.empty(image.shape[1], image.dtype)
    border[:] = constant
    for first in range(0, len(rows), 4):
        n = min(4, len(rows) - first)
        for y in range(n):
            row = rows[first + y]
            pad(image[row] if row >= 0 else border, columns, before, constant, padded[y])
        into = out[first : first + n]
        into[:, 0] = 0
        if n == 4:
            a, b, c, d = 0.0, 0.0, 0.0, 0.0
            for x in range(width):
                a += padded[0, x]
                b += padded[1, x]
                c += padded[2, x]
                d += padded[3, x]
                into[0, x + 1], into[1, x + 1], into[2, x + 1], into[3, x + 1] = a, b, c, d
        else:
            for y in range(n):
                a = 0.0
                for x in range(width):
                    a += padded[y, x]
                    into[y, x + 1] = a


@njit(cache=True, nogil=True)
def box_sums(image, rows, columns, height, width, constant, factor, out):
    """out[y, x] = factor · the sum of the window of `height` rows and `width` columns that begins at padded y, x.

    The sums of the columns slide down a row at a time and lie between their borders at once.
    """
    before, across = width // 2, out.shape[1]
    after, outside = before + across, constant * height
    border = np.empty(across, image.dtype)
    border[:] = constant
    padded = np.empty((4, len(columns)))
    latest, sums = np.zeros(across), np.zeros((4, across))
    for y in range(height):
        add(latest, image[rows[y]] if rows[y] >= 0 else border, latest)
    for first in range(0, len(out), 4):
        n = min(4, len(out) - first)
        for i in range(n):
            y, total = first + i, padded[i][before:after]
            if y == 0:
                total[:] = latest
            else:
                entering, leaving = rows[y + height - 1], rows[y - 1]
                slide_sum(
                    latest,
                    image[entering] if entering >= 0 else border,
                    image[leaving] if leaving >= 0 else border,
                    total,
                )
            for x in range(before):
                padded[i, x] = total[columns[x]] if columns[x] >= 0 else outside
            for x in range(after, len(columns)):
                padded[i, x] = total[columns[x]] if columns[x] >= 0 else outside
            latest = total
        for i in range(n):
            differences(padded[i], width, sums[i])
        running_sums(sums[0], sums[1], sums[2], sums[3])
        for i in range(n):
            scaled(sums[i], factor, out[first + i])


@njit(cache=True, nogil=True)
def differences(row, width, out):
    """What each window of the row has more than the one before it; the first has its sum."""
    out[0] = row[:width].sum()
    ahead = row[width - 1 :]
    for x in range(1, len(out)):
        out[x] = ahead[x] - row[x - 1]


@njit(cache=True, nogil=True)
def running_sums(a, b, c, d):
    """Each row becomes its running sums; four together, as one addition waits for another."""
    p, q, r, s = 0.0, 0.0, 0.0, 0.0
    for x in range(len(a)):
        p += a[x]
        q += b[x]
        r += c[x]
        s += d[x]
        a[x], b[x], c[x], d[x] = p, q, r, s


@njit(cache=True, nogil=True)
def scaled(row, factor, out):
    for x in range(len(out)):
        out[x] = row[x] * factor


@njit(cache=True, nogil=True)
def combine_slopes(sums, straight, right, left, size, pitch, out):
    """The four differences of `_slope_sums`, a row at a time."""
    half, more = size // 2, size - size // 2
    whole, upper = np.empty(pitch), np.empty(pitch)
    for y in range(out.shape[1]):
        here = y * pitch
        top, bottom = straight[here : here + pitch], straight[here + more * pitch : here + (more + 1) * pitch]
        middle = sums[here + half * pitch : here + (half + 1) * pitch]
        odd = float(size % 2)
        for x in range(pitch):
            upper[x] = top[x] + odd * middle[x]
            whole[x] = upper[x] + bottom[x]
        diagonal, other = right[here + 1 : here + pitch], left[here + size : here + pitch]
        for x in range(out.shape[2]):
            sides = whole[x] + whole[x + size]
            out[0, y, x] = 2 * diagonal[x] - sides
            out[1, y, x] = 2 * other[x] - sides
            out[2, y, x] = (whole[x + size] - 2 * upper[x + size]) - (whole[x] - 2 * upper[x])
            out[3, y, x] = sides - 2 * whole[x + more]
