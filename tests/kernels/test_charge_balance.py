"""Charge neutrality against the definition, and on compounds everybody knows."""

import itertools

import numpy as np
import pytest
import smact
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element

from matscreen.engine.chemistry import is_charge_neutral
from matscreen.kernels.charge_balance import charge_neutral
from matscreen.kernels.enumeration import ratio_table
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.formula import composition_arrays


@given(st.data())
def test_against_the_definition(data: st.DataObject) -> None:
    labels = 6
    states = [data.draw(st.lists(st.integers(-4, 8), max_size=5)) for _ in range(labels + 1)]
    first = np.concatenate([[0], np.cumsum([len(s) for s in states])])
    flat = np.array([q for s in states for q in s], np.int8)
    n, width = data.draw(st.integers(0, 30)), data.draw(st.integers(1, 5))
    rows = st.lists(st.integers(0, labels), min_size=width, max_size=width)
    elements = np.array([data.draw(rows) for _ in range(n)], np.uint8).reshape(n, width)
    counts = st.lists(st.integers(1, 20), min_size=width, max_size=width)
    amounts = np.array([data.draw(counts) for _ in range(n)], np.uint8).reshape(n, width)
    fast = charge_neutral(elements, amounts, first, flat)
    np.testing.assert_array_equal(fast, charge_neutral(elements, amounts, first, flat, backend="reference"))


def test_twelve_thousand_against_smact(rng: np.random.Generator) -> None:
    """SMACT's own search over the same common oxidation states, on compositions from all over the space."""
    elements, amounts = np.zeros((12_000, 4), np.uint8), np.zeros((12_000, 4), np.uint8)
    ratios = {k: ratio_table(k, 10) for k in (2, 3, 4)}
    for row in range(len(elements)):
        k = 2 + row % 3
        own = rng.choice(ELEMNET_ELEMENTS, k, replace=False)
        if row % 2:
            own[0] = rng.choice(np.setdiff1d([7, 8, 9, 16, 17], own[1:]))  # with an anion, or few would be neutral
        elements[row, :k] = np.sort(own)
        amounts[row, :k] = rng.choice(ratios[k])
    ours = is_charge_neutral(elements, amounts)
    states = {z: Element(SYMBOLS[z]).common_oxidation_states for z in ELEMNET_ELEMENTS}
    for row, (own, counts) in enumerate(zip(elements, amounts, strict=True)):
        stoichiometry = [(int(n),) for n in counts if n]
        choices = itertools.product(*(states[int(z)] for z in own if z))
        theirs = any(smact.neutral_ratios(charges, stoichiometry, threshold=10) for charges in choices)
        assert ours[row] == theirs, (own, counts)
    assert 500 < ours.sum() < 11_500


def test_known_compounds() -> None:
    balanced = ["NaCl", "LiFePO4", "Fe2O3", "BaTiO3", "MgAl2O4", "Ca(OH)2", "PbI2", "SO3"]
    unbalanced = ["NaCl2", "Fe3O4", "MgAl2O5", "LiFe", "HeO", "NaF9"]
    elements, amounts = composition_arrays([*balanced, *unbalanced])
    expected = [True] * len(balanced) + [False] * len(unbalanced)
    assert is_charge_neutral(elements, amounts.astype(np.uint8)).tolist() == expected


def test_errors() -> None:
    one = np.ones((1, 2), np.uint8)
    with pytest.raises(ValueError, match="label 1 has no row"):
        charge_neutral(one, one, np.array([0, 0]), np.zeros(0, np.int8))
    with pytest.raises(ValueError, match=r"\(N, K\)"):
        charge_neutral(one, one[0], np.array([0, 0, 0]), np.zeros(0, np.int8))
