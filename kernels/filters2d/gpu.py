"""Triton: windows as scans, at three loads a pixel for windows of up to 256 and (f + 128) / 128 for larger ones.

A program makes L neighbouring windows of f >= L pixels, L a power of two: each is the end of the first L pixels, the
f − L in the middle and the beginning of the next L. Ends and beginnings are two scans, the middle one reduction, and
nothing is ever subtracted. First along the rows, then down the columns; for slope filters down straight and slanting
columns of prefix sums (see `cpu`).
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl

from matscreen.kernels.filters2d.windows import Window

MINIMUM, MAXIMUM, SUM = (tl.constexpr(n) for n in range(3))
TILE = 1024
"""Pixels of a program: eight a thread."""
LONGEST = 128
"""Most windows of a program side by side."""
CHUNK = 1024
"""Pixels of a row that are summed at once."""


def minimum(stack: torch.Tensor, valid: torch.Tensor | None, window: Window) -> torch.Tensor:
    """See the package; (n, H, W) of the stack's dtype."""
    return _extreme(stack, valid, window, MINIMUM.value)


def maximum(stack: torch.Tensor, valid: torch.Tensor | None, window: Window) -> torch.Tensor:
    """See the package; (n, H, W) of the stack's dtype."""
    return _extreme(stack, valid, window, MAXIMUM.value)


def mean(stack: torch.Tensor, valid: torch.Tensor | None, window: Window) -> torch.Tensor:
    """See the package."""
    kind = stack.dtype if stack.dtype == torch.float32 else torch.float64
    sums = _windows(stack, valid, window, SUM.value, 0.0)
    if valid is None:
        return (sums / math.prod(window.size)).to(kind)
    counts = _windows(valid, None, window._replace(constant=1), SUM.value, 0.0)
    return (sums / counts.where(counts > 0, torch.nan)).to(kind)


def slopes(stack: torch.Tensor, valid: torch.Tensor | None, window: Window) -> torch.Tensor:
    """See the package."""
    kind = stack.dtype if stack.dtype == torch.float32 else torch.float64
    found = _slope_sums(stack, valid, window)
    if valid is None:
        return found.to(kind)
    certain, size = window._replace(constant=1), window.size[0]
    number, counted = _slope_sums(valid, None, certain), _windows(valid, None, certain, SUM.value, 0.0)
    total = _windows(stack, valid, window, SUM.value, 0.0)
    triangle, half = size * (size - 1) // 2, size * ((size + 1) // 2)
    negative = total.new_tensor([triangle, triangle, half, half])[:, None, None, None]
    plus, minus = counted + number, counted - number
    positive = (total + found) * (size**2 - negative) / plus.where(plus > 0, torch.nan)
    return (positive - (total - found) * negative / minus.where(minus > 0, torch.nan)).to(kind)


def _extreme(stack: torch.Tensor, valid: torch.Tensor | None, window: Window, operation: int) -> torch.Tensor:
    least = operation == MINIMUM.value
    if stack.dtype.is_floating_point:
        worst: float = math.inf if least else -math.inf
    else:
        worst = torch.iinfo(stack.dtype).max if least else torch.iinfo(stack.dtype).min
    found = _windows(stack, valid, window, operation, worst)
    if valid is not None:
        seen = _windows(valid, None, window._replace(constant=1), MAXIMUM.value, 0)
        if found.dtype.is_floating_point:
            return found.masked_fill(seen == 0, math.nan)
        signed = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[
            found.itemsize
        ]  # all that torch fills
        found = found.view(signed).masked_fill(seen == 0, 0).view(found.dtype)
    return found


def _windows(
    stack: torch.Tensor, valid: torch.Tensor | None, window: Window, operation: int, worst: float
) -> torch.Tensor:
    """Minimum, maximum or sum of every window: (n, H, W), float64 for sums. `worst` changes none of them."""
    count, height, width = stack.shape
    inside = torch.float64 if operation == SUM.value else stack.dtype
    columns, rows = (torch.from_numpy(a).to(stack.device) for a in (window.columns, window.rows))
    along = torch.empty((count, height, width), dtype=inside, device=stack.device)
    down = torch.empty_like(along)
    size, constant = window.size, float(window.constant) if inside.is_floating_point else int(window.constant)
    outside = constant * size[1] if operation == SUM.value else constant
    for source, flags, index, into, axis, lines, strides, f, border in (
        (stack, valid, columns, along, width, height, (1, width), size[1], constant),
        (along, None, rows, down, height, width, (width, 1), size[0], outside),
    ):
        limits = torch.tensor([border, worst], dtype=inside, device=stack.device)  # numbers are passed as float32
        length, across = tile_of(f)
        grid = (triton.cdiv(axis, length), triton.cdiv(lines, across), count)
        slide[grid](
            source, source if flags is None else flags, index, into, axis, lines, height * width, height * width,
            *strides, f, limits, True, flags is not None, operation, length, across,
        )  # fmt: skip
    return down


def _slope_sums(stack: torch.Tensor, valid: torch.Tensor | None, window: Window) -> torch.Tensor:
    """The four correlations, (4, n, H, W) float64; see `cpu._slope_sums` for the sums that they are made of."""
    count, height, width = stack.shape
    size = window.size[0]
    pitch, half, tall = width + size, size // 2, height + size
    columns, rows = (torch.from_numpy(a).to(stack.device) for a in (window.columns, window.rows))
    sums = torch.zeros((count, (tall + 1) * (pitch + 1)), dtype=torch.float64, device=stack.device)
    prefix_sums[(height + size - 1, count)](
        stack, stack if valid is None else valid, rows, columns, sums, width, pitch, height * width, sums.shape[1],
        torch.tensor([window.constant], dtype=torch.float64, device=stack.device), valid is not None, CHUNK,
    )  # fmt: skip
    windows, nothing = [], sums.new_zeros(2)
    for step, f, high in (
        (pitch, half, height + size - half),
        (pitch + 1, size, height),
        (pitch - 1, size, triton.cdiv(height * pitch, pitch - 1)),
    ):
        into = torch.empty((count, high * step), dtype=torch.float64, device=stack.device)
        length, across = tile_of(f)
        grid = (triton.cdiv(high, length), triton.cdiv(step, across), count)
        slide[grid](
            sums, sums, rows, into, high, step, sums.shape[1], into.shape[1], step, 1, f, nothing, False, False,
            SUM.value, length, across,
        )  # fmt: skip
        windows.append(into)
    found = torch.empty((4, *stack.shape), dtype=torch.float64, device=stack.device)
    straight, right, left = windows
    combine_slopes[(triton.cdiv(width, CHUNK), height, count)](
        sums, straight, right, left, found, width, pitch, size, sums.shape[1], straight.shape[1], right.shape[1],
        left.shape[1], height * width, count * height * width, CHUNK,
    )  # fmt: skip
    return found


def tile_of(size: int) -> tuple[int, int]:
    """Windows side by side, at most `size`, and lines of a program."""
    length = min(LONGEST, 2 ** (size.bit_length() - 1))
    return length, min(TILE // length, 512)


@triton.jit
def least(a, b):
    return tl.minimum(a, b)


@triton.jit
def greatest(a, b):
    return tl.maximum(a, b)


@triton.jit
def total(a, b):
    return a + b


@triton.jit
def scan(values, OPERATION: tl.constexpr, REVERSE: tl.constexpr):
    if OPERATION == MINIMUM:
        found = tl.associative_scan(values, 0, least, reverse=REVERSE)
    elif OPERATION == MAXIMUM:
        found = tl.associative_scan(values, 0, greatest, reverse=REVERSE)
    else:
        found = tl.associative_scan(values, 0, total, reverse=REVERSE)
    return found


@triton.jit
def combine(a, b, OPERATION: tl.constexpr):
    if OPERATION == MINIMUM:
        found = tl.minimum(a, b)
    elif OPERATION == MAXIMUM:
        found = tl.maximum(a, b)
    else:
        found = a + b
    return found


@triton.jit
def pixels(
    source, flags, index, place, line, there, axis_stride, line_stride, border, worst,
    INDEXED: tl.constexpr, MASKED: tl.constexpr, KIND: tl.constexpr,
):  # fmt: skip
    """Values at padded places of an axis, of lines beside each other; the border's, or `worst` where nothing counts."""
    if INDEXED:
        place = tl.load(index + place, mask=there, other=0)
    inside = there & (place >= 0)
    offset = place * axis_stride + line * line_stride
    values = tl.load(source + offset, mask=inside, other=0).to(KIND)
    if MASKED:
        values = tl.where(tl.load(flags + offset, mask=inside, other=1) != 0, values, worst)
    values = tl.where(place >= 0, values, border)
    return tl.where(there, values, worst)


@triton.jit
def slide(
    source, flags, index, out, axis, lines, image, out_image, axis_stride, line_stride, size, limits,
    INDEXED: tl.constexpr, MASKED: tl.constexpr, OPERATION: tl.constexpr, LENGTH: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """Windows of `size` places along one axis, `axis` of them, of lines beside each other; see the module.

    limits : the border's value, and the one that changes no window
    """
    border, worst = tl.load(limits), tl.load(limits + 1)
    kind: tl.constexpr = out.dtype.element_ty
    source += tl.program_id(2).to(tl.int64) * image
    flags += tl.program_id(2).to(tl.int64) * image
    out += tl.program_id(2).to(tl.int64) * out_image
    first = tl.program_id(0) * LENGTH
    j = tl.arange(0, LENGTH)[:, None]
    line = tl.program_id(1) * LINES + tl.arange(0, LINES)[None]
    beside = line < lines
    last = axis + size - 1  # places there are
    ends = pixels(
        source, flags, index, first + j, line, beside & (first + j < last), axis_stride, line_stride, border, worst,
        INDEXED, MASKED, kind,
    )  # fmt: skip
    found = scan(ends, OPERATION, True)
    for middle in range(first + LENGTH, first + size, LENGTH):
        there = beside & (middle + j < first + size) & (middle + j < last)
        part = pixels(
            source, flags, index, middle + j, line, there, axis_stride, line_stride, border, worst,
            INDEXED, MASKED, kind,
        )  # fmt: skip
        if OPERATION == MINIMUM:
            between = tl.reduce(part, 0, least)
        elif OPERATION == MAXIMUM:
            between = tl.reduce(part, 0, greatest)
        else:
            between = tl.reduce(part, 0, total)
        found = combine(found, between[None], OPERATION)
    place = first + size + j - 1
    beginnings = pixels(
        source, flags, index, place, line, beside & (j > 0) & (place < last), axis_stride, line_stride, border, worst,
        INDEXED, MASKED, kind,
    )  # fmt: skip
    found = combine(found, scan(beginnings, OPERATION, False), OPERATION)
    tl.store(out + (first + j) * axis_stride + line * line_stride, found, mask=beside & (first + j < axis))


@triton.jit
def prefix_sums(
    source, flags, rows, columns, out, width, pitch, image, out_image, limits, MASKED: tl.constexpr, CHUNK: tl.constexpr
):  # fmt: skip
    """out[y, x] = sum of the first x pixels of padded row y; a program a row."""
    y = tl.program_id(0)
    row, border = tl.load(rows + y), tl.load(limits)
    source += tl.program_id(1).to(tl.int64) * image
    flags += tl.program_id(1).to(tl.int64) * image
    out += tl.program_id(1).to(tl.int64) * out_image + y.to(tl.int64) * pitch
    before = tl.zeros((1,), tl.float64)
    for first in range(0, pitch - 1, CHUNK):
        x = first + tl.arange(0, CHUNK)
        there = x < pitch - 1
        column = tl.load(columns + x, mask=there, other=0)
        inside = there & (tl.minimum(column, row) >= 0)
        values = tl.load(source + row * width + column, mask=inside, other=0).to(tl.float64)
        if MASKED:
            values = tl.where(tl.load(flags + row * width + column, mask=inside, other=1) != 0, values, 0)
        values = tl.where(inside, values, border)
        values = tl.where(there, values, 0)
        tl.store(out + x + 1, before + tl.cumsum(values, 0), mask=there)
        before += tl.sum(values, 0)


@triton.jit
def combine_slopes(
    sums, straight, right, left, out, width, pitch, size, sums_image, straight_image, right_image, left_image, image,
    plane, CHUNK: tl.constexpr,
):  # fmt: skip
    """The four differences of `cpu._slope_sums`."""
    n, y = tl.program_id(2).to(tl.int64), tl.program_id(1).to(tl.int64)
    x = tl.program_id(0) * CHUNK + tl.arange(0, CHUNK)
    there = x < width
    half = size // 2
    more = size - half
    straight += n * straight_image + y * pitch
    middle = sums + n * sums_image + (y + half) * pitch
    odd = (size % 2).to(tl.float64)
    near, far = tl.load(straight + x, mask=there), tl.load(straight + x + size, mask=there)
    near += odd * tl.load(middle + x, mask=there)  # of the upper half, at x and x + f
    far += odd * tl.load(middle + x + size, mask=there)
    whole_near = near + tl.load(straight + more * pitch + x, mask=there)
    whole_far = far + tl.load(straight + more * pitch + x + size, mask=there)
    whole_half = tl.load(straight + x + more, mask=there) + tl.load(straight + more * pitch + x + more, mask=there)
    whole_half += odd * tl.load(middle + x + more, mask=there)
    diagonal = tl.load(right + n * right_image + y * pitch + x + 1, mask=there)
    other = tl.load(left + n * left_image + y * pitch + x + size, mask=there)
    sides = whole_near + whole_far
    out += n * image + y * width + x
    tl.store(out, 2 * diagonal - sides, mask=there)
    tl.store(out + plane, 2 * other - sides, mask=there)
    tl.store(out + 2 * plane, (whole_far - 2 * far) - (whole_near - 2 * near), mask=there)
    tl.store(out + 3 * plane, sides - 2 * whole_half, mask=there)


def configurations(_capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    found: list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]] = []
    numbers = dict.fromkeys(("axis", "lines", "image", "out_image", "axis_stride", "line_stride", "size"), "i32")
    for source, kept, operation in (
        ("fp32", "fp32", MINIMUM), ("i32", "i32", MAXIMUM), ("fp32", "fp64", SUM), ("fp64", "fp64", SUM)
    ):  # fmt: skip
        types = {
            "source": f"*{source}",
            "flags": "*u8",
            "index": "*i64",
            "out": f"*{kept}",
            "limits": f"*{kept}",
            **numbers,
        }
        for size in (50, 200):
            length, across = tile_of(size)
            flags = ((True, False), (False, False)) if source == "fp64" else ((True, False), (True, True))
            for indexed, masked in flags:  # sums go down straight and slanting columns without an index
                constants = {"INDEXED": indexed, "MASKED": masked, "OPERATION": operation.value}
                constants |= {"LENGTH": length, "LINES": across}
                found.append((slide, types, constants, {}))
    sizes = dict.fromkeys(("width", "pitch", "image", "out_image"), "i32") | {"limits": "*fp64"}
    types = {"source": "*fp32", "flags": "*u8", "rows": "*i64", "columns": "*i64", "out": "*fp64", **sizes}
    found += [(prefix_sums, types, {"MASKED": masked, "CHUNK": CHUNK}, {}) for masked in (False, True)]
    types = dict.fromkeys(("sums", "straight", "right", "left", "out"), "*fp64")
    sizes = dict.fromkeys(combine_slopes.arg_names[5:-1], "i32")
    found.append((combine_slopes, types | sizes, {"CHUNK": CHUNK}, {}))
    return found
