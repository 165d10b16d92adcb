"""Formulas nearest to fractions, against all formulas."""

import numpy as np
import pytest

from matscreen.engine import CompositionSpace, schema
from matscreen.engine.search.snap import nearest_compositions

SPACE = CompositionSpace("Li-O-P-Fe-Mo", arity=(1, 2, 3, 4))


@pytest.fixture(scope="module")
def every() -> np.ndarray:
    """(M, 5) fractions of every composition of the space."""
    _, elements, amounts = schema.composition_arrays(SPACE.chunk(0, len(SPACE)))
    found = np.zeros((len(elements), 5))
    for column, z in enumerate(SPACE.elements):
        found[:, column] = np.where(elements == z, amounts, 0).sum(axis=1)
    return found / found.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_none_is_nearer(every: np.ndarray, rng: np.random.Generator, alpha: float) -> None:
    given = rng.dirichlet(np.full(5, alpha), 400)
    numbers = np.array(SPACE.elements)
    elements, amounts, distance = nearest_compositions(given, numbers)
    least = np.sqrt(((given[:, None] - every) ** 2).sum(axis=2).min(axis=1))
    np.testing.assert_allclose(distance, least, atol=1e-9)
    back = np.zeros(given.shape)
    for column, z in enumerate(numbers):
        back[:, column] = np.where(elements == z, amounts, 0).sum(axis=1)
    back /= back.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(back - given, axis=1), distance, atol=1e-9)


def test_formulas_come_back_as_they_are(every: np.ndarray) -> None:
    numbers = np.array(SPACE.elements)
    elements, amounts, distance = nearest_compositions(every, numbers)
    assert distance.max() < 1e-7
    _, own, atoms = schema.composition_arrays(SPACE.chunk(0, len(SPACE)))
    np.testing.assert_array_equal(elements, own)
    np.testing.assert_array_equal(amounts, atoms)


def test_formulas_are_small(rng: np.random.Generator) -> None:
    numbers = np.arange(1, 87)
    elements, amounts, _ = nearest_compositions(rng.dirichlet(np.full(86, 0.05), 200), numbers, (1, 2, 3), 7)
    assert elements.shape == (200, 3)
    assert amounts.sum(axis=1).max() <= 7
    assert ((elements > 0) == (amounts > 0)).all()
    ordered = np.where(elements > 0, elements, 255)
    assert (np.diff(ordered.astype(int), axis=1) >= 0).all()


def test_what_is_no_composition(rng: np.random.Generator) -> None:
    given = rng.dirichlet(np.ones(3), 4)
    assert nearest_compositions(given, np.array([1, 3, 8]), (1, 2, 3))[0].shape == (4, 3)
    with pytest.raises(ValueError, match="must be finite"):
        nearest_compositions(given * np.nan, np.array([1, 3, 8]), (1, 2))
    with pytest.raises(ValueError, match="up to 255"):
        nearest_compositions(given, np.array([1, 3, 8]), (2,), most_atoms=300)
