"""From fractions to formulas: the composition of the space that is nearest to what a network decodes."""

from collections.abc import Sequence

import numpy as np


def nearest_compositions(
    fractions: np.ndarray, numbers: np.ndarray, arity: Sequence[int] = (1, 2, 3, 4), most_atoms: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The formula nearest to each vector of fractions: the least Euclidean distance of the fractions of atoms.

    Parameters
    ----------
    fractions : (N, E) float, not negative, sum 1
    numbers : (E,) int, atomic numbers of the columns, rising
    arity : numbers of elements that a formula may have, at most as many as there are columns
    most_atoms : of a formula

    Returns
    -------
    elements, amounts : (N, K) uint8, K the most elements: atomic numbers, rising, and atoms of each,
        reduced; 0 in empty places
    distance : (N,) float64; of several that are equally near the one of fewest elements, then atoms

    ValueError for fractions that are not numbers, or more than 255 atoms.
    """
    most_elements = max(arity)
    if not np.isfinite(fractions).all() or not most_elements <= most_atoms <= 255:
        raise ValueError("fractions must be finite, and formulas of as many atoms as elements up to 255")
    if most_elements > fractions.shape[1]:
        raise ValueError(f"of {fractions.shape[1]} elements no formula has {most_elements}")
    order = np.argsort(-fractions, axis=1, kind="stable")[:, :most_elements]  # the nearest holds the largest
    largest = np.take_along_axis(fractions, order, axis=1).astype(np.float64)
    rest = (fractions.astype(np.float64) ** 2).sum(axis=1) - (largest**2).sum(axis=1)
    best, amounts = np.full(len(fractions), np.inf), np.zeros(largest.shape, np.uint8)
    for count in sorted(arity):
        for atoms in range(count, most_atoms + 1):
            found = _shared_out(largest[:, :count], atoms)
            squares = ((found / atoms - largest[:, :count]) ** 2).sum(axis=1) + (largest[:, count:] ** 2).sum(axis=1)
            nearer = squares + 1e-12 < best
            best[nearer] = squares[nearer]
            amounts[nearer] = 0
            amounts[nearer, :count] = found[nearer]
    elements = np.where(amounts > 0, numbers[order], 0)
    rising = np.argsort(np.where(elements > 0, elements, 999), axis=1, kind="stable")
    chosen = np.take_along_axis(amounts, rising, axis=1)
    divisor = np.gcd.reduce(chosen, axis=1, keepdims=True)
    return (
        np.take_along_axis(elements, rising, axis=1).astype(np.uint8),
        chosen // divisor,
        np.sqrt(np.maximum(best + rest, 0)),
    )


def _shared_out(fractions: np.ndarray, atoms: int) -> np.ndarray:
    """(N, K) int64: `atoms` atoms, at least one of each, as near to fractions (N, K) as can be.

    One of each to begin with; each further one goes to where it lowers the sum of (n/atoms − f)² most, which is to the
    largest f − (n + ½)/atoms. That sum is convex and separable, so that no other order ends lower.
    """
    counts = np.ones(fractions.shape, np.int64)
    rows = np.arange(len(fractions))
    for _ in range(atoms - fractions.shape[1]):
        counts[rows, (fractions - (counts + 0.5) / atoms).argmax(axis=1)] += 1
    return counts
