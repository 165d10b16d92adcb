"""Which compounds are learnt from, which choose when to stop, and which are only looked at in the end."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from matscreen.models.dataset import Dataset
from matscreen.models.elements import ELEMNET_ELEMENTS

TEST, VALIDATION = 0.10, 0.05


@dataclass(frozen=True)
class Split:
    """How a table is divided. By default a tenth is the test, drawn by a hash of formula and seed.

    Attributes
    ----------
    seed : of the draw
    folds, fold : the test is fold number `fold` (from 0) of so many; 0 folds is no k-fold
    system : atomic numbers; the test is every compound that holds no other element (Jha 2020, 3.3.7: Na-Fe-Mn-O)
    elements : atomic numbers; the test is every compound that holds all of them, and perhaps others (there: Ti, O)
    """

    seed: int = 0
    folds: int = 0
    fold: int = 0
    system: tuple[int, ...] = ()
    elements: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.system:
            return "compounds of one chemical system"
        if self.elements:
            return "compounds that hold these elements"
        return f"fold {self.fold + 1} of {self.folds}, by hash" if self.folds else "hash of formula and seed"


def parts(data: Dataset, how: Split) -> dict[str, np.ndarray]:
    """Row indices of the parts `train`, `validation` and `test`.

    A hash of its formula and the seed decides on a composition, so that a compound held out stays held out when the
    table grows or its rows move.
    """
    draw = draws(data.formulas, f"{how.seed}")
    if how.system or how.elements:
        present = data.fractions > 0
        named = np.isin(ELEMNET_ELEMENTS, how.system or how.elements)
        test = ~present[:, ~named].any(axis=1) if how.system else present[:, named].all(axis=1)
    elif how.folds:
        test = (draw * how.folds).astype(np.int64) == how.fold
        draw = draws(data.formulas, f"{how.seed}:validation")
    else:
        test, draw = draw < TEST, draw - TEST
    validation = ~test & (draw < VALIDATION)
    return {
        "test": np.flatnonzero(test),
        "validation": np.flatnonzero(validation),
        "train": np.flatnonzero(~test & ~validation),
    }


def draws(formulas: list[str], salt: str) -> np.ndarray:
    """(N,) float64 in [0, 1), by a hash of each formula and the salt."""
    digests = (hashlib.blake2b(f"{salt}:{formula}".encode(), digest_size=8).digest() for formula in formulas)
    return np.array([int.from_bytes(digest) for digest in digests], np.float64) / 2.0**64


def split_of(card: dict[str, Any]) -> Split:
    """The split that the model of this card was trained with."""
    told = card.get("data", {}).get("split", {})
    numbers = {name: int(told.get(name, 0)) for name in ("seed", "folds", "fold")}
    return Split(**numbers, system=tuple(told.get("system", ())), elements=tuple(told.get("elements", ())))
