"""A student of chemical systems: one look at a few elements tells the energies of all their compounds.

The 446,597,140 compositions up to quaternaries of ten atoms are of 2,229,550 chemical systems. A network that is given
the elements of one and has an output for each ratio of atoms can be wide, and still takes a small part of what one of
compositions takes. It is less exact, too: what lies near the threshold others must look at.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.kernels.backend import Backend
from matscreen.kernels.systems import MOST_ATOMS_EACH, MOST_ELEMENTS, by_system
from matscreen.models.elements import SYMBOLS
from matscreen.models.encoding import ORDER
from matscreen.models.model import Model, ModelError, read
from matscreen.models.target import Target

AT_ONCE = 1024
"""Systems predicted at a time, with all their ratios."""


@dataclass(frozen=True)
class SystemModel:
    """Predicts formation energies, a chemical system at a time.

    Attributes
    ----------
    network : given elements in the order of electronegativities, an atom of each, it predicts a property for each
        ratio, which is named so (`ratio_name`)
    """

    network: Model

    @property
    def name(self) -> str:
        """Of the network."""
        return self.network.name

    @property
    def checksum(self) -> str:
        """SHA-256 of the network's file."""
        return self.network.checksum

    @property
    def card(self) -> dict[str, Any]:
        """What the network's card says."""
        return self.network.card

    @cached_property
    def ratios(self) -> np.ndarray:
        """(R, 4) uint8: amounts of the elements by rising electronegativity, 0 last, of each output."""
        return np.array([_ratio(name) for name in self.network.target.properties], np.uint8)

    def knows(self, elements: np.ndarray, amounts: np.ndarray) -> bool:
        """Whether it knows the elements and the ratios of all of these compositions, (N, K) both."""
        systems, _, ratio = by_system(elements, amounts, self.ratios, ORDER_OF_LABELS)
        return bool(ratio.min(initial=0) >= 0 and np.isin(systems[systems > 0], self.network.elements).all())

    def energies(self, elements: np.ndarray, amounts: np.ndarray, backend: Backend = "auto") -> np.ndarray:
        """Formation energies of compositions given as arrays; fastest where those of a system are neighbours.

        elements, amounts (N, K) uint8, atomic numbers and atoms of reduced compositions, 0 in empty places → (N,)
        float32, eV/atom (float64 with backend="reference"). ModelError for what it does not know; `knows` tells
        """
        systems, system, ratio = by_system(elements, amounts, self.ratios, ORDER_OF_LABELS, backend)
        strange = ~np.isin(systems, (0, *self.network.elements))
        if strange.any():
            of, place = np.argwhere(strange)[0]
            row, symbol = np.searchsorted(system, of) + 1, SYMBOLS[systems[of, place]]
            raise ModelError(f"row {row}: model {self.name} does not know {symbol}")
        if len(ratio) and ratio.min() < 0:
            raise ModelError(f"row {int(ratio.argmin()) + 1}: model {self.name} does not know this ratio of atoms")
        found = np.empty(len(ratio), np.float64 if backend == "reference" else np.float32)
        for start in range(0, len(systems), AT_ONCE):
            some = systems[start : start + AT_ONCE, :MOST_ELEMENTS]  # all have a ratio, so the places beyond are empty
            mine = slice(*np.searchsorted(system, (start, start + len(some))))
            told = self.network.outputs(some, (some > 0).astype(np.uint8), backend)[0]
            found[mine] = told[system[mine] - start, ratio[mine]]
        return found


ORDER_OF_LABELS = np.pad(ORDER, (0, 256 - len(ORDER))).astype(np.int64)
"""(256,) by atomic number, rising with the electronegativity."""


def ratio_name(ratio: np.ndarray) -> str:
    """Name of the property of (4,) amounts: `"1:1:4"`."""
    return ":".join(str(int(amount)) for amount in ratio if amount)


def of_ratios(ratios: np.ndarray) -> Target:
    """What a network of these ratios, (R, 4), predicts."""
    return Target(tuple(ratio_name(ratio) for ratio in ratios))


def _ratio(name: str) -> list[int]:
    """Inverse of `ratio_name`; ValueError for what is none."""
    amounts = [int(amount) for amount in name.split(":")]
    if not 1 <= len(amounts) <= MOST_ELEMENTS or not 1 <= min(amounts) <= max(amounts) <= MOST_ATOMS_EACH:
        raise ValueError(f"{name:.40} is no ratio")
    return amounts + [0] * (MOST_ELEMENTS - len(amounts))


def load_systems(path: Path) -> SystemModel:
    """The network of systems at `path`; ModelError as `models.load`, and for one of compositions."""
    network = read(path)
    model = SystemModel(network)
    try:
        if [member.encoding.kind for member in network.members] != ["systems"]:
            raise ValueError("it is no network of systems")
        if len(np.unique(model.ratios, axis=0)) != len(model.ratios):
            raise ValueError("two of its ratios are the same")
    except ValueError as error:
        raise ModelError(f"{path} holds no network that can be used: {error}") from None
    return model
