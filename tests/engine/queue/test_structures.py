"""Prototypes and what is decorated from them: known crystals, no twins, room for the atoms."""

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from matscreen.engine.queue.decorate import at_likely_volume, proposals
from matscreen.engine.queue.prototypes import Prototype, from_path, prototype
from matscreen.models.errors import InputError


@pytest.mark.parametrize(
    ("formula", "parent"),
    [
        ("CsCl", "CsCl"),
        ("KBr", "NaCl"),
        ("SrTiO3", "CaTiO3"),
        ("ZnAl2O4", "MgAl2O4"),
        ("CaF2", "CaF2"),
        ("NaFeO2", "NaCrS2"),
    ],
)
def test_the_structures_that_everybody_knows(formula: str, parent: str, known: tuple[Prototype, ...]) -> None:
    found = proposals(formula, known, 3)
    assert parent in {one.parent for one in found[:2]}
    for one in found:
        assert one.structure.composition.reduced_formula == Composition(formula).reduced_formula
    assert [one.likelihood or 0 for one in found] == sorted((one.likelihood or 0 for one in found), reverse=True)


def test_no_structure_comes_twice_and_none_is_squeezed(known: tuple[Prototype, ...]) -> None:
    found = proposals("LiFeO2", known, 8)
    assert len(found) > 3
    matcher = StructureMatcher()
    for i, one in enumerate(found):
        assert one.structure.is_valid(tol=1.0)
        assert not any(matcher.fit(one.structure, other.structure) for other in found[:i])
        assert 5 < one.structure.volume / len(one.structure) < 40


def test_a_sublattice_can_be_split() -> None:
    """The oxygens of a tetragonal perovskite are two orbits, one on the axis and two off it."""
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    perovskite = prototype("tetragonal", Structure(Lattice.tetragonal(3.9, 4.1), ["K", "Nb", "O", "O", "O"], sites))
    assert perovskite.orbits.max() == 3
    found = proposals("KTiO2F", [perovskite], 5)
    assert {one.structure.composition.reduced_formula for one in found} == {"KTiO2F"}
    assert found[0].structure.get_space_group_info()[0] == "P4/mmm"
    assert proposals("KTi2O2", [perovskite], 5)  # titanium on a site of oxygen, too
    assert proposals("KTiO", [perovskite], 5) == []


@pytest.mark.parametrize("formula", ["NaCCl", "H2CO"])
def test_elements_in_state_zero(formula: str, known: tuple[Prototype, ...]) -> None:
    """Carbon can balance as C⁰, which touches nothing of opposite charge."""
    found = proposals(formula, known, 2)
    assert found
    for one in found:
        assert one.structure.composition.reduced_formula == Composition(formula).reduced_formula


def test_volumes_of_the_prototypes_themselves(known: tuple[Prototype, ...]) -> None:
    """Structures as they were measured: hydrides, carbides, pnictides and metals among them."""
    off = [
        np.log(at_likely_volume(one.structure).volume / one.structure.volume)
        for one in known
        if len(one.structure.composition) > 1
    ]
    print(f"standard deviation of ln V {np.std(off):.2f}; {np.mean(np.abs(off) < 0.2):.0%} of {len(off)} within 0.2")
    assert np.std(off) < 0.3
    assert np.mean(np.abs(off) < 0.2) > 0.7


def test_a_hull_of_mixed_valence_has_room(known: tuple[Prototype, ...]) -> None:
    magnetite = proposals("Fe3O4", known, 1)[0].structure
    assert magnetite.volume / len(magnetite) == pytest.approx(10.6, rel=0.3)


def test_what_fits_no_prototype(known: tuple[Prototype, ...]) -> None:
    assert proposals("Li7Fe5O3F", known[:20], 3) == []


def test_volumes_are_those_of_crystals(known: tuple[Prototype, ...]) -> None:
    measured = {"NaCl": 22.4, "MgO": 9.3, "CsCl": 35.1, "CaF2": 13.6, "SrTiO3": 11.9, "NiAl": 12.0}  # Å³ an atom
    for formula, volume in measured.items():
        found = [one.structure.volume / len(one.structure) for one in proposals(formula, known, 4)]
        assert min(abs(own / volume - 1) for own in found) < 0.1


def test_prototypes_of_the_user(tmp_path: Path) -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    salt.to(filename=str(tmp_path / "salt.cif"))
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a nonsense\n")
    disordered = Structure(Lattice.cubic(3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    disordered.to(filename=str(tmp_path / "disordered.cif"))
    found, complaints = from_path(tmp_path)
    assert [one.name for one in found] == ["salt.cif"]
    assert len(found[0].structure) == 2
    assert len(complaints) == 2
    listed = tmp_path / "list.json"
    listed.write_text(
        json.dumps([salt.as_dict(), {"structure": salt.as_dict(), "material_id": "mp-1"}, {"@module": "os"}])
    )
    found, complaints = from_path(listed)
    assert len(found) == 2
    assert len(complaints) == 1
    for bad, said in ((tmp_path / "nowhere", "no such"), (tmp_path / "salt.txt", "neither")):
        if said == "neither":
            bad.write_text("{")
        with pytest.raises(InputError, match=said):
            from_path(bad)
