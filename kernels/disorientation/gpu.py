"""Triton: one program a block of pairs. 36 bytes a pair in float32 are what it costs; all arithmetic hides behind them.

Forward takes the closed form for 432 (see `cpu`), else looks at every rotation; for gradients it always looks, to say
which one was nearest.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from matscreen.kernels.disorientation.cpu import ARCTANGENT

PAIRS = 256
"""Of a program: with four warps two a lane."""
LARGEST_MATRIX = 2**28
"""Angles that are kept at a time while the nearest are looked for."""
TILE = {torch.float32: (16, 128), torch.float64: (8, 64)}
"""Rows and columns of the matrix that one program makes: as many as registers hold."""

_C = tuple(tl.constexpr(c) for c in ARCTANGENT)
(C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11) = _C


def angles(q1: torch.Tensor, q2: torch.Tensor, rotations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Angles (N,) of pairs (N, 4), and which of the rotations (M, 4) was nearest, int32."""
    angle, nearest = q1.new_empty(len(q1)), torch.empty(len(q1), dtype=torch.int32, device=q1.device)
    if len(q1):
        pairs[(triton.cdiv(len(q1), PAIRS),)](
            q1.contiguous(), q2.contiguous(), rotations, angle, nearest, len(q1), len(rotations), False, True, PAIRS
        )
    return angle, nearest


def only_angles(q1: torch.Tensor, q2: torch.Tensor, rotations: torch.Tensor, cubic: bool) -> torch.Tensor:
    """Angles (N,) of pairs (N, 4); `cubic` says that the rotations (M, 4) are those of 432."""
    angle = q1.new_empty(len(q1))
    if len(q1):
        pairs[(triton.cdiv(len(q1), PAIRS),)](
            q1.contiguous(), q2.contiguous(), rotations, angle, angle, len(q1), len(rotations), cubic, False, PAIRS
        )
    return angle


def gradients(
    q1: torch.Tensor, q2: torch.Tensor, rotations: torch.Tensor, nearest: torch.Tensor, outer: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients (N, 4) with respect to q1 and q2, of what has the gradient `outer` (N,) with respect to the angles."""
    first, second = (torch.empty(q.shape, dtype=q.dtype, device=q.device) for q in (q1, q2))
    if len(q1):
        pairs_backward[(triton.cdiv(len(q1), PAIRS),)](
            q1.contiguous(), q2.contiguous(), rotations, nearest, outer.contiguous(), first, second, len(q1), PAIRS
        )
    return first, second


def matrix(q1: torch.Tensor, q2: torch.Tensor, rotations: torch.Tensor, cubic: bool) -> torch.Tensor:
    """(N, M) angles of all of q1 (N, 4) with all of q2 (M, 4)."""
    result = q1.new_empty(len(q1), len(q2))
    if result.numel():
        tile = TILE[q1.dtype]
        grid = (triton.cdiv(len(q1), tile[0]) * triton.cdiv(len(q2), tile[1]),)
        all_pairs[grid](
            q1.contiguous(), q2.contiguous(), rotations, result, len(q1), len(q2), len(rotations), cubic, *tile
        )
    return result


def nearest(
    q1: torch.Tensor, q2: torch.Tensor, rotations: torch.Tensor, cubic: bool, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, count) smallest angles of a row of `matrix`, rising, and whose they are, int64; in parts of the matrix."""
    rows = max(1, LARGEST_MATRIX // max(len(q2), 1))
    found = [matrix(part, q2, rotations, cubic).topk(count, largest=False) for part in q1.split(rows)]
    return torch.cat([angles for angles, _ in found]), torch.cat([whose for _, whose in found])


@triton.jit
def components(q, rows, count, BLOCK: tl.constexpr):
    """w, x, y, z of quaternions by whole 16- or 32-byte loads; those past the end are the identity."""
    part = tl.arange(0, 4)
    given = tl.load(q + rows[:, None] * 4 + part[None], mask=(rows < count)[:, None], other=0)
    even, odd = tl.split(tl.reshape(given, (BLOCK, 2, 2)))
    w, y = tl.split(even)
    x, z = tl.split(odd)
    return tl.where(rows < count, w, 1), x, y, z


@triton.jit
def store_components(q, rows, count, w, x, y, z, BLOCK: tl.constexpr):
    joined = tl.reshape(tl.join(tl.join(w, y), tl.join(x, z)), (BLOCK, 4))
    tl.store(q + rows[:, None] * 4 + tl.arange(0, 4)[None], joined, mask=(rows < count)[:, None])


@triton.jit
def product(a, b, c, d, w, x, y, z):
    """Components of (a, b, c, d) · (w, x, y, z)⁻¹."""
    return (
        a * w + b * x + c * y + d * z,
        b * w - a * x - c * z + d * y,
        c * w - a * y + b * z - d * x,
        d * w - a * z - b * y + c * x,
    )


@triton.jit
def angle_of(square, cosine):
    """2 arctan(sin / cos) of the half angle, from sin² and cos >= 0; see `cpu.angle_of`."""
    sine = tl.sqrt(square)
    small, large = tl.minimum(sine, cosine), tl.maximum(sine, cosine)
    far = small > 0.4142135623730951 * large
    t = tl.where(far, small - large, small) / tl.maximum(tl.where(far, small + large, large), 1e-37)
    z = t * t
    value = ((((C0 * z + C1) * z + C2) * z + C3) * z + C4) * z + C5
    value = ((((((value * z + C6) * z + C7) * z + C8) * z + C9) * z + C10) * z + C11) * t
    value = tl.where(far, value + 0.7853981633974483, value)
    return 2 * tl.where(sine > cosine, 1.5707963267948966 - value, value)


@triton.jit
def cubic_half(w, x, y, z):
    """sin² and cos of the half angle for 432; see `cpu.cubic_half`."""
    w, x, y, z = tl.abs(w), tl.abs(x), tl.abs(y), tl.abs(z)
    p, q, r, s = tl.maximum(w, x), tl.minimum(w, x), tl.maximum(y, z), tl.minimum(y, z)
    a, m, n, e = tl.maximum(p, r), tl.minimum(p, r), tl.maximum(q, s), tl.minimum(q, s)
    b, c = tl.maximum(m, n), tl.minimum(m, n)
    two, four = (a + b) * 0.7071067811865476, (a + b + c + e) * 0.5
    f, g, h = a + b - c - e, a - b + c - e, a - b - c + e
    tail = c * c + e * e
    square = tl.where(two > a, (a - b) * (a - b) * 0.5 + tail, b * b + tail)
    cosine = tl.maximum(two, a)
    return tl.where(four > cosine, (f * f + g * g + h * h) * 0.25, square), tl.maximum(four, cosine)


@triton.jit
def nearest_half(w, x, y, z, rotations, number):
    """sin² and cos of the half angle from the nearest of the rotations, told by its distance, and which it is."""
    length = tl.sqrt(w * w + x * x + y * y + z * z)  # distances are told from the sphere
    w, x, y, z = w / length, x / length, y / length, z / length
    best, which = tl.abs(w) * 0 - 1, (w * 0).to(tl.int32)
    a, b, c, e = w * 0, w * 0, w * 0, w * 0
    for n in range(number):
        r, s = tl.load(rotations + 4 * n), tl.load(rotations + 4 * n + 1)
        t, u = tl.load(rotations + 4 * n + 2), tl.load(rotations + 4 * n + 3)
        dot = tl.abs(w * r + x * s + y * t + z * u)
        more = dot > best
        best, which = tl.where(more, dot, best), tl.where(more, n, which)
        a, b, c, e = tl.where(more, r, a), tl.where(more, s, b), tl.where(more, t, c), tl.where(more, u, e)
    sign = tl.where(w * a + x * b + y * c + z * e < 0, -1.0, 1.0).to(w.dtype)
    f, g, h, i = w * sign - a, x * sign - b, y * sign - c, z * sign - e
    chord = f * f + g * g + h * h + i * i
    return chord * (1 - chord * 0.25), 1 - chord * 0.5, which


@triton.jit
def pairs(
    q1, q2, rotations, angle, nearest, count, number, CUBIC: tl.constexpr, WHICH: tl.constexpr, BLOCK: tl.constexpr
):
    """angle[n] of (q1[n], q2[n]), and which rotation was nearest if asked."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a, b, c, d = components(q1, rows, count, BLOCK)
    e, f, g, h = components(q2, rows, count, BLOCK)
    w, x, y, z = product(a, b, c, d, e, f, g, h)
    if CUBIC:
        square, cosine = cubic_half(w, x, y, z)
    else:
        square, cosine, which = nearest_half(w, x, y, z, rotations, number)
        if WHICH:
            tl.store(nearest + rows, which, mask=rows < count)
    tl.store(angle + rows, angle_of(square, cosine), mask=rows < count)


@triton.jit
def pairs_backward(q1, q2, rotations, nearest, outer, first, second, count, BLOCK: tl.constexpr):
    """Gradients of `pairs`; see `differentiable`."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a, b, c, d = components(q1, rows, count, BLOCK)
    e, f, g, h = components(q2, rows, count, BLOCK)
    w, x, y, z = product(a, b, c, d, e, f, g, h)
    chosen = rotations + 4 * tl.load(nearest + rows, mask=rows < count, other=0)
    r, s, t, u = tl.load(chosen), tl.load(chosen + 1), tl.load(chosen + 2), tl.load(chosen + 3)
    sign = tl.where(w * r + x * s + y * t + z * u < 0, -1.0, 1.0).to(w.dtype)
    r, s, t, u = r * sign - w, s * sign - x, t * sign - y, u * sign - z
    along = r * w + s * x + t * y + u * z
    r, s, t, u = r - along * w, s - along * x, t - along * y, u - along * z
    sine = tl.sqrt(r * r + s * s + t * t + u * u)
    scale = tl.load(outer + rows, mask=rows < count, other=0) * tl.where(sine > 0, -2 / tl.where(sine > 0, sine, 1), 0)
    r, s, t, u = r * scale, s * scale, t * scale, u * scale
    w, x, y, z = product(r, s, t, u, e, -f, -g, -h)
    store_components(first, rows, count, w, x, y, z, BLOCK)
    w, x, y, z = product(r, -s, -t, -u, a, -b, -c, -d)
    store_components(second, rows, count, w, x, y, z, BLOCK)


@triton.jit
def all_pairs(
    q1, q2, rotations, out, count, columns, number, CUBIC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """out[n, m] of (q1[n], q2[m])."""
    across = tl.cdiv(columns, COLUMNS)
    n = (tl.program_id(0) // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    m = (tl.program_id(0) % across) * COLUMNS + tl.arange(0, COLUMNS)
    a, b, c, d = components(q1, n, count, ROWS)
    e, f, g, h = components(q2, m, columns, COLUMNS)
    w, x, y, z = product(
        a[:, None], b[:, None], c[:, None], d[:, None], e[None], f[None], g[None], h[None]
    )  # fmt: skip
    if CUBIC:
        square, cosine = cubic_half(w, x, y, z)
    else:
        square, cosine, _ = nearest_half(w, x, y, z, rotations, number)
    inside = (n < count)[:, None] & (m < columns)[None]
    tl.store(out + n[:, None] * columns + m[None], angle_of(square, cosine), mask=inside)


def configurations(_capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    found: list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]] = []
    for real, tile in (("fp32", TILE[torch.float32]), ("fp64", TILE[torch.float64])):
        table = {"q1": f"*{real}", "q2": f"*{real}", "rotations": f"*{real}"}
        for cubic, which in ((True, False), (False, False), (False, True)):
            types = {**table, "angle": f"*{real}", "nearest": "*i32" if which else f"*{real}", "count": "i32"}
            found.append((pairs, types | {"number": "i32"}, {"CUBIC": cubic, "WHICH": which, "BLOCK": PAIRS}, {}))
        types = {**table, "nearest": "*i32", "outer": f"*{real}", "first": f"*{real}", "second": f"*{real}"}
        found.append((pairs_backward, types | {"count": "i32"}, {"BLOCK": PAIRS}, {}))
        for cubic in (True, False):
            types = {**table, "out": f"*{real}", "count": "i32", "columns": "i32", "number": "i32"}
            found.append((all_pairs, types, {"CUBIC": cubic, "ROWS": tile[0], "COLUMNS": tile[1]}, {}))
    return found
