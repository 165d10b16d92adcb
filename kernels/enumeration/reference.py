"""The definition of the order of compositions, in plain Python and NumPy."""

import itertools
import math

import numpy as np


def ratio_table(arity: int, max_atoms: int) -> np.ndarray:
    """All reduced ratios: (R, arity) uint8, positive, summing to at most `max_atoms`, gcd 1, in lexicographic order."""
    if arity < 1 or max_atoms < arity or max_atoms > 255:
        raise ValueError(f"no ratios of {arity} elements in at most {max_atoms} atoms (at most 255 atoms)")
    return np.array(_ratios(arity, max_atoms), np.uint8).reshape(-1, arity)


def _ratios(arity: int, atoms: int, divisor: int = 0) -> list[tuple[int, ...]]:
    if arity == 0:
        return [()] if divisor == 1 else []
    return [
        (first, *rest)
        for first in range(1, atoms - arity + 2)
        for rest in _ratios(arity - 1, atoms - first, math.gcd(divisor, first))
    ]


def block_size(n_free: int, n_required: int, arity: int, n_ratios: int) -> int:
    """Number of compositions of a block: chemical systems × ratios (an exact Python integer)."""
    return math.comb(n_free, arity - n_required) * n_ratios if arity >= n_required else 0


def unrank(
    start: int, stop: int, free: np.ndarray, required: np.ndarray, ratios: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """See the package: unrank each system from its number, C(c₁,1) + C(c₂,2) + … with c₁ < c₂ < …"""
    elements = np.zeros((stop - start, width), np.uint8)
    amounts = np.zeros((stop - start, width), np.uint8)
    arity = ratios.shape[1]
    for row, rank in enumerate(range(start, stop)):
        system, ratio = divmod(rank, len(ratios))
        chosen = []
        for place in range(arity - len(required), 0, -1):
            c = next(c for c in itertools.count(place - 1) if math.comb(c + 1, place) > system)
            system -= math.comb(c, place)
            chosen.append(free[c])
        elements[row, :arity] = sorted([*chosen, *required])
        amounts[row, :arity] = ratios[ratio]
    return elements, amounts


def unrank_each(
    ranks: np.ndarray, free: np.ndarray, required: np.ndarray, ratios: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """See the package: each by itself."""
    rows = [unrank(rank, rank + 1, free, required, ratios, width) for rank in ranks.tolist()]
    nothing = np.zeros((0, width), np.uint8)
    elements, amounts = zip(*rows, strict=True) if rows else ((nothing,), (nothing,))
    return np.concatenate(elements), np.concatenate(amounts)


def rank(
    elements: np.ndarray, amounts: np.ndarray, free: np.ndarray, required: np.ndarray, ratios: np.ndarray
) -> np.ndarray:
    """See the package."""
    position = {int(label): i for i, label in enumerate(free)}
    number = {tuple(ratio): i for i, ratio in enumerate(ratios.tolist())}
    needed = set(required.tolist())
    result = np.full(len(elements), -1, np.int64)
    for row, (labels, ratio) in enumerate(zip(elements.tolist(), amounts.tolist(), strict=True)):
        chosen = [label for label in labels if label not in needed]
        rising = all(a < b for a, b in itertools.pairwise(labels))
        if not rising or not needed <= set(labels) or any(c not in position for c in chosen):
            continue
        if tuple(ratio) not in number:
            continue
        system = sum(math.comb(position[c], place) for place, c in enumerate(chosen, start=1))
        result[row] = system * len(ratios) + number[tuple(ratio)]
    return result
