"""Formulas against pymatgen, and untrusted text against a clear error."""

import contextlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from matscreen.models.elements import ATOMIC_NUMBERS, ELEMNET_ELEMENTS, FORMULA_ORDER, SYMBOLS
from matscreen.models.formula import (
    FormulaError,
    chemical_systems,
    composition_arrays,
    format_formula,
    format_formulas,
    parse_formula,
    reduced,
)

SYMBOL = st.sampled_from([s for s in SYMBOLS if s])
AMOUNT = st.one_of(st.just(""), st.integers(1, 30).map(str), st.floats(0.05, 9).map(lambda x: f"{x:.2f}"))


@st.composite
def formulas(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        if depth and draw(st.integers(0, 3)) == 0:
            parts.append(f"({draw(formulas(depth - 1))}){draw(st.integers(1, 4))}")
        else:
            parts.append(draw(SYMBOL) + draw(AMOUNT))
    return "".join(parts)


@given(formulas())
def test_against_pymatgen(formula: str) -> None:
    if len(formula) > 200:
        return
    expected = {Element(str(e)).Z: n for e, n in Composition(formula).items()}
    assert parse_formula(formula) == pytest.approx(dict(sorted(expected.items())))


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")
def test_elements_and_their_order_against_pymatgen() -> None:
    assert {s: Element(s).Z for s in ATOMIC_NUMBERS} == ATOMIC_NUMBERS
    assert len(ELEMNET_ELEMENTS) == 86
    known = [z for z in range(1, 119) if not np.isnan(Element(SYMBOLS[z]).X)]
    by_pymatgen = sorted(known, key=lambda z: (Element(SYMBOLS[z]).X, SYMBOLS[z]))
    assert sorted(known, key=FORMULA_ORDER.__getitem__) == by_pymatgen


@given(st.dictionaries(st.sampled_from(ELEMNET_ELEMENTS), st.integers(1, 9), min_size=2, max_size=4))
def test_written_as_pymatgen_writes_it(composition: dict[int, int]) -> None:
    written = format_formula(composition, reduced(composition.values()))
    expected = Composition({SYMBOLS[z]: n for z, n in composition.items()})
    assert written == re.sub(r"(?<=[a-zA-Z])1( |$)| ", "", expected.reduced_composition.formula)  # it writes Fe1 O1
    assert Composition(written) == expected.reduced_composition


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1 to 200 characters"),
        ("A" * 100_000, "1 to 200 characters"),
        ("fe2O3", "unexpected 'f' at character 1"),
        ("Fe2O3 ", "unexpected ' ' at character 6"),
        ("Fe2Ox", "unexpected 'x'|unknown element 'Ox'"),
        ("Xx", "unknown element 'Xx'"),
        ("LiFeP04", "amount 04 begins with 0; did you mean the letter O"),
        ("Fe0", "amount 0 is not in"),
        ("Fe99999999", "is not in"),
        ("Ca(OH", "never closed"),
        ("Ca(OH]2", "unmatched ']'"),
        ("Ca)OH(", "unmatched"),
        ("()", "holds no element"),
        ("(" * 150, "never closed"),
        ("Fe2O3; import os", "unexpected ';'"),
        ("Fe²", "unexpected '²'"),
        ("Fe٣", "unexpected"),
    ],
)
def test_what_is_no_formula_is_said_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(FormulaError, match=complaint) as caught:
        parse_formula(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=30))
def test_any_text_is_a_formula_or_a_formula_error(text: str) -> None:
    with contextlib.suppress(FormulaError):
        assert all(0 < n < float("inf") for n in parse_formula(text).values())


def test_arrays_and_rows() -> None:
    elements, amounts = composition_arrays(["LiFePO4", "O2"])
    assert elements.tolist() == [[3, 8, 15, 26], [8, 0, 0, 0]]
    assert amounts.tolist() == [[1, 4, 1, 1], [2, 0, 0, 0]]
    with pytest.raises(FormulaError, match="row 2: formula 'Qq': unknown element"):
        composition_arrays(["Fe", "Qq"])


def test_reduced() -> None:
    assert reduced([4, 6, 0]) == [2, 3, 0]
    assert reduced([0.5, 1]) == [0.5, 1]


@pytest.mark.parametrize("width", [1, 4, 9])
def test_many_formulas_are_written_as_one_is(width: int, rng: np.random.Generator) -> None:
    elements = np.sort(np.argsort(rng.random((3000, 118)), axis=1)[:, :width] + 1, axis=1).astype(np.uint8)
    amounts = rng.choice(np.array([1, 1, 2, 3, 10, 255], np.uint8), elements.shape)
    empty = rng.random(elements.shape) < 0.3
    elements[empty], amounts[empty] = 0, 0
    expected = [format_formula(*row) for row in zip(elements.tolist(), amounts.tolist(), strict=True)]
    assert format_formulas(elements, amounts).to_pylist() == expected
    systems = ["-".join(sorted(SYMBOLS[z] for z in row if z)) for row in elements.tolist()]
    assert chemical_systems(elements).to_pylist() == systems
    assert format_formulas(elements[:0], amounts[:0]).to_pylist() == []
