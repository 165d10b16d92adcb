"""Which compositions can be charge-neutral, each element in one oxidation state.

Σ nᵢ qᵢ = 0 for some choice of one state qᵢ per element: the test of SMACT (Davies et al., Chem 1, 617 (2016)).
"""

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.charge_balance import cpu, reference

__all__ = ["charge_neutral"]


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
    if elements.ndim != 2 or elements.shape != amounts.shape:
        raise ValueError(f"elements and amounts must both be (N, K), not {elements.shape} and {amounts.shape}")
    if elements.size and elements.max() >= len(first) - 1:
        raise ValueError(f"label {elements.max()} has no row in a table of {len(first) - 1} labels")
    run = cpu.charge_neutral if resolve(backend, "charge_balance") == "cpu" else reference.charge_neutral
    return run(elements, amounts, first, states)
