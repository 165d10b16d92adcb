"""Structures relaxed with a universal potential (CHGNet, Deng et al., Nat. Mach. Intell. 5, 1031 (2023)).

Its energies are of the Materials Project's kind, so that only differences at one composition count here: they order the
structures of a candidate, and of each only relaxed ones are queued.
"""

import importlib
import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

from matscreen.engine.queue.decorate import Proposal
from matscreen.models.errors import InputError

STEPS = 100
"""Most steps of a relaxation; it is a start for DFT, not its end."""

FORCE = 0.1
"""eV/Å; where it stops."""


@dataclass(frozen=True)
class Relaxer:
    """Relaxes and orders the structures of one composition; see `load_chgnet`."""

    optimizer: Any

    def __call__(self, proposals: list[Proposal]) -> list[Proposal]:
        """Relaxed, those of the lowest energy first; one that breaks apart or fails comes last, as it was."""
        ordered = []
        for number, one in enumerate(proposals):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    told = self.optimizer.relax(one.structure, fmax=FORCE, steps=STEPS, verbose=False)
                    energy = float(told["trajectory"].energies[-1]) / len(one.structure)
                    relaxed = told["final_structure"]
                    if not (math.isfinite(energy) and 0.3 < relaxed.volume / one.structure.volume < 3):
                        raise ArithmeticError
                except (ArithmeticError, RuntimeError, ValueError):
                    ordered.append((math.inf, number, one))
                    continue
            ordered.append((energy, number, replace(one, structure=relaxed)))
        return [one for _, _, one in sorted(ordered, key=lambda item: item[:2])]


def load_chgnet() -> Relaxer:
    """CHGNet with the weights in its package; InputError if it is not installed."""
    try:
        chgnet = importlib.import_module("chgnet.model")
    except ImportError:
        raise InputError("--relax chgnet needs it: pip install 'matscreen[relax]'") from None
    potential = chgnet.CHGNet.load(verbose=False, use_device="cpu")
    return Relaxer(chgnet.StructOptimizer(potential, use_device="cpu"))
