"""The definition: try every choice."""

import itertools

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
