"""How far apart compositions are: ‖x − y‖ of their vectors of fractions of atoms.

Jha 2020, 3.3.9, looks so for known compounds that match a prediction, to within 0.01 and 0.1.
"""

from typing import NamedTuple

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.composition_distance import cpu, reference

__all__ = ["Postings", "diverse", "nearest_phase", "postings"]


class Postings(NamedTuple):
    """Phases by the elements that they hold.

    Attributes
    ----------
    first : (L + 1,) int64: the entries of label z are first[z] to first[z + 1]
    phase : (M,) int64, rising within a label: rows of the phases
    fraction : (M,) float64: fraction of atoms that the label takes there
    square : (P,) float64: Σ f² of each phase
    """

    first: np.ndarray
    phase: np.ndarray
    fraction: np.ndarray
    square: np.ndarray


def postings(elements: np.ndarray, fractions: np.ndarray) -> Postings:
    """Index phases: elements (P, K) uint8 labels, 0 in empty places; fractions (P, K) float, 0 there. P at least 1."""
    if not len(elements) or elements.shape != fractions.shape:
        raise ValueError(f"elements and fractions must both be (P, K), P at least 1, not {elements.shape}")
    row, place = np.nonzero(elements)
    label = elements[row, place]
    order = np.argsort(label, kind="stable")
    first = np.searchsorted(label[order], np.arange(257)).astype(np.int64)
    fraction = fractions[row, place].astype(np.float64)[order]
    return Postings(first, row[order].astype(np.int64), fraction, (fractions.astype(np.float64) ** 2).sum(axis=1))


def nearest_phase(
    elements: np.ndarray, amounts: np.ndarray, phases: Postings, backend: Backend = "auto"
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest phase of each composition.

    Parameters
    ----------
    elements : (N, K) uint8, labels, 0 in empty places
    amounts : (N, K), atoms of each; 0 in empty places. Any numeric dtype
    phases : from `postings`

    Returns
    -------
    row : (N,) int64, of the phase; the lowest of those equally near to 1e-12
    distance : (N,) float64, Euclidean distance of the vectors of fractions, 0 to √2
    """
    run = cpu if resolve(backend, "composition_distance") == "cpu" else reference
    return run.nearest_phase(elements, _fractions(elements, amounts), phases)  # type: ignore[no-any-return]


def diverse(elements: np.ndarray, amounts: np.ndarray, alike: float, backend: Backend = "auto") -> np.ndarray:
    """Which of a ranked list of compositions to keep so that no two are alike: each far from all kept before it.

    Parameters
    ----------
    elements, amounts : as in `nearest_phase`, the best first; labels by rising value, then 0 in empty places
    alike : up to this distance two are alike

    Returns
    -------
    (N,) bool
    """
    fractions = _fractions(elements, amounts)
    after, before = elements[:, 1:], elements[:, :-1]
    if not ((after == 0) | ((after > before) & (before > 0))).all():
        raise ValueError("the labels of a composition must rise, and empty places come last")
    if not 0 <= alike < np.inf:
        raise ValueError(f"alike must be a distance, not {alike}")
    run = cpu if resolve(backend, "composition_distance") == "cpu" else reference
    return run.diverse(elements, fractions, alike)  # type: ignore[no-any-return]


def _fractions(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    if elements.ndim != 2 or elements.shape != amounts.shape or elements.dtype != np.uint8:
        raise ValueError(f"elements (uint8) and amounts must both be (N, K), not {elements.shape}, {amounts.shape}")
    total = amounts.sum(axis=1, keepdims=True, dtype=np.float64)
    fractions: np.ndarray = amounts / np.where(total > 0, total, 1)
    return fractions
