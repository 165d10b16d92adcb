"""Rank and unrank: the published counts, the order that never changes, and each the inverse of the other."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscreen.kernels.enumeration import block_size, rank, ratio_table, unrank, unrank_each

NONE = np.zeros(0, np.uint8)


@pytest.mark.parametrize(("arity", "count"), [(2, 113_305), (3, 11_155_060), (4, 435_328_775)])
def test_counts_of_the_86_elements(arity: int, count: int) -> None:
    assert block_size(86, 0, arity, len(ratio_table(arity, 10))) == count


@pytest.mark.parametrize(("arity", "atoms"), [(1, 1), (1, 9), (2, 10), (3, 12), (4, 10), (5, 9), (6, 6)])
def test_ratios_are_all_the_reduced_ones_in_order(arity: int, atoms: int) -> None:
    brute = [r for r in itertools.product(range(1, atoms + 1), repeat=arity) if sum(r) <= atoms and math.gcd(*r) == 1]
    assert ratio_table(arity, atoms).tolist() == [list(r) for r in brute]


@st.composite
def blocks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    labels = draw(st.lists(st.integers(1, 118), min_size=1, max_size=40, unique=True))
    n_required = draw(st.integers(0, min(3, len(labels))))
    arity = draw(st.integers(max(1, n_required), min(6, len(labels))))
    ratios = ratio_table(arity, draw(st.integers(arity, arity + 5)))
    required, free = sorted(labels[:n_required]), sorted(labels[n_required:])
    width = draw(st.integers(arity, arity + 3))
    return np.array(free, np.uint8), np.array(required, np.uint8), ratios, width


@given(blocks(), st.data())
def test_rank_inverts_unrank_and_both_backends_agree(
    block: tuple[np.ndarray, np.ndarray, np.ndarray, int], data: st.DataObject
) -> None:
    free, required, ratios, width = block
    arity = ratios.shape[1]
    size = block_size(len(free), len(required), arity, len(ratios))
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, min(size, start + 500)))
    fast = unrank(start, stop, free, required, ratios, width)
    slow = unrank(start, stop, free, required, ratios, width, backend="reference")
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(a, b)
    rows = fast[0][:, :arity], fast[1][:, :arity]
    for backend in ("cpu", "reference"):
        ranks = rank(*rows, free, required, ratios, backend=backend)
        np.testing.assert_array_equal(ranks, np.arange(start, stop))


def test_every_id_of_a_whole_block_once() -> None:
    free, ratios = np.arange(1, 13, dtype=np.uint8), ratio_table(3, 10)
    elements, amounts = unrank(0, block_size(12, 0, 3, len(ratios)), free, NONE, ratios, 3)
    rows = {(*e, *a) for e, a in zip(elements.tolist(), amounts.tolist(), strict=True)}
    assert len(rows) == len(elements) == math.comb(12, 3) * 109


def test_ends_of_the_full_quaternary_block() -> None:
    free, ratios = np.arange(1, 87, dtype=np.uint8), ratio_table(4, 10)
    size = block_size(86, 0, 4, len(ratios))
    for start in (0, 204, 205, size // 2, size - 300):
        fast = unrank(start, start + 300, free, NONE, ratios, 4)
        slow = unrank(start, start + 300, free, NONE, ratios, 4, backend="reference")
        np.testing.assert_array_equal(fast[0], slow[0])
        np.testing.assert_array_equal(fast[1], slow[1])
        np.testing.assert_array_equal(rank(*fast, free, NONE, ratios), np.arange(start, start + 300))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_what_is_not_in_the_block_has_no_rank(backend: str) -> None:
    free, required, ratios = np.array([3, 8, 15], np.uint8), np.array([26], np.uint8), ratio_table(2, 10)
    elements = np.array([[8, 26], [8, 15], [26, 8], [8, 8], [9, 26], [8, 26], [8, 26]], np.uint8)
    amounts = np.array([[1, 2], [1, 1], [1, 1], [1, 1], [1, 1], [2, 4], [9, 9]], np.uint8)
    ranks = rank(elements, amounts, free, required, ratios, backend=backend)  # type: ignore[arg-type]
    assert ranks[0] >= 0
    assert (ranks[1:] == -1).all()


def test_a_block_without_compositions() -> None:
    """More elements that must be there than a composition has room for."""
    required = np.array([1, 2, 3], np.uint8)
    for backend in ("cpu", "reference"):
        elements, amounts = unrank(0, 0, np.array([4], np.uint8), required, ratio_table(2, 4), 2, backend=backend)  # type: ignore[arg-type]
        assert elements.shape == amounts.shape == (0, 2)


def test_errors() -> None:
    ratios = ratio_table(2, 4)
    free = np.array([1, 2, 3], np.uint8)
    with pytest.raises(IndexError, match="do not lie in a block of 15"):
        unrank(0, 16, free, NONE, ratios, 2)
    with pytest.raises(ValueError, match="width"):
        unrank(0, 1, free, NONE, ratios, 1)
    with pytest.raises(ValueError, match="no ratios"):
        ratio_table(4, 3)
    with pytest.raises(ValueError, match="no GPU version"):
        unrank(0, 1, free, NONE, ratios, 2, backend="gpu")
    with pytest.raises(ValueError, match="unknown backend"):
        unrank(0, 1, free, NONE, ratios, 2, backend="fpga")  # type: ignore[arg-type]


def test_unrank_each_against_the_definition(rng: np.random.Generator) -> None:
    free, required, ratios = np.array([3, 8, 11, 26, 40], np.uint8), np.array([15], np.uint8), ratio_table(3, 9)
    size = block_size(5, 1, 3, len(ratios))
    ranks = rng.permutation(size)[:300]
    ours = unrank_each(ranks, free, required, ratios, 4)
    for found, expected in zip(ours, unrank_each(ranks, free, required, ratios, 4, backend="reference"), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert unrank_each(ranks[:0], free, required, ratios, 4, backend="reference")[0].shape == (0, 4)
    with pytest.raises(IndexError, match="do not lie in a block"):
        unrank_each(np.array([size]), free, required, ratios, 4)
    with pytest.raises(ValueError, match="less than the arity"):
        unrank_each(ranks, free, required, ratios, 2)
