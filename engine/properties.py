"""Properties beside stability: which network tells them, and which values a candidate may have."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.kernels.backend import Backend
from matscreen.models import Model, load
from matscreen.models.catalogue import shipped_properties
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.formula import format_formula
from matscreen.models.model import mean_of_members, spread_of_members

_WRITTEN = re.compile(r"(?P<name>[^@:]+)(@(?P<file>.+?))?(:(?P<range>[<>][^:/]*|[^:/]*\.\.[^:/]*))?")


@dataclass(frozen=True)
class Property:
    """A property that a network predicts, and the values that are wanted.

    Attributes
    ----------
    column : its name in the candidates, which ends with its unit
    model : predicts it
    low, high : least and largest value wanted, both within; infinite where there is no limit
    goal : 1 if it is to be made small, −1 if large, 0 for neither
    """

    column: str
    model: Model
    low: float = -math.inf
    high: float = math.inf
    goal: int = 0

    def __post_init__(self) -> None:
        if not self.low <= self.high or self.low == math.inf or self.high == -math.inf:
            raise InputError(f"no {self.column} lies between {self.low:g} and {self.high:g}")
        if self.model.target.classes or self.column not in self.model.target.properties:
            raise InputError(f"model {self.model.name} predicts {self.model.target}, not {self.column}")

    def within(self, values: np.ndarray, slack: float = 0.0) -> np.ndarray:
        """(N,) bool: which values (N,) are wanted, `slack` beyond the limits too."""
        wide = np.asarray(values, np.float64)
        inside: np.ndarray = (wide >= self.low - slack) & (wide <= self.high + slack)
        return inside

    def values(self, elements: np.ndarray, amounts: np.ndarray, backend: Backend = "auto") -> np.ndarray:
        """(N,) predicted for compositions as arrays (see `Model.energies`)."""
        output = self.model.target.properties.index(self.column)
        mean: np.ndarray = self.model.outputs(elements, amounts, backend)[:, :, output].mean(axis=0)
        return mean

    @property
    def sign(self) -> int:
        """1 if small values are the better ones, −1 if large ones are, by goal or the one limit there is; 0 else."""
        return self.goal or math.isfinite(self.high) - math.isfinite(self.low)

    def spec(self) -> dict[str, Any]:
        """What a run keeps of it; `reopen` is the inverse."""
        limits = [x if math.isfinite(x) else None for x in (self.low, self.high)]
        model = {"model": self.model.name, "source": str(self.model.source), "checksum": self.model.checksum}
        return {"column": self.column, "low": limits[0], "high": limits[1], "goal": self.goal, **model}


def reopen(spec: dict[str, Any]) -> Property:
    """The property that a run was started with; InputError if its model is gone or another one."""
    source = Path(spec["source"])
    model = load(source if source.exists() else spec["model"], with_student=False)
    if model.checksum != spec["checksum"]:
        raise InputError(f"model {spec['source']} is not the one that the run was started with")
    low, high = spec["low"], spec["high"]
    limits = -math.inf if low is None else low, math.inf if high is None else high
    return Property(spec["column"], model, *limits, spec["goal"])


def parse(text: str) -> Property:
    """A property as people write it: `band_gap:1.0..1.6`, `bulk_modulus:>200`, `shear_modulus`, `NAME@FILE:<3`.

    A name is that of a column which a network that ships predicts, or the one of FILE, or its beginning up to an
    underscore. InputError for what cannot be read, a name that nothing predicts, or a range that holds no value.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if not written:
        raise InputError(f"cannot read the property {text!r}: write band_gap:1.0..1.6, bulk_modulus:>200 or NAME@FILE")
    name, file = written["name"].strip(), written["file"]
    if file:
        model = load(file, with_student=False)
        column = _matching(name, model.target.properties, f"{file} predicts")
    else:
        known = shipped_properties()
        column = _matching(name, tuple(known), "those that ship are")
        model = load(known[column], with_student=False)
    return Property(column, model, *_limits(written["range"], text))


def _matching(name: str, columns: tuple[str, ...], told: str) -> str:
    """The one column of this name, or that begins with it."""
    found = [column for column in columns if column == name] or [c for c in columns if c.startswith(f"{name}_")]
    if len(found) != 1:
        what = "no property" if not found else "more than one property"
        raise InputError(f"{what} {name!r}: {told} {', '.join(columns) or 'none'}")
    return found[0]


def _limits(written: str | None, text: str) -> tuple[float, float]:
    if written is None:
        return -math.inf, math.inf
    if ".." in written:
        low, _, high = written.partition("..")
    else:
        low, high = (written[1:], "inf") if written[0] == ">" else ("-inf", written[1:])
    try:
        limits = float(low), float(high)
        if any(math.isnan(limit) for limit in limits):
            raise ValueError
    except ValueError:
        raise InputError(f"cannot read the range of {text!r}: write 1.0..1.6, >200 or <3") from None
    return limits


def need_elements(properties: Sequence[Property], elements: Sequence[int]) -> None:
    """InputError if one column is asked for twice, or a network does not know one of the elements."""
    columns = [one.column for one in properties]
    if twice := [column for column in columns if columns.count(column) > 1]:
        raise InputError(f"{twice[0]} is asked for twice")
    for one in properties:
        if unknown := sorted(set(elements) - set(one.model.elements.tolist())):
            symbols = ", ".join(SYMBOLS[z] for z in unknown)
            raise InputError(f"model {one.model.name}, for {one.column}, does not know {symbols}; exclude them")


def predicted(
    properties: Sequence[Property], elements: np.ndarray, amounts: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By column, values and the standard deviation over a model's networks (NaN of a single one): (N,) float32 both.

    elements, amounts (N, K) as in `Model.energies`. ArithmeticError for a value that is not finite.
    """
    outputs = {one.model.checksum: one.model.outputs(elements, amounts) for one in properties}
    found = {}
    for one in properties:
        members = outputs[one.model.checksum][:, :, one.model.target.properties.index(one.column)]
        value = mean_of_members(members)
        if len(strange := np.flatnonzero(~np.isfinite(value))):
            formula = format_formula(elements[strange[0]].tolist(), amounts[strange[0]].tolist())
            raise ArithmeticError(f"model {one.model.name} predicts {one.column} {value[strange[0]]} for {formula}")
        spread = spread_of_members(members) if len(members) > 1 else np.full_like(value, np.nan)
        found[one.column] = value.astype(np.float32), spread.astype(np.float32)
    return found
