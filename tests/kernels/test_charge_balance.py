"""Charge neutrality against the definition, and on compounds everybody knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscreen.engine.oxidation import is_charge_neutral
from matscreen.kernels.charge_balance import charge_neutral
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
