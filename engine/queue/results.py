"""What finished calculations say: VASP's vasprun.xml, Quantum ESPRESSO's XML, the documents of a jobflow store."""

import gzip
import json
import math
import re
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.io.vasp import Vasprun

from matscreen.engine.queue.flows import FOLDER
from matscreen.engine.queue.inputs import QE_PREFIX
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError

HARTREE_EV = 27.211386245988
"""CODATA 2018."""

LARGEST_FILE = 200_000_000
"""Bytes, unpacked; of outputs that are read, each of which takes some ten times as much memory."""


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
    readers = (("vasprun.xml", _vasp), ("vasprun.xml.gz", _vasp), (f"{QE_PREFIX}.xml", _espresso), ("*.xml", _espresso))
    for pattern, read in readers:
        for file in sorted(folder.glob(pattern)):
            try:
                if _size(file) > LARGEST_FILE:
                    raise UnfinishedError(f"{file.name} is too large to be read")
                return _checked(read(file))
            except UnfinishedError:
                raise
            except Exception as error:  # half-written and foreign files break parsers in every way
                raise UnfinishedError(f"{file.name} cannot be read: {type(error).__name__}: {_line(error)}") from None
    raise UnfinishedError("no output yet")


def read_store(path: Path) -> dict[str, Calculated | UnfinishedError]:
    """What the documents of a jobflow store say of each folder that their metadata name: the last that has an energy.

    path : a JSON list of documents, as maggma's JSONStore keeps it. InputError if it is none
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} is too large to be read")
        documents = json.loads(path.read_text())
        if not isinstance(documents, list):
            raise ValueError("it holds no list")
    except FileNotFoundError:
        raise InputError(f"no such file: {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no store of documents in JSON: {_line(error)}") from None
    found: dict[str, Calculated | UnfinishedError] = {}
    for document in sorted((d for d in documents if isinstance(d, dict)), key=lambda d: str(d.get("completed_at"))):
        metadata = document.get("metadata")
        folder = metadata.get(FOLDER) if isinstance(metadata, dict) else None
        if not isinstance(folder, str):
            continue
        try:
            found[folder] = _checked(_document(document))
        except UnfinishedError as error:
            found[folder] = error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            earlier = found.get(folder)
            if not isinstance(earlier, Calculated):  # jobs of a flow that calculate nothing follow one that did
                found[folder] = UnfinishedError(f"its document has no energy: {type(error).__name__}: {_line(error)}")
    return found


def _size(file: Path) -> int:
    """Bytes, unpacked; counted no further than beyond `LARGEST_FILE`."""
    if file.suffix != ".gz":
        return file.stat().st_size
    size = 0
    with gzip.open(file) as stream:
        while size <= LARGEST_FILE and (block := stream.read(2**20)):
            size += len(block)
    return size


def _checked(found: Calculated) -> Calculated:
    if not math.isfinite(found.energy_ev) or not found.composition:
        raise UnfinishedError("its energy is not a number")
    if unknown := [symbol for symbol in found.composition if symbol not in ATOMIC_NUMBERS]:
        raise UnfinishedError(f"{unknown[0]!r} in it is no element")
    if not all(isinstance(n, int | float) and 0 < n < math.inf for n in found.composition.values()):
        raise UnfinishedError("its composition is none")
    return found


def _vasp(file: Path) -> Calculated:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = Vasprun(file, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    if run.is_hubbard:
        raise UnfinishedError("it has a Hubbard U, which the elements' energies cannot have: take LDAU out")
    if not run.converged_electronic or not run.converged_ionic:
        raise UnfinishedError(f"not converged ({'electrons' if not run.converged_electronic else 'ions'})")
    composition = run.final_structure.composition.get_el_amt_dict()
    return Calculated(dict(composition), float(run.final_energy), "vasp")


def _espresso(file: Path) -> Calculated:
    root = ElementTree.parse(file).getroot()
    output = root.find("output")
    if not root.tag.endswith("espresso") or output is None:
        raise UnfinishedError(f"{file.name} is no finished output of pw.x")
    relaxed = "relax" in (root.findtext("input/control_variables/calculation") or "")
    for part in ("scf_conv", *(("opt_conv",) if relaxed else ())):
        told = output.findtext(f"convergence_info/{part}/convergence_achieved")
        if told is None or told.strip().lower() != "true":
            raise UnfinishedError(f"not converged ({'electrons' if part == 'scf_conv' else 'ions'})")
    status = (root.findtext("exit_status") or root.findtext("status") or "missing").strip()  # by version
    if status != "0":
        raise UnfinishedError(f"pw.x ended with status {status}")
    energy = output.findtext("total_energy/etot")
    counts: dict[str, float] = {}
    for atom in output.iterfind("atomic_structure/atomic_positions/atom"):
        label = re.match(r"[A-Z][a-z]?", atom.get("name", ""))  # Fe1, Fe_up and the like are iron
        symbol = label[0] if label else ""
        counts[symbol] = counts.get(symbol, 0) + 1
    if energy is None or not counts:
        raise UnfinishedError("it has no total energy")
    return Calculated(counts, float(energy) * HARTREE_EV, "qe")


def _document(document: dict[str, Any]) -> Calculated:
    """A job's document: its `output`, or the `output` in it (atomate2's tasks), has `energy` (eV) and `structure`."""
    if document.get("state", document["output"].get("state", "successful")) != "successful":
        raise UnfinishedError("its task is not marked successful")
    output = document["output"]
    if isinstance(output.get("output"), dict):
        output = output["output"]
    sites = output["structure"]["sites"]
    counts: dict[str, float] = {}
    for site in sites:
        for species in site["species"]:
            counts[str(species["element"])] = counts.get(str(species["element"]), 0) + species["occu"]
    return Calculated(counts, float(output["energy"]), "jobflow")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
