"""The definition: every distance, from vectors with a place for every label."""

import numpy as np

TIE = 1e-12
"""Squared distances this close count as equal."""


def nearest_phase(elements: np.ndarray, fractions: np.ndarray, phases) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """See the package."""
    labels = len(phases.first) - 1
    known = np.zeros((len(phases.square), labels))
    label = np.repeat(np.arange(labels), np.diff(phases.first))
    known[phases.phase, label] = phases.fraction
    rows, distances = np.empty(len(elements), np.int64), np.empty(len(elements))
    for i, x in enumerate(_vectors(elements, fractions, labels)):
        squares = ((known - x) ** 2).sum(axis=1)
        rows[i] = np.flatnonzero(squares <= squares.min() + TIE)[0]
        distances[i] = np.sqrt(squares[rows[i]])
    return rows, distances


def diverse(elements: np.ndarray, fractions: np.ndarray, alike: float) -> np.ndarray:
    """See the package."""
    vectors = _vectors(elements, fractions, 256)
    keep = np.zeros(len(vectors), bool)
    for i, x in enumerate(vectors):
        keep[i] = (((vectors[:i][keep[:i]] - x) ** 2).sum(axis=1) > alike * alike + TIE).all()
    return keep


def _vectors(elements: np.ndarray, fractions: np.ndarray, labels: int) -> np.ndarray:
    vectors = np.zeros((len(elements), labels))
    row, place = np.nonzero(elements)
    vectors[row, elements[row, place]] = fractions[row, place]
    return vectors
