"""Triton, in float64: a program has a few compositions and all properties; charges are bits of three words."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl

from matscreen.kernels.features import cpu
from matscreen.kernels.features.reference import MOST_ATOMS, WHOLE
from matscreen.kernels.features.tables import TABLES, VALENCE, WARD_FEATURE_NAMES

ROWS = 16
"""Compositions of a program: with four warps four properties a lane."""

PROPERTIES, WIDTH = (tl.constexpr(n) for n in (TABLES.properties.shape[1], len(WARD_FEATURE_NAMES)))
S, P, D, F = (tl.constexpr(n) for n in VALENCE)
STATES = tl.constexpr(16)
"""No element's oxidation states span more than 15."""
SPAN = tl.constexpr(192)
"""Charges that sums of states can differ by in three words; compositions of more are left to the processor."""
MOST, OFF = tl.constexpr(MOST_ATOMS), tl.constexpr(WHOLE)
POSSIBLE = WARD_FEATURE_NAMES.index("compound possible")
UNTOLD = -1.0
"""In that place of what is left to the processor."""


class Known(NamedTuple):
    """The tables on a device: what `TABLES` has of an element, its states as bits above the lowest, and that one."""

    properties: torch.Tensor
    electronegativity: torch.Tensor
    states: torch.Tensor
    lowest: torch.Tensor
    highest: torch.Tensor


@lru_cache
def known(device: torch.device) -> Known:
    """The tables there."""
    count = len(TABLES.properties)
    states, lowest, highest = (np.zeros(count, np.int32) for _ in range(3))
    for z in range(count):
        if len(own := TABLES.states[TABLES.first[z] : TABLES.first[z + 1]].astype(np.int32)):
            lowest[z], highest[z] = own[0], own[-1]
            states[z] = (1 << (own - own[0])).sum()
    tables = TABLES.properties, TABLES.electronegativity, states, lowest, highest
    return Known(*(torch.from_numpy(np.ascontiguousarray(table)).to(device) for table in tables))


def composition_features(elements: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """(N, 145) float64 of elements uint8 and amounts float64 (N, K), on one device; see the package."""
    found = told(elements, amounts, known(elements.device))
    wide = torch.nonzero(found[:, POSSIBLE] == UNTOLD)[:, 0]
    if len(wide):
        cpu.composition_features(
            elements[wide].cpu().numpy(), amounts[wide].cpu().numpy(), rest := np.empty((len(wide), found.shape[1]))
        )
        found[wide, POSSIBLE] = torch.from_numpy(rest[:, POSSIBLE]).to(found.device)
    return found


def told(elements: torch.Tensor, amounts: torch.Tensor, tables: Known) -> torch.Tensor:
    """What the device can tell by itself.

    "Compound possible" is `UNTOLD` of a composition whose charges differ by `SPAN` or more.
    """
    out = amounts.new_empty(len(elements), WIDTH.value)
    if len(elements):
        grid = (triton.cdiv(len(elements), ROWS),)
        given = elements.contiguous(), amounts.contiguous()
        attributes[grid](*given, *tables, out, len(elements), elements.shape[1], UNTOLD, ROWS)
    return out


@triton.jit
def shifted(low, middle, high, by):
    """Three words of 64 bits as one, moved up by 0 to 63 places."""
    back = (63 - by).to(tl.uint64)
    by = by.to(tl.uint64)
    one = tl.full(by.shape, 1, tl.uint64)
    return low << by, (middle << by) | ((low >> one) >> back), (high << by) | ((middle >> one) >> back)


@triton.jit
def root(x, degree):
    """Of what is above 0; 1 of what is not, which is no composition."""
    return tl.exp(tl.log(tl.where(x > 0, x, 1.0)) / degree)


@triton.jit
def attributes(
    elements, amounts, properties, electronegativity, states, lowest, highest, out, count, K, untold, R: tl.constexpr
):
    """A block of compositions; see `reference` for what is done to them."""
    row = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    here = row < count
    of_row = row * K
    line = out + row * WIDTH

    whole = tl.zeros((R,), tl.float64)
    kinds = tl.zeros((R,), tl.int32)
    for k in range(K):
        z, amount = fraction(elements, amounts, of_row + k, here, 1.0)
        whole += amount
        kinds += (z > 0).to(tl.int32)
    whole = tl.where(whole > 0, whole, 1.0)

    tl.store(line, kinds.to(tl.float64), here)
    largest = norms(elements, amounts, of_row, here, whole, line + 1, K, R)
    statistics(elements, amounts, properties, of_row, here, whole, largest, line + 6, K, R)
    last = line + 6 + 6 * PROPERTIES + 4
    possible = charges(elements, amounts, states, lowest, highest, of_row, here, whole, kinds, K, untold, R)
    tl.store(last, possible, here)
    ionic_character(elements, amounts, electronegativity, of_row, here, whole, last + 1, K, R)


@triton.jit
def fraction(elements, amounts, at, here, whole):
    """An element of each composition and its amount by the whole; both 0 where there is none."""
    z = tl.load(elements + at, here, 0).to(tl.int32)
    return z, tl.where(z > 0, tl.load(amounts + at, here, 0.0), 0.0) / whole


@triton.jit
def norms(elements, amounts, of_row, here, whole, out, K, R: tl.constexpr):
    """Stoichiometric norms of degree 2, 3, 5, 7 and 10; returns the largest fraction."""
    norm2 = tl.zeros((R,), tl.float64)
    norm3 = tl.zeros((R,), tl.float64)
    norm5 = tl.zeros((R,), tl.float64)
    norm7 = tl.zeros((R,), tl.float64)
    norm10 = tl.zeros((R,), tl.float64)
    largest = tl.zeros((R,), tl.float64)
    for k in range(K):
        _z, x = fraction(elements, amounts, of_row + k, here, whole)
        x2 = x * x
        x5 = x2 * x2 * x
        largest = tl.maximum(largest, x)
        norm2 += x2
        norm3 += x2 * x
        norm5 += x5
        norm7 += x5 * x2
        norm10 += x5 * x5
    tl.store(out, tl.sqrt(norm2), here)
    tl.store(out + 1, root(norm3, 3), here)
    tl.store(out + 2, root(norm5, 5), here)
    tl.store(out + 3, root(norm7, 7), here)
    tl.store(out + 4, root(norm10, 10), here)
    return largest


@triton.jit
def statistics(elements, amounts, properties, of_row, here, whole, largest, out, K, R: tl.constexpr):
    """Minimum, maximum, range, mean, deviation and mode of every property, then the mean valence electrons."""
    p = tl.arange(0, 32)  # the next power of two
    there = here[:, None] & (p < PROPERTIES)[None, :]
    low = tl.full((R, 32), float("inf"), tl.float64)
    high = tl.full((R, 32), float("-inf"), tl.float64)
    mode = tl.full((R, 32), float("inf"), tl.float64)
    mean = tl.zeros((R, 32), tl.float64)
    for k in range(K):
        z, x = fraction(elements, amounts, of_row + k, here, whole)
        value = tl.load(properties + z[:, None] * PROPERTIES + p[None, :], there, 0.0)
        own = (z > 0)[:, None]
        most = own & (tl.abs(x - largest) <= 1e-5 * largest)[:, None]
        low = tl.where(own, tl.minimum(low, value), low)
        high = tl.where(own, tl.maximum(high, value), high)
        mode = tl.where(most, tl.minimum(mode, value), mode)
        mean += x[:, None] * tl.where(own, value, 0.0)
    deviation = tl.zeros((R, 32), tl.float64)
    for k in range(K):
        z, x = fraction(elements, amounts, of_row + k, here, whole)
        value = tl.load(properties + z[:, None] * PROPERTIES + p[None, :], there, 0.0)
        deviation += x[:, None] * tl.where((z > 0)[:, None], tl.abs(value - mean), 0.0)
    at = out[:, None] + 6 * p[None, :]
    tl.store(at, low, there)
    tl.store(at + 1, high, there)
    tl.store(at + 2, high - low, there)
    tl.store(at + 3, mean, there)
    tl.store(at + 4, deviation, there)
    tl.store(at + 5, mode, there)
    valence = out + 6 * PROPERTIES
    tl.store(valence, tl.sum(tl.where((p == S)[None, :], mean, 0.0), axis=1), here)
    tl.store(valence + 1, tl.sum(tl.where((p == P)[None, :], mean, 0.0), axis=1), here)
    tl.store(valence + 2, tl.sum(tl.where((p == D)[None, :], mean, 0.0), axis=1), here)
    tl.store(valence + 3, tl.sum(tl.where((p == F)[None, :], mean, 0.0), axis=1), here)


@triton.jit
def ionic_character(elements, amounts, electronegativity, of_row, here, whole, out, K, R: tl.constexpr):
    """The largest of all pairs of elements, and the mean."""
    strongest = tl.zeros((R,), tl.float64)
    average = tl.zeros((R,), tl.float64)
    for i in range(K):
        zi, xi = fraction(elements, amounts, of_row + i, here, whole)
        ei = tl.load(electronegativity + zi)
        for j in range(i):
            zj, xj = fraction(elements, amounts, of_row + j, here, whole)
            apart = ei - tl.load(electronegativity + zj)
            ionic = tl.where((zi > 0) & (zj > 0), 1 - tl.exp(-0.25 * apart * apart), 0.0)
            strongest = tl.maximum(strongest, ionic)
            average += xi * xj * ionic
    tl.store(out, strongest, here)
    tl.store(out + 1, average, here)


@triton.jit
def charges(elements, amounts, states, lowest, highest, of_row, here, whole, kinds, K, untold, R: tl.constexpr):
    """Whether atoms can take oxidation states that sum to zero; bit b: they can sum to (lowest + b)."""
    unit = tl.where(here, 0, 1)
    total = 1
    while (total <= MOST) & (tl.min(unit, axis=0) == 0):
        furthest = tl.zeros((R,), tl.float64)
        for k in range(K):
            _z, x = fraction(elements, amounts, of_row + k, here, whole)
            n = x * total
            furthest = tl.maximum(furthest, tl.abs(n - tl.floor(n + 0.5)))
        unit = tl.where((unit == 0) & (furthest < OFF), total, unit)
        total += 1

    low = tl.zeros((R,), tl.float64)
    high = tl.zeros((R,), tl.float64)
    charged = here
    for k in range(K):
        z, x = fraction(elements, amounts, of_row + k, here, whole)
        weight = tl.where(unit > 0, tl.floor(x * unit + 0.5), x)
        low += weight * tl.load(lowest + z)
        high += weight * tl.load(highest + z)
        charged = charged & ((z == 0) | (tl.load(states + z) != 0))
    spans = charged & (low <= 0) & (high >= 0)
    counted = spans & (unit > 0) & (kinds > 1) & (high - low < SPAN)

    first = tl.full((R,), 1, tl.uint64)
    second = tl.zeros((R,), tl.uint64)
    third = tl.zeros((R,), tl.uint64)
    for k in range(K):
        z, x = fraction(elements, amounts, of_row + k, here, whole)
        atoms = tl.where(counted, tl.floor(x * unit + 0.5), 0.0).to(tl.int32)
        own = tl.load(states + z)
        for atom in range(tl.max(atoms, axis=0)):
            a = tl.zeros((R,), tl.uint64)
            b = tl.zeros((R,), tl.uint64)
            c = tl.zeros((R,), tl.uint64)
            for bit in range(STATES):
                moved_a, moved_b, moved_c = shifted(first, second, third, tl.full((R,), bit, tl.int64))
                has = ((own >> bit) & 1) == 1
                a = tl.where(has, a | moved_a, a)
                b = tl.where(has, b | moved_b, b)
                c = tl.where(has, c | moved_c, c)
            more = atom < atoms
            first = tl.where(more, a, first)
            second = tl.where(more, b, second)
            third = tl.where(more, c, third)
    zero = tl.where(counted, -low, 0.0).to(tl.int64)
    word = tl.where(zero < 64, first, tl.where(zero < 128, second, third))
    balanced = ((word >> (zero & 63).to(tl.uint64)) & 1).to(tl.float64)
    found = tl.where(unit == 0, 1.0, tl.where(counted, balanced, untold))
    return tl.where(kinds == 1, 1.0, tl.where(spans, found, 0.0))


def configurations(_capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    numbers = dict.fromkeys(("amounts", "properties", "electronegativity", "out"), "*fp64")
    tables = dict.fromkeys(("states", "lowest", "highest"), "*i32")
    types = {"elements": "*u8"} | numbers | tables | {"count": "i32", "K": "i32", "untold": "fp32"}
    return [(attributes, types, {"R": ROWS}, {})]
