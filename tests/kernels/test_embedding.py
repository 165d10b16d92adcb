"""The embedding of a composition in float32 against its definition and against PyTorch.

Tolerance: sums of at most nine products of order 1 in float32; products of two of them lose some 1e-6.
"""

import numpy as np
import pytest
import torch

from matscreen.kernels.embedding import Tables, checked, embed
from matscreen.models.architecture import Embedding


def tables(rng: np.random.Generator, elements: int = 86, widths: tuple[int, ...] = (48, 32, 16, 8)) -> Tables:
    pairs, linear, root, presence = widths
    return checked(
        Tables(
            *(rng.normal(size=(elements, w)) for w in (pairs, pairs, linear)),
            rng.normal(size=linear),
            *(rng.normal(size=(elements, w)) for w in (root, presence)),
        )
    )


def compositions(n: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    places = np.argsort(rng.random((n, 86)), axis=1)[:, :width]
    fractions = rng.dirichlet(np.ones(width), n)
    if width > 1:
        fractions[::3, -1] = 0
        places[::3, -1] = 0
    return places, (fractions / fractions.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "width"), [(0, 4), (1, 1), (300, 2), (1000, 4), (200, 9)])
def test_against_the_definition(n: int, width: int, rng: np.random.Generator) -> None:
    learned, given = tables(rng), compositions(n, width, rng)
    ours = embed(*given, learned)
    assert ours.dtype == np.float32
    assert ours.shape == (n, learned.width) == (n, 48 + 32 + 16 + 8)
    np.testing.assert_allclose(ours, embed(*given, learned, backend="reference"), atol=1e-5)


def test_against_torch(rng: np.random.Generator) -> None:
    module = Embedding(86, 40, torch.Generator().manual_seed(1))
    torch.nn.init.normal_(module.bias)
    places, fractions = compositions(500, 4, rng)
    dense = np.zeros((500, 86 + 3), np.float32)
    np.add.at(dense, (np.arange(500)[:, None], places), fractions)
    dense[:, 86:] = rng.normal(size=(500, 3))
    with torch.no_grad():
        expected = module(torch.from_numpy(dense)).numpy()
    np.testing.assert_allclose(embed(places, fractions, checked(module.tables())), expected[:, :-3], atol=1e-5)
    np.testing.assert_array_equal(expected[:, -3:], dense[:, 86:])


def test_a_composition_has_the_same_bits_wherever_it_stands(rng: np.random.Generator) -> None:
    learned, (places, fractions) = tables(rng), compositions(700, 4, rng)
    whole = embed(places, fractions, learned)
    order = rng.permutation(700)
    np.testing.assert_array_equal(embed(places[order], fractions[order], learned), whole[order])
    wider = np.zeros((700, 2), int), np.zeros((700, 2), np.float32)
    padded = [np.concatenate(pair, axis=1) for pair in zip((places, fractions), wider, strict=True)]
    np.testing.assert_array_equal(embed(*padded, learned), whole)


def test_errors(rng: np.random.Generator) -> None:
    learned = tables(rng)
    with pytest.raises(ValueError, match="0 … 85"):
        embed(np.array([[86]]), np.array([[1.0]]), learned)
    with pytest.raises(ValueError, match=r"must both be \(N, K\)"):
        embed(np.array([1]), np.array([1.0]), learned)
    with pytest.raises(ValueError, match="do not fit each other"):
        checked(learned._replace(right=learned.right[:, :3]))
    with pytest.raises(ValueError, match="root must have 86 rows"):
        checked(learned._replace(root=learned.root[:4]))
    with pytest.raises(ValueError, match="linear has a number that is not finite"):
        checked(learned._replace(linear=learned.linear * np.nan))


@pytest.mark.parametrize(
    ("n", "width", "widths"), [(1, 1, (48, 32, 16, 8)), (37, 4, (48, 32, 16, 8)), (17, 9, (130, 200, 1, 0))]
)
def test_triton_finds_the_same(n: int, width: int, widths: tuple[int, ...], rng: np.random.Generator) -> None:
    learned, given = tables(rng, widths=widths), compositions(n, width, rng)
    found = embed(*given, learned, backend="gpu")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, embed(*given, learned), rtol=1e-5, atol=1e-5)
    assert embed(given[0][:0], given[1][:0], learned, backend="gpu").shape == (0, learned.width)
