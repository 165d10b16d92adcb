"""Dictionary matches against all dot products in float64, and against kikuchipy's and scikit-learn's."""

import numpy as np
import pytest

from matscreen.kernels.backend import Backend
from matscreen.kernels.pattern_matching import best_matches, cpu, nothing_yet, reference, unit_patterns

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "gpu"])


def patterns(n: int, rng: np.random.Generator) -> np.ndarray:
    return unit_patterns(rng.integers(0, 255, (n, 12, 10)).astype(np.uint8))


def same(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray], a: np.ndarray, b: np.ndarray):
    """Equal scores to rounding; each row has the score that it is given."""
    np.testing.assert_allclose(found[0], expected[0], atol=3e-6)
    for n, k in np.argwhere(found[1] >= 0):
        assert abs(a[n] @ b[found[1][n, k]] - found[0][n, k]) < 3e-6
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in found[1])


@BACKENDS
@pytest.mark.parametrize("count", [1, 5, 60])
def test_as_defined(backend: Backend, count: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "PATTERNS", 7)
    monkeypatch.setattr(cpu, "ENTRIES", 11)
    a, b = patterns(20, rng), patterns(50, rng)
    expected = best_matches(a, b, count, backend="reference")
    found = best_matches(a, b, count, backend=backend)
    same(found, expected, a, b)
    np.testing.assert_array_equal(found[1] < 0, np.arange(count)[None].repeat(20, 0) >= 50)
    if backend == "cpu":
        np.testing.assert_array_equal(found[1], expected[1])


@BACKENDS
def test_in_parts_as_at_once(backend: Backend, rng: np.random.Generator) -> None:
    a, b = patterns(9, rng), patterns(40, rng)
    so_far = nothing_yet(9, 4)
    for first, last in ((0, 3), (3, 3), (3, 29), (29, 40)):
        so_far = best_matches(a, b[first:last], 4, so_far, first, backend=backend)
    whole = best_matches(a, b, 4, backend=backend)
    same(so_far, whole, a, b)
    np.testing.assert_array_equal(so_far[1], whole[1])


def test_equal_scores_go_to_the_earlier(rng: np.random.Generator) -> None:
    a = patterns(3, rng)
    b = np.concatenate([a, a, a])
    np.testing.assert_array_equal(best_matches(a, b, 3)[1], np.arange(3)[:, None] + [0, 3, 6])


def test_bfloat16_finds_the_same_among_a_few(rng: np.random.Generator) -> None:
    b = patterns(300, rng)
    a = unit_patterns(b[:50] + 0.5 * patterns(50, rng))
    found = best_matches(a, b, 4, precision="bfloat16", backend="gpu")
    assert (found[1] == best_matches(a, b, 1)[1]).any(axis=1).all()
    np.testing.assert_allclose(found[0][:, :1], best_matches(a, b, 1)[0], atol=1e-2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float64])
def test_unit_patterns(dtype: type, rng: np.random.Generator) -> None:
    given = rng.integers(0, 200, (6, 9, 8)).astype(dtype)
    given[2] = 17
    found = unit_patterns(given)
    np.testing.assert_allclose(found, reference.unit(given.reshape(6, -1).astype(np.float64)), atol=1e-6)
    assert not found[2].any()
    np.testing.assert_allclose(unit_patterns(given.astype(np.float64) * 3 + 5), found, atol=1e-6)


def test_equals_kikuchipy(rng: np.random.Generator) -> None:
    kp = pytest.importorskip("kikuchipy")
    da = pytest.importorskip("dask.array")
    a, b = (rng.integers(0, 255, (n, 144)).astype(np.float32) for n in (30, 200))
    metric = kp.indexing.NormalizedCrossCorrelationMetric(len(a), len(b))
    theirs = metric.match(metric.prepare_experimental(a.copy()), metric.prepare_dictionary(b.copy()))
    scores = np.asarray(da.asarray(theirs).compute())
    found = best_matches(unit_patterns(a), unit_patterns(b), 5)
    np.testing.assert_array_equal(found[1], np.argsort(-scores, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(found[0], -np.sort(-scores, axis=1)[:, :5], atol=1e-5)


@BACKENDS
def test_what_cannot_be_is_refused(backend: Backend, rng: np.random.Generator) -> None:
    a, b = patterns(3, rng), patterns(4, rng)
    wrong = b.copy()
    wrong[1, 2] = np.nan
    for given, told in (
        ((a, b[:, :5]), "dictionary must be"),
        ((a, b, 0), "at least 1"),
        ((a, b, 2, nothing_yet(3, 1)), "so_far"),
        ((a, wrong), "finite"),
    ):
        with pytest.raises(ValueError, match=told):
            best_matches(*given, backend=backend)
