"""The 145 attributes against matminer, against their definition, and on what is no composition."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import published
from matscreen.engine import PhaseTable
from matscreen.kernels.backend import BackendError
from matscreen.kernels.features import (
    COLUMNS,
    WARD_FEATURE_NAMES,
    composition_features,
    standardised,
    ward_features,
)
from matscreen.kernels.features.cpu import _WORDS
from matscreen.kernels.features.reference import MOST_ATOMS, formula_unit
from matscreen.kernels.features.tables import TABLES
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.formula import composition_arrays
from matscreen.models.tables import read_table

TOLERANCE = {"rtol": 1e-12, "atol": 1e-9}  # sums of a few products of at most some thousands, in another order


def check_against_matminer(formulas: list[str]) -> None:
    from matminer.featurizers.base import MultipleFeaturizer
    from matminer.featurizers.composition import ElementProperty, IonProperty, Stoichiometry, ValenceOrbital
    from pymatgen.core import Composition

    elements, amounts = composition_arrays(formulas)
    ours = composition_features(elements, amounts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [Stoichiometry(), ElementProperty.from_preset("magpie"), ValenceOrbital(props=["avg"]), IonProperty()]
        peer = MultipleFeaturizer(parts)
        assert peer.feature_labels() == list(WARD_FEATURE_NAMES)
        for formula, row in zip(formulas, ours, strict=True):
            theirs = np.array(peer.featurize(Composition(formula)), float)
            np.testing.assert_allclose(row, theirs, rtol=1e-9, atol=1e-6, err_msg=formula)


def small(formulas: list[str]) -> list[str]:
    """Those of at most 40 atoms: matminer walks all mixtures of valences, one by one."""
    _, amounts = composition_arrays(formulas)
    return [f for f, n in zip(formulas, amounts.sum(axis=1), strict=True) if n <= 40]


def test_embedded_reference_against_matminer(phases: PhaseTable, rng: np.random.Generator) -> None:
    formulas = small(phases.table["formula"].to_pylist())
    check_against_matminer(rng.choice(formulas, 1000, replace=False).tolist())


def test_five_thousand_oqmd_compositions_against_matminer(rng: np.random.Generator) -> None:
    formulas, _ = read_table(published("oqmd_formation_energy.parquet"), "formula", "formation_energy_ev_atom")
    check_against_matminer(rng.choice(small(list(formulas)), 5000, replace=False).tolist())


def test_all_elements_against_matminer() -> None:
    """Alone, and with an anion: those that Magpie's tables or pymatgen lack values for, too."""
    from matscreen.models.elements import SYMBOLS

    check_against_matminer([s for s in SYMBOLS if s] + [f"{s}3O2" for s in SYMBOLS if s not in ("", "O")])


@given(st.data())
def test_against_the_definition(data: st.DataObject) -> None:
    n, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 8))
    amount = st.one_of(st.integers(1, 12), st.integers(100, 400), st.floats(0.01, 3))
    elements, amounts = np.zeros((n, width), np.uint8), np.zeros((n, width))
    for row in range(n):
        own = data.draw(st.lists(st.integers(1, 118), min_size=1, max_size=width, unique=True))
        places = data.draw(st.permutations(range(width)))[: len(own)]
        elements[row, places] = own
        amounts[row, places] = data.draw(st.lists(amount, min_size=len(own), max_size=len(own)))
    expected = composition_features(elements, amounts, backend="reference")
    np.testing.assert_allclose(composition_features(elements, amounts), expected, **TOLERANCE)


def test_fractions_give_what_amounts_give(phases: PhaseTable) -> None:
    elements, amounts = composition_arrays(phases.table["formula"].to_pylist())
    known = np.isin(elements, [0, *ELEMNET_ELEMENTS]).all(axis=1)
    elements, amounts = elements[known], amounts[known]
    fractions = np.zeros((len(elements), 86))
    column = np.searchsorted(COLUMNS, elements)
    for place in range(elements.shape[1]):
        there = elements[:, place] > 0
        fractions[np.flatnonzero(there), column[there, place]] = amounts[there, place]
    fractions /= fractions.sum(axis=1, keepdims=True)
    expected = composition_features(elements, amounts)
    np.testing.assert_allclose(ward_features(fractions), expected, **TOLERANCE)
    single = ward_features(fractions.astype(np.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-4)
    assert (single[:, 142] == expected[:, 142]).all()  # "compound possible" survives float32


def test_result_does_not_depend_on_threads_or_on_the_order_of_elements(rng: np.random.Generator) -> None:
    elements = np.array([rng.choice(np.arange(1, 119), 5, replace=False) for _ in range(501)], np.uint8)
    amounts = rng.integers(1, 9, elements.shape)
    one = composition_features(elements, amounts)
    assert (composition_features(elements, amounts, threads=3) == one).all()
    backwards = composition_features(elements[:, ::-1], amounts[:, ::-1])
    np.testing.assert_allclose(backwards, one, **TOLERANCE)
    assert composition_features(elements[:0], amounts[:0], threads=4).shape == (0, 145)


@pytest.mark.parametrize(
    ("formula", "possible"), [("NaCl", 1), ("NaCl2", 0), ("Fe3O4", 1), ("FeO", 1), ("HeO", 0), ("Fe", 1), ("LiFe", 0)]
)
def test_compound_possible(formula: str, possible: int) -> None:
    elements, amounts = composition_arrays([formula])
    for scale in (1, 3, 0.1):
        assert composition_features(elements, amounts * scale)[0, 142] == possible


def test_proportions_of_no_formula_mix_valences_freely() -> None:
    elements = np.array([[8, 26]] * 3, np.uint8)  # Fe is 2+ or 3+: O to Fe from 1 to 1.5
    amounts = np.array([[np.sqrt(2), 1], [np.sqrt(3), 1], [np.sqrt(0.9), 1]])
    assert formula_unit(amounts[0] / amounts[0].sum()) is None
    for backend in ("cpu", "reference"):
        assert composition_features(elements, amounts, backend=backend)[:, 142].tolist() == [1, 0, 0]


def test_tables() -> None:
    assert COLUMNS.tolist() == list(ELEMNET_ELEMENTS)
    assert len(WARD_FEATURE_NAMES) == len(set(WARD_FEATURE_NAMES)) == 145
    assert not np.isnan(TABLES.properties[1:]).any()
    assert not np.isnan(TABLES.electronegativity[1:]).any()
    own = [TABLES.states[TABLES.first[z] : TABLES.first[z + 1]] for z in range(1, 119)]
    assert all((np.diff(states) > 0).all() for states in own)
    span = max(int(states[-1]) - int(states[0]) for states in own if len(states))
    assert (span + 1) * MOST_ATOMS < 64 * _WORDS


def test_errors() -> None:
    one = np.zeros((1, 86))
    with pytest.raises(ValueError, match="sum to 1"):
        ward_features(one)
    with pytest.raises(ValueError, match="sum to 1"):
        ward_features(one * np.nan)
    with pytest.raises(ValueError, match=r"\(N, 86\)"):
        ward_features(np.zeros((1, 85)))
    iron = np.array([[26]], np.uint8)
    with pytest.raises(ValueError, match="amount above 0"):
        composition_features(iron, np.array([[0]]))
    with pytest.raises(ValueError, match="amount above 0"):
        composition_features(iron, np.array([[np.nan]]))
    with pytest.raises(ValueError, match="needs an element"):
        composition_features(iron * 0, np.array([[1]]))
    with pytest.raises(ValueError, match="no element 119"):
        composition_features(np.array([[119]], np.uint8), np.array([[1]]))
    with pytest.raises(ValueError, match="uint8"):
        composition_features(iron.astype(int), np.array([[1]]))
    with pytest.raises(BackendError, match="unknown backend"):
        composition_features(iron, np.array([[1]]), backend="tpu")  # type: ignore[arg-type]


def test_standardised_against_its_definition(rng: np.random.Generator) -> None:
    features, mean, scale = rng.normal(size=(300, 145)) * 50, rng.normal(size=145), rng.uniform(0.1, 20, 145)
    ours = standardised(features, mean, scale, 8.0)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, standardised(features, mean, scale, 8.0, backend="reference"), rtol=1e-7)
    assert (np.abs(ours) == 8).mean() > 0.01
    with pytest.raises(ValueError, match="do not fit"):
        standardised(features, mean[:3], scale, 8.0)


@pytest.mark.parametrize("case", ["alone", "pairs", "quaternaries", "nine elements", "many atoms", "no formula"])
def test_triton_finds_the_same(case: str, rng: np.random.Generator) -> None:
    count, width, most = {
        "alone": (1, 1, 2),
        "pairs": (19, 2, 6),
        "quaternaries": (17, 4, 5),
        "nine elements": (3, 9, 4),
        "many atoms": (5, 3, 60),
        "no formula": (3, 2, 0),
    }[case]
    usual = np.array([1, 3, 8, 11, 13, 15, 16, 20, 22, 25, 26, 29, 50, 57, 82, 92, 118], np.uint8)
    elements = np.stack([rng.permutation(usual)[:width] for _ in range(count)])
    amounts = rng.integers(1, most, (count, width)) if most else rng.dirichlet(np.ones(width), count)
    if width > 1:
        elements[::3, 0] = 0
    expected = composition_features(elements, amounts, backend="cpu")
    np.testing.assert_allclose(composition_features(elements, amounts, backend="gpu"), expected, **TOLERANCE)
    assert composition_features(elements[:0], amounts[:0], backend="gpu").shape == (0, 145)


def test_triton_leaves_wide_sums_of_charges_to_the_processor() -> None:
    """Na35P33 can have charges from -64 to 200: 0 if eight of the P give five electrons and the others take three."""
    from matscreen.kernels.features import gpu

    elements, amounts = np.array([[11, 15], [11, 17]], np.uint8), np.array([[35.0, 33.0], [1.0, 1.0]])
    given = torch.from_numpy(elements), torch.from_numpy(amounts)
    told = gpu.told(*given, gpu.known(given[0].device))[:, gpu.POSSIBLE]
    assert told.tolist() == [gpu.UNTOLD, 1.0]
    assert composition_features(elements, amounts, backend="gpu")[:, gpu.POSSIBLE].tolist() == [1.0, 1.0]
