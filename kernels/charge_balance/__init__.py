"""Which compositions can be charge-neutral, each element in one oxidation state, and in which states.

Σ nᵢ qᵢ = 0 for some choice of one state qᵢ per element, and no cation more electronegative than an anion: the two tests
of SMACT (Davies et al., Chem 1, 617 (2016)).
"""

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.charge_balance import cpu, reference

__all__ = ["charge_neutral", "oxidation_states"]


def charge_neutral(
    elements: np.ndarray, amounts: np.ndarray, first: np.ndarray, states: np.ndarray, backend: Backend = "auto"
) -> np.ndarray:
    """Whether a choice of oxidation states, one per element, makes each composition neutral.

    Parameters
    ----------
    elements : (N, K) uint8, labels, 0 in empty places
    amounts : (N, K) integer, atoms of each
    first : (L + 1,) int64: the states of label z are states[first[z] : first[z + 1]]
    states : (S,) int8, oxidation states

    Returns
    -------
    (N,) bool; False where an element has no state at all
    """
    _check(elements, amounts, first)
    run = cpu.charge_neutral if resolve(backend, "charge_balance") == "cpu" else reference.charge_neutral
    return run(elements, amounts, first, states)


def oxidation_states(
    elements: np.ndarray,
    amounts: np.ndarray,
    first: np.ndarray,
    states: np.ndarray,
    weights: np.ndarray,
    electronegativities: np.ndarray,
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most usual choice of oxidation states, one per element, that makes each composition neutral.

    Of the neutral choices one whose electronegativities are in order is taken before any other, then the one with the
    largest Σ nᵢ wᵢ, then the first in the order of the states.

    Parameters
    ----------
    elements, amounts, first, states : as in `charge_neutral`
    weights : (S,) float64, how usual each state is
    electronegativities : (L,) float64 of each label, NaN where it has none

    Returns
    -------
    chosen : (N, K) int8, the state of each element; 0 in empty places and where no choice is neutral
    neutral : (N,) bool, whether any is
    ordered : (N,) bool, whether in one of them every anion is more electronegative than every cation; False for a
        composition with an element that has no electronegativity, or where all states are 0
    """
    _check(elements, amounts, first)
    if weights.shape != states.shape or len(electronegativities) < len(first) - 1:
        raise ValueError("every state needs a weight, and every label an electronegativity or NaN")
    run = cpu.oxidation_states if resolve(backend, "charge_balance") == "cpu" else reference.oxidation_states
    return run(elements, amounts, first, states, weights, electronegativities)


def _check(elements: np.ndarray, amounts: np.ndarray, first: np.ndarray) -> None:
    if elements.ndim != 2 or elements.shape != amounts.shape:
        raise ValueError(f"elements and amounts must both be (N, K), not {elements.shape} and {amounts.shape}")
    if elements.size and elements.max() >= len(first) - 1:
        raise ValueError(f"label {elements.max()} has no row in a table of {len(first) - 1} labels")
