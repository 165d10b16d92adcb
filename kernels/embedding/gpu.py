"""Triton: a program has a block of compositions and of one table's columns; tables stay in the second-level cache."""

from typing import Any

import torch
import triton
import triton.language as tl

ROWS, COLUMNS = 16, 128
"""Of a program: with four warps sixteen sums a lane."""

PAIRS, DENSE, ROOT, PRESENCE = (tl.constexpr(n) for n in range(4))


def embed(places: torch.Tensor, fractions: torch.Tensor, tables: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """(N, W) float32 of tensors on one device; see the package.

    Places are int32, fractions and tables (in the order of `Tables`) float32.
    """
    left, right, linear, bias, root, presence = (table.contiguous() for table in tables)
    parts = ((PAIRS, left, right), (DENSE, linear, bias), (ROOT, root, root), (PRESENCE, presence, presence))
    width = sum(table.shape[1] for _, table, _ in parts)
    out = fractions.new_empty(len(places), width)
    first = 0
    for kind, table, other in parts:
        columns = table.shape[1]
        if columns and len(places):
            sums[triton.cdiv(len(places), ROWS), triton.cdiv(columns, COLUMNS)](
                places.contiguous(), fractions.contiguous(), table, other, out[:, first:],
                len(places), columns, width, places.shape[1], kind, ROWS, COLUMNS,
            )  # fmt: skip
        first += columns
    return out


@triton.jit
def sums(places, fractions, table, other, out, count, columns, width, K, KIND: tl.constexpr, R: tl.constexpr, C: tl.constexpr):  # fmt: skip  # noqa: E501
    """Σ over a composition's elements of rows of `table`, weighted as its kind of columns is."""
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    column = tl.program_id(1) * C + tl.arange(0, C)
    here, wide = row < count, column < columns
    both = here[:, None] & wide[None, :]
    total = tl.zeros((R, C), tl.float32)
    factor = tl.zeros((R, C), tl.float32)
    if KIND == DENSE:
        total += tl.load(other + column, wide, 0.0)[None, :]
    for k in range(K):
        x = tl.load(fractions + row * K + k, here, 0.0)
        # What lies in an empty place is no number to multiply with: its weight is 0, and nothing is read.
        at = tl.load(places + row * K + k, here, 0)[:, None] * columns + column[None, :]
        used = both & (x > 0)[:, None]
        weight = x
        if KIND == ROOT:
            weight = tl.sqrt(x)
        if KIND == PRESENCE:
            weight = tl.where(x > 0, 1.0, 0.0)
        total += weight[:, None] * tl.load(table + at, used, 0.0)
        if KIND == PAIRS:
            factor += weight[:, None] * tl.load(other + at, used, 0.0)
    if KIND == PAIRS:
        total *= factor
    if KIND == DENSE:
        total = tl.maximum(total, 0.0)
    tl.store(out + row[:, None] * width + column[None, :], total, both)


def configurations(_capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    arrays = {"places": "*i32"} | dict.fromkeys(("fractions", "table", "other", "out"), "*fp32")
    numbers = dict.fromkeys(("count", "columns", "width", "K"), "i32")
    return [(sums, arrays | numbers, {"KIND": kind, "R": ROWS, "C": COLUMNS}, {}) for kind in range(4)]
