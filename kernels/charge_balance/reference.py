"""The definition: try every choice."""

import itertools
import math

import numpy as np


def charge_neutral(elements: np.ndarray, amounts: np.ndarray, first: np.ndarray, states: np.ndarray) -> np.ndarray:
    """See the package."""
    result = np.zeros(len(elements), bool)
    for row, (labels, atoms) in enumerate(zip(elements, amounts, strict=True)):
        present = labels > 0
        choices = [states[first[z] : first[z + 1]].tolist() for z in labels[present]]
        numbers = atoms[present].tolist()
        result[row] = any(
            sum(n * q for n, q in zip(numbers, choice, strict=True)) == 0 for choice in itertools.product(*choices)
        )
    return result


def oxidation_states(
    elements: np.ndarray,
    amounts: np.ndarray,
    first: np.ndarray,
    states: np.ndarray,
    weights: np.ndarray,
    electronegativities: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the package."""
    chosen = np.zeros(elements.shape, np.int8)
    neutral, ordered = np.zeros(len(elements), bool), np.zeros(len(elements), bool)
    for row, (labels, atoms) in enumerate(zip(elements, amounts, strict=True)):
        present = np.flatnonzero(labels)
        numbers = atoms[present].tolist()
        best = (False, -math.inf)
        # The last element's state changes slowest, so that ties fall as in the odometer of the fast path.
        choices = [range(first[z], first[z + 1]) for z in labels[present]][::-1]
        for backwards in itertools.product(*choices):
            choice = backwards[::-1]
            own = [int(states[s]) for s in choice]
            if sum(n * q for n, q in zip(numbers, own, strict=True)):
                continue
            chi = electronegativities[labels[present]].tolist()
            cations = [x for x, q in zip(chi, own, strict=True) if q > 0]
            anions = [x for x, q in zip(chi, own, strict=True) if q < 0]
            fits = bool(cations and anions) and not np.isnan(chi).any() and max(cations) < min(anions)
            usual = 0.0
            for n, s in zip(numbers, choice, strict=True):
                usual += n * float(weights[s])
            neutral[row] = True
            ordered[row] |= fits
            if (fits, usual) > best:
                best = (fits, usual)
                chosen[row, present] = own
    return chosen, neutral, ordered
