"""Crystal structures to decorate: AFLOW's library of prototypes as pymatgen ships it, and what the user has."""

import functools
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matscreen.models.errors import InputError

MOST_SITES = 80
"""Atoms of the largest prototype used; DFT of more is no job for a screening queue."""

LARGEST_FILE = 20_000_000
"""Bytes."""

SYMMETRY_TOLERANCE = 0.01
"""Å; of positions, when symmetry-equivalent sites are looked for."""


@dataclass(frozen=True)
class Prototype:
    """A structure whose sites other elements may take.

    Attributes
    ----------
    name : as its library or file calls it
    structure : as it is known, primitive
    orbits : (sites,) int64, number of each site's set of symmetry-equivalent sites, from 0
    """

    name: str
    structure: Structure
    orbits: np.ndarray


def prototype(name: str, structure: Structure) -> Prototype:
    """The prototype that an ordered structure is; ValueError for a disordered or too large one."""
    if len(structure) > 8 * MOST_SITES:  # a conventional cell is up to four primitive ones
        raise ValueError(f"it has {len(structure)} atoms, more than {8 * MOST_SITES}")
    if not structure.is_ordered:
        raise ValueError("its sites are not each taken by one element")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        primitive = SpacegroupAnalyzer(structure, SYMMETRY_TOLERANCE).get_primitive_standard_structure()
        if not 1 <= len(primitive) <= MOST_SITES:
            raise ValueError(f"it has {len(primitive)} atoms in its primitive cell, more than {MOST_SITES}")
        equivalent = SpacegroupAnalyzer(primitive, SYMMETRY_TOLERANCE).get_symmetry_dataset().equivalent_atoms
    orbits: np.ndarray = np.unique(equivalent, return_inverse=True)[1].astype(np.int64)
    return Prototype(name, primitive.remove_oxidation_states(), orbits)


@functools.cache
def aflow() -> tuple[Prototype, ...]:
    """The prototypes of AFLOW that pymatgen ships (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)); takes seconds."""
    try:
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
    except ImportError:  # pymatgen-core, which scans make do with, has no prototypes
        raise InputError("AFLOW's prototypes come with all of pymatgen: pip install 'matscreen[queue]'") from None
    found = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure, tags = entry["snl"].structure, entry["tags"]
        if len(structure) > MOST_SITES:
            continue
        mineral = f" ({tags['mineral']})" if tags["mineral"] else ""
        found.append(prototype(tags["aflow"] + mineral, structure))
    return tuple(found)


def from_path(path: Path) -> tuple[list[Prototype], list[str]]:
    """Prototypes of a folder of CIF files or a JSON file of structures, and a line for each that cannot be used.

    The JSON is a list of what pymatgen's `Structure.as_dict` gives, or of Materials Project documents that hold such
    under `structure`. InputError if nothing is there.
    """
    if path.is_dir():
        named = [(file.name, file) for file in sorted(path.iterdir()) if file.suffix.lower() == ".cif"]
        if not named:
            raise InputError(f"{path} holds no .cif files")
        return _collect((name, _read_cif, file) for name, file in named)
    if path.suffix.lower() == ".cif" and path.is_file():
        return _collect([(path.name, _read_cif, path)])
    try:
        if path.stat().st_size > 50 * LARGEST_FILE:
            raise InputError(f"{path} is too large to be a list of structures")
        listed = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"no such file or folder: {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is neither a folder of CIF files nor a JSON list of structures: {error}") from None
    if not isinstance(listed, list):
        raise InputError(f"{path} holds no list of structures")
    return _collect((f"{path.name} {number}", _from_dict, given) for number, given in enumerate(listed, start=1))


def _collect(sources: Any) -> tuple[list[Prototype], list[str]]:
    found, complaints = [], []
    for name, read, given in sources:
        try:
            found.append(prototype(name, read(given)))
        except Exception as error:  # parsers of crystal files raise whatever they meet
            complaints.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return found, complaints


def _read_cif(file: Path) -> Structure:
    if file.stat().st_size > LARGEST_FILE:
        raise ValueError("the file is too large for a crystal")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Structure.from_file(file)


def _from_dict(given: dict[str, Any]) -> Structure:
    return Structure.from_dict(given.get("structure", given))
