"""Structures relaxed with a universal potential (CHGNet, Deng et al., Nat. Mach. Intell. 5, 1031 (2023)).

It orders the structures of a candidate, and says how far above the hull of the reference each lies: the potential's
energy relative to the elements, which are relaxed with it too. Reference and potential learnt from different settings
of DFT, so that this is a guide to some 0.1 eV/atom; differences between structures of one composition are better.
"""

import importlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pymatgen.core import Element, Structure

from matscreen.engine.queue.decorate import Proposal, proposals
from matscreen.engine.queue.prototypes import Prototype
from matscreen.models.errors import InputError

STEPS = 100
"""Most steps of a relaxation; it is a start for DFT, not its end."""

FORCE = 0.1
"""eV/Å; where it stops."""

OF_ELEMENTS = 4
"""Structures of other elements that are tried for a metal, those of its neighbours in Mendeleev's order first."""

LOWEST = -14.0
"""eV/atom; tungsten, the lowest of the elements, is at −13. What comes out lower is the potential's mistake."""


@dataclass(frozen=True)
class Relaxer:
    """Relaxes and orders the structures of one composition; see `load_chgnet`.

    Attributes
    ----------
    optimizer : has `relax`, as CHGNet's StructOptimizer
    prototypes : for the elements
    elements : eV/atom, of those that were asked for so far
    """

    optimizer: Any
    prototypes: Sequence[Prototype]
    elements: dict[str, float] = field(default_factory=dict)

    def __call__(self, found: list[Proposal], hull_energy: float) -> list[Proposal]:
        """Relaxed, those of the lowest energy first; one that breaks apart or fails comes last, as it was."""
        ordered = []
        for number, one in enumerate(found):
            relaxed = self._relaxed(one.structure)
            if relaxed is None:
                ordered.append((math.inf, number, one))
                continue
            structure, energy = relaxed
            counts = structure.composition.get_el_amt_dict()
            at_elements = sum(n * self._element(symbol) for symbol, n in counts.items()) / sum(counts.values())
            above = energy - at_elements - hull_energy
            told = round(above, 4) if math.isfinite(above) else None
            ordered.append((energy, number, replace(one, structure=structure, above_hull_ev_atom=told)))
        return [one for _, _, one in sorted(ordered, key=lambda item: item[:2])]

    def _element(self, symbol: str) -> float:
        """eV/atom, the lowest of its own structures among the prototypes and, for a metal, of others' too; or NaN.

        Molecules of other elements are no guide: fluorine in the structure of oxygen is far outside what was learnt.
        """
        if symbol not in self.elements:
            tried = [one.structure for one in self.prototypes if one.structure.chemical_system == symbol]
            if Element(symbol).is_metal:
                tried += [one.structure for one in proposals(symbol, self.prototypes, OF_ELEMENTS)]
            energies = [relaxed[1] for relaxed in map(self._relaxed, tried) if relaxed]
            self.elements[symbol] = min((e for e in energies if e > LOWEST), default=math.nan)
        return self.elements[symbol]

    def _relaxed(self, structure: Structure) -> tuple[Structure, float] | None:
        """The relaxed structure and its energy in eV/atom; None if it breaks apart or fails."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                told = self.optimizer.relax(structure, fmax=FORCE, steps=STEPS, verbose=False)
            except (ArithmeticError, RuntimeError, ValueError):
                return None
        energy, relaxed = float(told["trajectory"].energies[-1]) / len(structure), told["final_structure"]
        sound = math.isfinite(energy) and 0.3 < relaxed.volume / structure.volume < 3
        return (relaxed, energy) if sound else None


def load_chgnet(prototypes: Sequence[Prototype]) -> Relaxer:
    """CHGNet with the weights in its package; InputError if it is not installed."""
    try:
        chgnet = importlib.import_module("chgnet.model")
    except ImportError:
        raise InputError("--relax chgnet needs it: pip install 'matscreen[relax]'") from None
    potential = chgnet.CHGNet.load(verbose=False, use_device="cpu")
    return Relaxer(chgnet.StructOptimizer(potential, use_device="cpu"), prototypes)
