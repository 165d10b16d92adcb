"""Rank and unrank compositions: the arithmetic that makes a composition space an array.

A block holds all compositions of one arity k over sorted element labels. Its order, which is for ever: chemical systems
by the combinatorial number system (colexicographic: the highest label changes last), and within a system all ratios of
`ratio_table` in lexicographic order. So rank = system rank × number of ratios + ratio rank.
"""

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.enumeration import cpu, reference
from matscreen.kernels.enumeration.reference import block_size, ratio_table

__all__ = ["block_size", "rank", "ratio_table", "unrank", "unrank_each"]


def unrank(
    start: int,
    stop: int,
    free: np.ndarray,
    required: np.ndarray,
    ratios: np.ndarray,
    width: int,
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Compositions number `start` to `stop` (exclusive) of a block.

    Parameters
    ----------
    start, stop : 0 <= start <= stop <= block_size(...)
    free : (n,) uint8, rising labels that a composition may hold
    required : (q,) uint8, rising labels that every composition holds; none of them in `free`
    ratios : (R, k) uint8, from `ratio_table(k, ...)`; a composition holds `required` and k − q of `free`
    width : columns of the result, at least k

    Returns
    -------
    elements : (stop − start, width) uint8, labels by rising value, 0 in empty places
    amounts : (stop − start, width) uint8, atoms per formula unit, 0 in empty places

    Raises
    ------
    IndexError
        If the range does not lie in the block.
    """
    size = block_size(len(free), len(required), ratios.shape[1], len(ratios))
    if not 0 <= start <= stop <= size:
        raise IndexError(f"compositions {start} to {stop} do not lie in a block of {size}")
    if width < ratios.shape[1]:
        raise ValueError(f"width {width} is less than the arity {ratios.shape[1]}")
    run = cpu.unrank if resolve(backend, "enumeration") == "cpu" else reference.unrank
    return run(start, stop, free, required, ratios, width)


def unrank_each(
    ranks: np.ndarray,
    free: np.ndarray,
    required: np.ndarray,
    ratios: np.ndarray,
    width: int,
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Compositions of a block by number, in the order given; a range is better left to `unrank`.

    Parameters
    ----------
    ranks : (N,) int64, from 0 to block_size(...) − 1
    free, required, ratios, width : as in `unrank`

    Returns
    -------
    elements, amounts : (N, width) uint8, as from `unrank`

    Raises
    ------
    IndexError
        If a number does not lie in the block.
    """
    size = block_size(len(free), len(required), ratios.shape[1], len(ratios))
    if len(ranks) and not 0 <= int(ranks.min()) <= int(ranks.max()) < size:
        raise IndexError(f"compositions {ranks.min()} to {ranks.max()} do not lie in a block of {size}")
    if width < ratios.shape[1]:
        raise ValueError(f"width {width} is less than the arity {ratios.shape[1]}")
    run = cpu.unrank_each if resolve(backend, "enumeration") == "cpu" else reference.unrank_each
    return run(ranks, free, required, ratios, width)


def rank(
    elements: np.ndarray,
    amounts: np.ndarray,
    free: np.ndarray,
    required: np.ndarray,
    ratios: np.ndarray,
    backend: Backend = "auto",
) -> np.ndarray:
    """Rank of each composition in its block: the inverse of `unrank`.

    Parameters
    ----------
    elements : (N, k) uint8, labels by rising value
    amounts : (N, k) uint8, reduced (greatest common divisor 1)
    free, required, ratios : as in `unrank`

    Returns
    -------
    (N,) int64, −1 where a composition does not belong to the block
    """
    if elements.shape != amounts.shape or elements.shape[1:] != ratios.shape[1:]:
        raise ValueError(f"elements {elements.shape} and amounts {amounts.shape} must both be (N, {ratios.shape[1]})")
    run = cpu.rank if resolve(backend, "enumeration") == "cpu" else reference.rank
    return run(elements, amounts, free, required, ratios)
