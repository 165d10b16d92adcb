"""Distances of compositions against the definitions and against scikit-learn's neighbours."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from matscreen.engine import CompositionSpace, PhaseTable, schema
from matscreen.kernels.composition_distance import diverse, nearest_phase, postings


def drawn(rng: np.random.Generator, count: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    elements, amounts = np.zeros((count, 4), np.uint8), np.zeros((count, 4), np.uint8)
    for row in range(count):
        k = int(rng.integers(1, 5))
        elements[row, :k] = np.sort(rng.choice(np.arange(1, labels), k, replace=False))
        amounts[row, :k] = rng.integers(1, 6, k)
    return elements, amounts


@pytest.mark.parametrize("labels", [6, 40, 250])
def test_against_the_definition(rng: np.random.Generator, labels: int) -> None:
    known, atoms = drawn(rng, 60, labels)
    index = postings(known, atoms / atoms.sum(axis=1, keepdims=True))
    elements, amounts = drawn(rng, 400, labels)  # with 250 labels many share no element with any phase
    rows, distances = nearest_phase(elements, amounts, index)
    expected = nearest_phase(elements, amounts, index, backend="reference")
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_allclose(distances, expected[1], atol=1e-9)


def test_a_known_phase_is_nearest_to_itself(rng: np.random.Generator) -> None:
    known, atoms = drawn(rng, 500, 30)
    index = postings(known, atoms / atoms.sum(axis=1, keepdims=True))
    rows, distances = nearest_phase(known, 3 * atoms.astype(int), index)
    assert (distances < 1e-9).all()
    assert (rows <= np.arange(500)).all()  # or to an equal one further up


def test_one_that_shares_no_element() -> None:
    index = postings(np.array([[1, 2], [3, 0]], np.uint8), np.array([[0.5, 0.5], [1.0, 0.0]]))
    rows, distances = nearest_phase(np.array([[7]], np.uint8), np.array([[2]]), index)
    assert rows.tolist() == [0]
    assert distances[0] == pytest.approx(np.sqrt(1.5))


def test_against_scikit_learn(phases: PhaseTable, rng: np.random.Generator) -> None:
    space = CompositionSpace("all")
    elements, amounts = schema.composition_arrays(space.take(rng.integers(0, len(space), 300)))[1:]
    _, ours = nearest_phase(elements, amounts, phases.postings)

    def dense(own: np.ndarray, fractions: np.ndarray) -> np.ndarray:
        full = np.zeros((len(own), 128))
        np.put_along_axis(full, own.astype(int), fractions, axis=1)
        full[:, 0] = 0
        return full

    rows = [row for row in phases.table.to_pylist() if len(row["elements"]) > 1]
    width = max(len(row["elements"]) for row in rows)
    labels = np.array([row["elements"] + [0] * (width - len(row["elements"])) for row in rows])
    known = np.array([row["fractions"] + [0.0] * (width - len(row["fractions"])) for row in rows])
    tree = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(dense(labels, known))
    theirs = tree.kneighbors(dense(elements, amounts / amounts.sum(axis=1, keepdims=True)))[0][:, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("labels", [4, 12, 60])
def test_diverse_against_the_definition(rng: np.random.Generator, labels: int) -> None:
    elements, amounts = drawn(rng, 800, labels + 1)
    kept = diverse(elements, amounts, 0.1)
    np.testing.assert_array_equal(kept, diverse(elements, amounts, 0.1, backend="reference"))
    assert 0 < kept.sum() < 800
    assert kept[0]


@pytest.mark.parametrize("alike", [0.0, 0.02, 0.1, 0.2, 0.9])
def test_diverse_where_alike_ones_lack_an_element(rng: np.random.Generator, alike: float) -> None:
    """Traces of elements come and go, so that what is alike need not hold the same elements; some just are, or not."""
    amounts = np.zeros((1500, 5))
    for row in range(0, len(amounts), 3):
        k = int(rng.integers(1, 5))
        some = rng.permutation(5)
        x = np.zeros(5)
        x[some[:k]] = rng.dirichlet(np.full(k, rng.choice([0.3, 3.0])))
        trace = np.eye(5)[some[k]]
        mixed = alike / np.linalg.norm(trace - x) * (1 + rng.choice([-1e-3, -1e-7, 0, 1e-7, 1e-3]))
        amounts[row : row + 3] = x, (1 - mixed) * x + mixed * trace, rng.dirichlet(np.full(5, 0.2))
    amounts[amounts < 1e-9] = 0
    order = np.argsort(amounts == 0, axis=1, kind="stable")
    amounts = np.take_along_axis(amounts, order, axis=1)
    elements = np.where(amounts > 0, order + 7, 0).astype(np.uint8)
    for shuffled in (np.arange(1500), rng.permutation(1500)):
        kept = diverse(elements[shuffled], amounts[shuffled], alike)
        expected = diverse(elements[shuffled], amounts[shuffled], alike, backend="reference")
        np.testing.assert_array_equal(kept, expected)
        assert 0 < kept.sum() < 1500


def test_diverse_among_many_elements(rng: np.random.Generator) -> None:
    elements = np.tile(np.arange(1, 41, dtype=np.uint8), (60, 1))
    amounts = rng.dirichlet(np.full(40, 5.0), 60)
    kept = diverse(elements, amounts, 0.09)
    np.testing.assert_array_equal(kept, diverse(elements, amounts, 0.09, backend="reference"))
    assert 0 < kept.sum() < 60


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="alike"):
        diverse(np.array([[1, 2]], np.uint8), np.array([[1, 2]]), -0.1)
    for labels in ([2, 1], [1, 1], [0, 1]):
        with pytest.raises(ValueError, match="must rise"):
            diverse(np.array([labels], np.uint8), np.array([[1, 2]]), 0.1)
    with pytest.raises(ValueError, match="at least 1"):
        postings(np.zeros((0, 2), np.uint8), np.zeros((0, 2)))
    index = postings(np.array([[1]], np.uint8), np.array([[1.0]]))
    with pytest.raises(ValueError, match="uint8"):
        nearest_phase(np.array([[1]]), np.array([[1]]), index)
