"""What finished calculations say: VASP's vasprun.xml, Quantum ESPRESSO's XML, documents of a jobflow store."""

import json
import math
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Composition
from pymatgen.io.vasp import Vasprun

HARTREE_EV = 27.211386245988
"""CODATA 2018."""

LARGEST_FILE = 2_000_000_000
"""Bytes; of outputs that are read."""


class UnfinishedError(Exception):
    """A calculation that is not there, broken off, not converged, or of something else; the message says which."""


@dataclass(frozen=True)
class Calculated:
    """A finished calculation: composition of its cell, and total energy in eV of that cell."""

    composition: dict[str, float]
    energy_ev: float
    code: str

    @property
    def energy_ev_atom(self) -> float:
        """Total energy an atom."""
        return self.energy_ev / sum(self.composition.values())


def read_calculation(folder: Path) -> Calculated:
    """The finished calculation in a folder; UnfinishedError if there is none that can be trusted."""
    readers = (("vasprun.xml", _vasp), ("vasprun.xml.gz", _vasp), ("*.xml", _espresso), ("*.save/*.xml", _espresso))
    for pattern, read in readers:
        for file in sorted(folder.glob(pattern)):
            if file.stat().st_size > LARGEST_FILE:
                raise UnfinishedError(f"{file.name} is too large to be read")
            try:
                return _checked(read(file))
            except UnfinishedError:
                raise
            except Exception as error:  # half-written and foreign files break parsers in every way
                raise UnfinishedError(f"{file.name} cannot be read: {type(error).__name__}: {_line(error)}") from None
    if (folder / "outputs.json").is_file():
        try:
            return _checked(_document(json.loads((folder / "outputs.json").read_text())))
        except (ValueError, KeyError, TypeError) as error:
            raise UnfinishedError(f"outputs.json cannot be read: {type(error).__name__}: {_line(error)}") from None
    raise UnfinishedError("no output yet")


def _checked(found: Calculated) -> Calculated:
    if not math.isfinite(found.energy_ev) or not found.composition:
        raise UnfinishedError("its energy is not a number")
    return found


def _vasp(file: Path) -> Calculated:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Vasprun(file, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    if not run.converged_electronic or not run.converged_ionic:
        raise UnfinishedError(f"not converged ({'electrons' if not run.converged_electronic else 'ions'})")
    composition = run.final_structure.composition.get_el_amt_dict()
    return Calculated(dict(composition), float(run.final_energy), "vasp")


def _espresso(file: Path) -> Calculated:
    root = ElementTree.parse(file).getroot()
    output = root.find("output")
    if not root.tag.endswith("espresso") or output is None:
        raise UnfinishedError(f"{file.name} is no finished output of pw.x")
    for part in ("scf_conv", "opt_conv"):
        told = output.findtext(f"convergence_info/{part}/convergence_achieved")
        if told is not None and told.strip().lower() != "true":
            raise UnfinishedError(f"not converged ({'electrons' if part == 'scf_conv' else 'ions'})")
    if (root.findtext("exit_status") or root.findtext("status") or "0").strip() not in ("0",):
        raise UnfinishedError(f"pw.x ended with status {root.findtext('exit_status') or root.findtext('status')}")
    energy = output.findtext("total_energy/etot")
    counts: dict[str, float] = {}
    for atom in output.iterfind("atomic_structure/atomic_positions/atom"):
        symbol = atom.get("name", "").rstrip("0123456789")
        counts[symbol] = counts.get(symbol, 0) + 1
    if energy is None or not counts:
        raise UnfinishedError("it has no total energy")
    return Calculated(counts, float(energy) * HARTREE_EV, "qe")


def _document(document: dict[str, Any]) -> Calculated:
    """A task document as atomate2 writes it: `output` with `energy` (eV) and `structure`, or both at its top."""
    output = document.get("output") or document
    if isinstance(output.get("output"), dict):
        output = output["output"]
    sites = output["structure"]["sites"]
    counts: dict[str, float] = {}
    for site in sites:
        for species in site["species"]:
            counts[species["element"]] = counts.get(species["element"], 0) + species["occu"]
    Composition(counts)  # refuses what is no element
    return Calculated(counts, float(output["energy"]), "jobflow")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
