"""Triton: a program has a block of compositions and of one table's columns; tables stay in the second-level cache."""

from typing import Any

import torch
import triton
import triton.language as tl

from matscreen.kernels.embedding.reference import MOST_ATOMS, MOST_ELEMENTS
from matscreen.kernels.embedding.tables import Tables
from matscreen.kernels.features.reference import WHOLE

ROWS, COLUMNS = 16, 128
"""Of a program: with four warps sixteen sums a lane."""

KEYS = 128
"""Compositions of a program that finds their stoichiometries."""

PAIRS, DENSE, ROOT, PRESENCE = (tl.constexpr(n) for n in range(4))


def embed(places: torch.Tensor, fractions: torch.Tensor, tables: Tables) -> torch.Tensor:
    """(N, W) float32 of tensors on one device; see the package.

    Places are int32, fractions float32, tables tensors of their dtypes.
    """
    left, right, linear, bias, root, presence, stoichiometry, known, order = (table.contiguous() for table in tables)  # type: ignore[attr-defined]
    parts = ((PAIRS, left, right), (DENSE, linear, bias), (ROOT, root, root), (PRESENCE, presence, presence))
    width = sum(table.shape[1] for _, table, _ in parts) + stoichiometry.shape[1]
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
    if stoichiometry.shape[1]:
        out[:, first:] = stoichiometry[rows(stoichiometry_keys(places, fractions, order), known)]
    return out


def stoichiometry_keys(places: torch.Tensor, fractions: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """(N,) int64; see the package. Order is int16."""
    found = torch.empty(len(places), dtype=torch.int64, device=places.device)
    if len(places):
        keys[triton.cdiv(len(places), KEYS),](
            places.contiguous(), fractions.contiguous(), order, found,
            len(places), places.shape[1], MOST_ATOMS, MOST_ELEMENTS, WHOLE, KEYS,
        )  # fmt: skip
    return found


def rows(found: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(N,) int64: where each key stands among those that are known, len(known) if it does not."""
    if not len(known):
        return torch.zeros_like(found)
    at = torch.searchsorted(known, found)
    return torch.where(known[at.clamp(max=len(known) - 1)] == found, at, len(known))


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


@triton.jit
def keys(places, fractions, order, out, count, K, MOST: tl.constexpr, DIGITS: tl.constexpr, WHOLE: tl.constexpr, R: tl.constexpr):  # fmt: skip  # noqa: E501
    """The smallest formula unit of each composition, as a number."""
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    here = row < count
    unit = tl.where(here, 0, 1)
    atoms = 1
    while (atoms <= MOST) & (tl.min(unit, axis=0) == 0):
        whole = unit == 0
        for k in range(K):
            amount = tl.load(fractions + row * K + k, here, 0.0).to(tl.float64) * atoms
            apart = tl.abs(amount - tl.floor(amount + 0.5))
            whole = whole & (~(amount > 0) | ((amount > 0.5) & (apart < WHOLE)))
        unit = tl.where(whole, atoms, unit)
        atoms += 1
    key = tl.zeros((R,), tl.int64)
    present = tl.zeros((R,), tl.int32)
    for k in range(K):
        x = tl.load(fractions + row * K + k, here, 0.0)
        there = here & (x > 0)
        own = tl.load(order + tl.load(places + row * K + k, there, 0), there, 0)
        digit = tl.zeros((R,), tl.int32)
        for other in range(K):
            before = here & (tl.load(fractions + row * K + other, here, 0.0) > 0)
            place = tl.load(order + tl.load(places + row * K + other, before, 0), before, 0)
            digit += (before & (place < own)).to(tl.int32)
        amount = tl.floor(x.to(tl.float64) * unit + 0.5).to(tl.int64)
        key += tl.where(there & (digit < DIGITS), amount << (8 * digit).to(tl.int64), 0)
        present += there.to(tl.int32)
    tl.store(out + row, tl.where(present <= DIGITS, key, 0), here)


def configurations(_capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    arrays = {"places": "*i32"} | dict.fromkeys(("fractions", "table", "other", "out"), "*fp32")
    numbers = dict.fromkeys(("count", "columns", "width", "K"), "i32")
    told = {"places": "*i32", "fractions": "*fp32", "order": "*i16", "out": "*i64", "count": "i32", "K": "i32"}
    fixed = {"MOST": MOST_ATOMS, "DIGITS": MOST_ELEMENTS, "WHOLE": WHOLE, "R": KEYS}
    return [
        *((sums, arrays | numbers, {"KIND": kind, "R": ROWS, "C": COLUMNS}, {}) for kind in range(4)),
        (keys, told, fixed, {}),
    ]
