"""Structures relaxed with a potential: their order, and how far above the hull."""

import math
from typing import Any

import pytest
from pymatgen.core import Structure

from matscreen.engine.queue.decorate import proposals
from matscreen.engine.queue.prototypes import Prototype
from matscreen.engine.queue.relax import Relaxer, load_chgnet


class Squeezer:
    """A potential of a kind: an atom's energy is its volume's distance from 12 Å³, where each structure relaxes to."""

    def relax(self, structure: Structure, **_: Any) -> dict[str, Any]:
        if len(structure) > 40:
            raise ValueError("too large")
        relaxed = structure.copy()
        relaxed.scale_lattice(12.0 * len(structure))
        energy = abs(structure.volume / len(structure) - 12) * len(structure)
        if structure.volume < 4 * len(structure):
            raise RuntimeError("too dense")
        return {"final_structure": relaxed, "trajectory": type("Trajectory", (), {"energies": [energy]})}


def test_relaxed_structures_come_by_energy_and_tell_of_the_hull(known: tuple[Prototype, ...]) -> None:
    given = proposals("LiFeS2", known, 6)
    relaxer = Relaxer(Squeezer(), known)
    found = relaxer(given, -1.5)
    relaxed = [one for one in found if one.above_hull_ev_atom is not None]
    assert len(relaxed) > 1
    assert all(one.structure.volume / len(one.structure) == pytest.approx(12) for one in relaxed)
    assert [one.above_hull_ev_atom for one in relaxed] == sorted(one.above_hull_ev_atom for one in relaxed)
    before = {one.prototype: abs(one.structure.volume / len(one.structure) - 12) for one in given}
    at_elements = (relaxer.elements["Li"] + relaxer.elements["Fe"] + 2 * relaxer.elements["S"]) / 4
    assert relaxed[0].above_hull_ev_atom == pytest.approx(before[relaxed[0].prototype] - at_elements + 1.5, abs=1e-3)
    assert len(found) == len(given)
    assert math.isnan(relaxer._element("F"))  # of which no prototype is


def test_chgnet_puts_rock_salt_first(known: tuple[Prototype, ...]) -> None:
    pytest.importorskip("chgnet", reason="needs chgnet (pip install 'matscreen[relax]')")
    small = [one for one in proposals("NaCl", known, 4) if len(one.structure) <= 4]
    found = load_chgnet(known)(small, -2.1)
    assert found[0].parent == "NaCl"
    assert found[0].above_hull_ev_atom == pytest.approx(0, abs=0.2)
