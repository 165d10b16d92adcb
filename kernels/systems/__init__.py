"""What the compositions of a chemical system share, found once for all of them.

A chunk of composition space is a run of whole systems, hundreds of ratios each; what depends on the elements alone
should not be done for every ratio.
"""

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.systems import cpu, reference

__all__ = ["MOST_ATOMS_EACH", "MOST_ELEMENTS", "by_system", "least"]

MOST_ELEMENTS, MOST_ATOMS_EACH = 4, 15
"""Of a ratio that `by_system` can tell: their amounts are four digits of four bits."""


def by_system(
    elements: np.ndarray, amounts: np.ndarray, ratios: np.ndarray, order: np.ndarray, backend: Backend = "auto"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compositions as chemical systems, and a ratio in one of them.

    Parameters
    ----------
    elements : (N, K) uint8, labels, each once, 0 in empty places
    amounts : (N, K) uint8, atoms of each, 0 in empty places
    ratios : (R, 4) uint8, each once: amounts up to 15, those of no element 0 and last
    order : (256,) integer, by which elements of a system are put in order; no two of a system alike

    Returns
    -------
    systems : (S, K) uint8, the elements of each by rising `order`, 0 last. Neighbours with the same elements are of one
        system; one that comes again later is counted again
    system : (N,) int64, rising: which of them each composition is of
    ratio : (N,) int64: the row of its amounts, in that order, in `ratios`; −1 if they are none of these, or if amounts
        are not where the elements are

    Raises
    ------
    ValueError
        Shapes that do not fit, or ratios of more elements or atoms.
    """
    _check(elements)
    if elements.shape != amounts.shape or amounts.dtype != np.uint8:
        told = f"elements {elements.shape} and amounts {amounts.shape} {amounts.dtype}"
        raise ValueError(f"{told} must both be (N, K) uint8")
    if ratios.ndim != 2 or ratios.shape[1] != MOST_ELEMENTS or ratios.max(initial=0) > MOST_ATOMS_EACH:
        raise ValueError(f"ratios must be (R, {MOST_ELEMENTS}) amounts up to {MOST_ATOMS_EACH}, not {ratios.shape}")
    if order.shape != (256,):
        raise ValueError(f"order must be (256,), not {order.shape}")
    run = cpu.by_system if resolve(backend, "systems") == "cpu" else reference.by_system
    return run(elements, amounts, ratios, order)


def least(elements: np.ndarray, values: np.ndarray, backend: Backend = "auto") -> np.ndarray:
    """The least of a value of the elements of each composition, among compositions of so many elements.

    elements (N, K) uint8, labels, 0 in empty places; values (K + 1 or more, 256) float64, by number of elements and
    label → (N,) float64, infinite without elements
    """
    _check(elements)
    if values.ndim != 2 or len(values) <= elements.shape[1] or values.shape[1] != 256:
        raise ValueError(f"values must be ({elements.shape[1] + 1} or more, 256), not {values.shape}")
    run = cpu.least if resolve(backend, "systems") == "cpu" else reference.least
    return run(elements, values)


def _check(elements: np.ndarray) -> None:
    if elements.ndim != 2 or elements.dtype != np.uint8:
        raise ValueError(f"elements must be (N, K) uint8, not {elements.shape} {elements.dtype}")
