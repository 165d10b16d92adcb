"""Triton: one program a block of pixels of a pattern; the master pattern stays in the second-level cache."""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from matscreen.kernels.master_pattern import cpu

PIXELS = 512
"""Of a program: with four warps four a lane."""

_ARCTAN = (cpu.A0, cpu.A1, cpu.A2, cpu.A3, cpu.A4, cpu.A5, cpu.A6, cpu.A7, cpu.A8)
(A0, A1, A2, A3, A4, A5, A6, A7, A8) = tuple(tl.constexpr(float(c)) for c in _ARCTAN)


def project(
    master: torch.Tensor, orientations: torch.Tensor, centres: torch.Tensor, shape: tuple[int, int], axes: np.ndarray
) -> torch.Tensor:
    """(N, rows, columns) float32 of float32 tensors on one device; see the package."""
    rows, columns = shape
    patterns = orientations.new_empty(len(orientations), rows, columns)
    if patterns.numel():
        frame = torch.as_tensor(np.ascontiguousarray(axes, np.float32), device=master.device)
        grid = (len(orientations), triton.cdiv(rows * columns, PIXELS))
        each = centres.stride(0) if len(centres) > 1 else 0
        pixels[grid](
            master.contiguous(), orientations.contiguous(), centres.contiguous(), frame, patterns,
            master.shape[1], rows, columns, each, PIXELS,
        )  # fmt: skip
    return patterns


@triton.jit
def row(frame, first, second, third):
    """A row of (rotation · frame), the rotation's row given."""
    a = first * tl.load(frame) + second * tl.load(frame + 3) + third * tl.load(frame + 6)
    b = first * tl.load(frame + 1) + second * tl.load(frame + 4) + third * tl.load(frame + 7)
    c = first * tl.load(frame + 2) + second * tl.load(frame + 5) + third * tl.load(frame + 8)
    return a, b, c


@triton.jit
def pixels(master, orientations, centres, frame, patterns, side, rows, columns, each, BLOCK: tl.constexpr):
    """A block of pixels of one pattern; see `reference` for what is done to them."""
    pattern = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < rows * columns
    q = orientations + 4 * pattern
    w, x, y, z = tl.load(q), tl.load(q + 1), tl.load(q + 2), tl.load(q + 3)
    centre = centres + each * pattern
    distance = tl.load(centre + 2)
    wide = (pixel % columns).to(tl.float32)
    high = (pixel // columns).to(tl.float32)
    gx = ((wide + 0.5) / columns - tl.load(centre)) / distance * (columns / rows)
    gy = (tl.load(centre + 1) - (high + 0.5) / rows) / distance

    xx, xy, xz = row(frame, w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y))
    yx, yy, yz = row(frame, 2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x))
    zx, zy, zz = row(frame, 2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z)
    a = xx * gx + xy * gy + xz
    b = yx * gx + yy * gy + yz
    c = zx * gx + zy * gy + zz

    length = tl.sqrt(gx * gx + gy * gy + 1)
    radius = tl.sqrt((a * a + b * b) / (length * (length + tl.abs(c))))
    width, depth = tl.abs(a), tl.abs(b)
    steep = depth > width
    long = tl.maximum(depth, width)
    t = tl.minimum(depth, width) / tl.where(long > 0, long, 1)
    s = t * t
    bent = ((((((((A8 * s + A7) * s + A6) * s + A5) * s + A4) * s + A3) * s + A2) * s + A1) * s + A0)  # fmt: skip
    beside = radius * t * bent
    u, v = tl.where(steep, beside, radius), tl.where(steep, radius, beside)
    middle = (side - 1) / 2
    column = middle + middle * tl.where(a > 0, u, -u)
    line = middle + middle * tl.where(b > 0, v, -v)
    j = tl.minimum(column.to(tl.int32), side - 2)
    i = tl.minimum(line.to(tl.int32), side - 2)
    right, below = column - j, line - i

    at = master + tl.where(c < 0, side * side, 0) + i * side + j
    upper = tl.load(at, inside)
    upper += right * (tl.load(at + 1, inside) - upper)
    lower = tl.load(at + side, inside)
    lower += right * (tl.load(at + side + 1, inside) - lower)
    tl.store(patterns + pattern * rows * columns + pixel, upper + below * (lower - upper), inside)


def configurations(_capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    tables = dict.fromkeys(("master", "orientations", "centres", "frame", "patterns"), "*fp32")
    numbers = dict.fromkeys(("side", "rows", "columns", "each"), "i32")
    return [(pixels, tables | numbers, {"BLOCK": PIXELS}, {})]
