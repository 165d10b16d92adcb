"""Chemical formulas: text to atomic numbers and amounts, and back.

A strict reader for untrusted text: a formula is symbols, amounts and balanced brackets, nothing else.
"""

import difflib
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.models.elements import ATOMIC_NUMBERS, FORMULA_ORDER, SYMBOLS
from matscreen.models.errors import InputError

MAX_LENGTH = 200
"""Longest formula read, in characters; longer text is not a formula but an accident."""

_TOKEN = re.compile(r"(?P<symbol>[A-Z][a-z]?)|(?P<open>[(\[])|(?P<close>[)\]])")
_AMOUNT = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")


class FormulaError(InputError):
    """Text that is no chemical formula; the message says where and what was expected."""


def element(symbol: str) -> int:
    """Atomic number of `symbol`; FormulaError with the nearest symbol if there is no such element."""
    try:
        return ATOMIC_NUMBERS[symbol]
    except KeyError:
        near = difflib.get_close_matches(symbol.capitalize(), ATOMIC_NUMBERS, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FormulaError(f"unknown element {symbol!r}{hint}") from None


def parse_formula(formula: str) -> dict[int, float]:
    """Amount of each element in `formula`, as {atomic number: amount} by rising atomic number.

    Amounts may be fractional and groups may stand in () or [], as in `Ca(OH)2` or `La0.8Sr0.2MnO3`.

    >>> parse_formula("Ca(OH)2")
    {1: 2.0, 8: 2.0, 20: 1.0}

    Raises
    ------
    FormulaError
        Unknown element, unbalanced bracket, zero or absurd amount, or any other character.
    """
    shown = formula if len(formula) <= 40 else formula[:37] + "..."
    if not formula or len(formula) > MAX_LENGTH:
        raise FormulaError(f"formula {shown!r} must have 1 to {MAX_LENGTH} characters")
    groups: list[dict[int, float]] = [{}]
    brackets: list[str] = []
    at = 0
    while at < len(formula):
        token = _TOKEN.match(formula, at)
        if token is None:
            raise FormulaError(f"formula {shown!r}: unexpected {formula[at]!r} at character {at + 1}")
        at = token.end()
        if token["open"]:
            brackets.append(token["open"])
            groups.append({})
            continue
        if token["close"]:
            if not brackets or brackets.pop() + token["close"] not in ("()", "[]"):
                raise FormulaError(f"formula {shown!r}: unmatched {token['close']!r} at character {at}")
            part = groups.pop()
        else:
            try:
                part = {element(token["symbol"]): 1.0}
            except FormulaError as error:
                raise FormulaError(f"formula {shown!r}: {error}") from None
        amount = _AMOUNT.match(formula, at)
        times = 1.0
        if amount:
            times, at = float(amount[0]), amount.end()
            if re.match("0[0-9]", amount[0]):  # LiFeP04 with a zero would pass for LiFeP4
                raise FormulaError(f"formula {shown!r}: amount {amount[0]} begins with 0; did you mean the letter O?")
            if not 0 < times <= 1e6:
                raise FormulaError(f"formula {shown!r}: amount {amount[0]} is not in (0, 1000000]")
        for z, n in part.items():
            groups[-1][z] = groups[-1].get(z, 0.0) + n * times
    if brackets:
        raise FormulaError(f"formula {shown!r}: {brackets[-1]!r} is never closed")
    if not groups[0]:
        raise FormulaError(f"formula {shown!r} holds no element")
    return dict(sorted(groups[0].items()))


def format_formula(elements: Iterable[int], amounts: Iterable[float]) -> str:
    """Formula as people write it: elements by rising electronegativity, amounts of 1 left out, empty places skipped.

    >>> format_formula([3, 8, 15, 26], [1, 4, 1, 1])
    'LiFePO4'
    """
    places = sorted((FORMULA_ORDER[z], SYMBOLS[z], n) for z, n in zip(elements, amounts, strict=True) if z)
    return "".join(symbol + ("" if n == 1 else f"{n:.6g}") for _, symbol, n in places)


def format_formulas(elements: np.ndarray, amounts: np.ndarray) -> pa.StringArray:
    """`format_formula` of many: elements (N, K), 0 in empty places, and atoms of each (N, K) uint8."""
    return _joined(np.array(FORMULA_ORDER), "", elements, amounts)


def chemical_systems(elements: np.ndarray) -> pa.StringArray:
    """Symbols in alphabetical order, joined by hyphens, of elements (N, K), 0 in empty places."""
    return _joined(np.argsort(np.argsort(SYMBOLS)), "-", elements, np.ones_like(elements))


SYMBOL = pa.array(SYMBOLS)
_ATOMS = pa.array([str(n) if n > 1 else "" for n in range(256)])


def ragged(values: pa.Array, present: np.ndarray, valid: np.ndarray | None = None) -> pa.ListArray:
    """(N,) lists of the values that are present (N, K), given row by row; null where not valid."""
    offsets = np.concatenate([[0], np.cumsum(np.count_nonzero(present, axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=None if valid is None else pa.array(~valid))


def _joined(order: np.ndarray, separator: str, elements: np.ndarray, amounts: np.ndarray) -> pa.StringArray:
    """Symbols with their amounts, by rising `order` of their elements."""
    places = np.argsort(np.where(elements > 0, order[elements], len(order) * 2), axis=1, kind="stable")
    elements, amounts = (np.take_along_axis(values, places, axis=1) for values in (elements, amounts))
    present = elements > 0
    parts = [table.take(pa.array(of[present])) for table, of in ((SYMBOL, elements), (_ATOMS, amounts))]
    return pc.binary_join(ragged(pc.binary_join_element_wise(*parts, ""), present), separator)


def reduced(amounts: Iterable[float], tolerance: float = 1e-8) -> list[float]:
    """`amounts` divided by their greatest common divisor (unchanged if not all are integers); zeros stay zeros."""
    given = list(amounts)
    whole = [round(n) for n in given]
    if any(abs(n - w) > tolerance or (n > 0 and w == 0) for n, w in zip(given, whole, strict=True)):
        return given
    divisor = math.gcd(*whole) or 1
    return [float(w // divisor) for w in whole]


def composition_arrays(formulas: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read many formulas into the engine's arrays.

    Returns
    -------
    elements : (N, K) uint8, atomic numbers by rising Z, 0 where a formula has fewer than K elements
    amounts : (N, K) float64, atoms per formula as written, 0 in empty places

    Raises
    ------
    FormulaError
        For the first formula that cannot be read; the message names its row (from 1).
    """
    parsed = []
    for row, formula in enumerate(formulas, start=1):
        try:
            parsed.append(parse_formula(formula))
        except FormulaError as error:
            raise FormulaError(f"row {row}: {error}") from None
    width = max((len(p) for p in parsed), default=1)
    elements = np.zeros((len(parsed), width), np.uint8)
    amounts = np.zeros((len(parsed), width))
    for i, p in enumerate(parsed):
        elements[i, : len(p)] = list(p)
        amounts[i, : len(p)] = list(p.values())
    return elements, amounts
