"""What a chemist asks of a composition first: do charges balance, what is in it, and what is known nearby?"""

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pymatgen.core import Composition, Element, Species

from matscreen.engine.analogues import analogues
from matscreen.engine.likelihood import stable_of_stoichiometry
from matscreen.engine.reference import PhaseTable
from matscreen.kernels.charge_balance import charge_neutral, oxidation_states
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.formula import ragged

KINDS: dict[str, frozenset[int]] = {
    "lanthanide": frozenset(range(57, 72)),
    "actinide": frozenset(range(89, 104)),
    "noble gas": frozenset((2, 10, 18, 36, 54, 86, 118)),
    "radioactive": frozenset(z for z in range(1, 119) if Element.from_Z(z).is_radioactive),
}
"""Kinds of elements that a DFT queue may not want."""


class States(NamedTuple):
    """Common oxidation states, as `kernels.charge_balance` takes them, for labels 0…118."""

    first: np.ndarray
    states: np.ndarray
    weights: np.ndarray
    electronegativities: np.ndarray


@functools.cache
def common_states() -> States:
    """pymatgen's common oxidation states; their weights are how often each occurs in the ICSD, as pymatgen counts."""
    Composition("H2O").oxi_state_guesses()  # reads the table of occurrences
    assert Composition.oxi_prob is not None
    states = [sorted(Element(symbol).common_oxidation_states) if symbol else [] for symbol in SYMBOLS]
    seen = [float(Composition.oxi_prob.get(Species(SYMBOLS[z], q), 0)) for z, own in enumerate(states) for q in own]
    chi = np.full(len(SYMBOLS), np.nan)
    for z in ELEMNET_ELEMENTS:
        chi[z] = Element.from_Z(z).X
    return States(
        np.concatenate([[0], np.cumsum([len(s) for s in states])]).astype(np.int64),
        np.array([q for s in states for q in s], np.int8),
        np.array(seen),
        chi,
    )


def is_charge_neutral(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """(N,) bool: whether some choice of one common oxidation state (pymatgen's list) an element is neutral.

    elements, amounts : (N, K) uint8, atomic numbers and atoms, 0 in empty places
    """
    return charge_neutral(elements, amounts, *common_states()[:2])


def chemistry(elements: np.ndarray, amounts: np.ndarray, phases: PhaseTable) -> list[pa.Array]:
    """Columns of `schema.CHEMISTRY` for compositions (N, K) uint8: atomic numbers by rising value, atoms; 0 if empty.

    Oxidation states and electronegativities are tested as SMACT does, over pymatgen's common states.
    """
    chosen, neutral, ordered = oxidation_states(elements, amounts, *common_states())
    nearest, distance = phases.nearest(elements, amounts)
    formulas = phases.table["formula"]
    alike = analogues(elements, amounts, phases)
    return [
        pa.array(neutral),
        pa.array(ordered),
        ragged(pa.array(chosen[elements > 0], pa.int8()), elements > 0, neutral),
        kinds(elements),
        formulas.take(pa.array(nearest, mask=nearest < 0)).combine_chunks(),
        pa.array(distance, mask=nearest < 0),
        formulas.take(pa.array(alike, mask=alike < 0)).combine_chunks(),
        pa.array(stable_of_stoichiometry(elements, amounts, phases)),
    ]


def kinds(elements: np.ndarray) -> pa.Array:
    """(N,) lists of the `KINDS` that each row of atomic numbers (N, K) holds."""
    present = np.stack([np.isin(elements, list(kind)).any(axis=1) for kind in KINDS.values()], axis=1)
    return ragged(pa.array(list(KINDS)).take(pa.array(np.nonzero(present)[1])), present)
