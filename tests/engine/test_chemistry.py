"""Charges against SMACT and pymatgen, kinds of elements, and what is known nearby."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Element
from smact.screening import pauling_test

from matscreen.engine import CompositionSpace, PhaseTable, schema
from matscreen.engine.analogues import analogues
from matscreen.engine.chemistry import chemistry, common_states, kinds
from matscreen.kernels.charge_balance import oxidation_states
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import composition_arrays


def arrays(*formulas: str) -> tuple[np.ndarray, np.ndarray]:
    elements, amounts = composition_arrays(formulas)
    return elements, amounts.astype(np.uint8)


@given(st.data())
def test_states_against_the_definition(data: st.DataObject) -> None:
    labels = 5
    states = [data.draw(st.lists(st.integers(-4, 6), max_size=4)) for _ in range(labels + 1)]
    first = np.concatenate([[0], np.cumsum([len(s) for s in states])])
    flat = np.array([q for s in states for q in s], np.int8)
    weights = np.array([data.draw(st.integers(0, 9)) for _ in flat], float)
    chi = np.array([data.draw(st.sampled_from([1.0, 2.0, 2.5, 4.0, np.nan])) for _ in range(labels + 1)])
    n, width = data.draw(st.integers(0, 20)), data.draw(st.integers(1, 4))
    rows = [data.draw(st.lists(st.integers(0, labels), min_size=width, max_size=width, unique=True)) for _ in range(n)]
    elements = np.array(rows, np.uint8).reshape(n, width)
    counts = [data.draw(st.lists(st.integers(1, 12), min_size=width, max_size=width)) for _ in range(n)]
    given_ = elements, np.array(counts, np.uint8).reshape(n, width), first, flat, weights, chi
    for ours, expected in zip(oxidation_states(*given_), oxidation_states(*given_, backend="reference"), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_order_of_electronegativities_against_smact(rng: np.random.Generator) -> None:
    """SMACT's Pauling test over every neutral choice, 10,000 compositions rich in anions."""
    space = CompositionSpace("all", require="O")
    elements, amounts = schema.composition_arrays(space.take(rng.integers(0, len(space), 10_000)))[1:]
    _, neutral, ordered = oxidation_states(elements, amounts, *common_states())
    chi = {z: Element.from_Z(z).X for z in space.elements}
    for row, (own, atoms) in enumerate(zip(elements.tolist(), amounts.tolist(), strict=True)):
        present = [(z, n) for z, n in zip(own, atoms, strict=True) if z]
        choices = itertools.product(*(Element.from_Z(z).common_oxidation_states for z, _ in present))
        balanced = [c for c in choices if sum(q * n for q, (_, n) in zip(c, present, strict=True)) == 0]
        assert neutral[row] == bool(balanced)
        passes = any(pauling_test(c, [chi[z] for z, _ in present]) for c in balanced)
        assert ordered[row] == passes, (own, atoms)
    assert 100 < ordered.sum() < neutral.sum()


@pytest.mark.parametrize(
    ("formula", "states"),
    [("LiFePO4", [1, -2, 5, 2]), ("NaCl", [1, -1]), ("TiO2", [-2, 4]), ("CaTiO3", [-2, 2, 4]), ("Al2O3", [-2, 3])],
)
def test_the_states_that_everybody_knows(formula: str, states: list[int], phases: PhaseTable) -> None:
    balanced, ordered, chosen = (column[0].as_py() for column in chemistry(*arrays(formula), phases)[:3])
    assert balanced
    assert ordered
    assert chosen == states
    guess = Composition(formula).oxi_state_guesses(
        oxi_states_override={e.symbol: list(e.common_oxidation_states) for e in Composition(formula)}
    )[0]
    own = [SYMBOLS[z] for z in arrays(formula)[0][0] if z]
    assert [guess[symbol] for symbol in own] == states


def test_what_does_not_balance_has_no_states(phases: PhaseTable) -> None:
    balanced, ordered, chosen, *_ = chemistry(*arrays("Li5Fe3P2", "Fe3O4"), phases)
    assert balanced.to_pylist() == [False, False]  # magnetite takes iron in two states
    assert ordered.to_pylist() == [False, False]
    assert chosen.to_pylist() == [None, None]


def test_kinds() -> None:
    held = kinds(arrays("LaUO4", "KrF2", "NaCl", "TcO2")[0]).to_pylist()
    assert held == [["lanthanide", "actinide", "radioactive"], ["noble gas"], [], ["radioactive"]]


def test_what_is_known_nearby(phases: PhaseTable) -> None:
    *_, nearest, distance, alike, _ = chemistry(*arrays("NaCl", "Na9Cl10", "KY2F7"), phases)
    assert nearest.to_pylist()[:2] == ["NaCl", "NaCl"]
    assert distance[0].as_py() == 0
    assert distance[1].as_py() == pytest.approx(np.sqrt(2) * (0.5 - 9 / 19))
    found = Composition(alike[0].as_py())
    assert found != Composition("NaCl")
    assert {e.group for e in found} == {1, 17}


def test_an_analogue_is_the_nearest_by_mendeleev_number() -> None:
    names = ["MgO", "SrO", "KCl", "CaS", "CaO2", "CaO", "K2S", "CsLiS", "KNaS"]
    phases = PhaseTable("own", names, np.full(len(names), -1.0), names, {})
    rows = analogues(*arrays("CaO", "BaO", "Na2O", "Na2O3", "LiF", "LiNaS"), phases)
    assert [names[row] if row >= 0 else None for row in rows] == ["SrO", "SrO", "K2S", None, "KCl", "KNaS"]


def test_without_any_known_compound(phases: PhaseTable) -> None:
    empty = PhaseTable("none", [], np.zeros(0), [], {})
    *_, nearest, distance, alike, _ = chemistry(*arrays("NaCl"), empty)
    assert [column[0].as_py() for column in (nearest, distance, alike)] == [None, None, None]
    assert all(len(column) == 0 for column in chemistry(np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8), phases))
