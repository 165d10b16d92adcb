"""Common oxidation states, for the charge-neutral part of a space."""

import functools

import numpy as np

from matscreen.kernels.charge_balance import charge_neutral
from matscreen.models.elements import SYMBOLS


@functools.cache
def _common_states() -> tuple[np.ndarray, np.ndarray]:
    from pymatgen.core import Element  # takes a second to import, and only this filter needs it

    states = [sorted(Element(symbol).common_oxidation_states) if symbol else [] for symbol in SYMBOLS]
    first = np.concatenate([[0], np.cumsum([len(s) for s in states])]).astype(np.int64)
    return first, np.array([q for s in states for q in s], np.int8)


def is_charge_neutral(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """(N,) bool: whether some choice of one common oxidation state (pymatgen's list) an element is neutral.

    elements, amounts : (N, K) uint8, atomic numbers and atoms, 0 in empty places
    """
    return charge_neutral(elements, amounts, *_common_states())
