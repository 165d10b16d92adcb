"""Results back into the run: formation energies of what was calculated, beside the reference phases."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Composition

from matscreen.engine import rundir
from matscreen.engine.computed import add_computed, computed_ids
from matscreen.engine.lock import locked
from matscreen.engine.queue.manifest import Entry, Manifest, Status, read_manifest, settled, write_manifest
from matscreen.engine.queue.results import Calculated, UnfinishedError, read_calculation, read_store
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError
from matscreen.models.formula import element
from matscreen.models.tables import number_column, read_columns, text_column


@dataclass(frozen=True)
class Ingested:
    """What came of each entry: (formula, folder, formation energy in eV/atom) done, (formula, folder, reason) not."""

    done: list[tuple[str, str, float]]
    left: list[tuple[str, str, str]]


def ingest(queue: Path, elements: Path, run: Path | None = None, store: Path | None = None) -> Ingested:
    """Read every entry of the queue that is not done, and add the finished ones to its run's `computed.parquet`.

    Parameters
    ----------
    elements : CSV or Parquet file with `element` and `energy_ev_atom`, total energies of the elements as the same code
        and settings give them
    run : where the run lies now, if not where it was when the queue was made
    store : documents of a jobflow store (`results.read_store`), which tell of an entry before its folder does

    InputError if the queue, its run or the elements cannot be used. What is unfinished, broken or of another compound
    stays queued, with the reason in the manifest.
    """
    run = run or Path(read_manifest(queue).run)
    references = read_elements(elements)
    stored = read_store(store) if store else {}
    fingerprint = rundir.read_config(run).fingerprint  # first: a lock makes and removes files, in a run alone
    with locked(run):
        manifest = read_manifest(queue)
        if fingerprint != manifest.fingerprint:
            raise InputError(f"{queue} was made from another run than {run}")
        return _ingest(queue, manifest, references, run, stored)


def _ingest(
    queue: Path,
    manifest: Manifest,
    references: dict[str, float],
    run: Path,
    stored: dict[str, Calculated | UnfinishedError],
) -> Ingested:
    known = {source.partition("/")[2] for source in computed_ids(run)}  # the queue may have been renamed
    finished: dict[str, tuple[str, float]] = {}
    done, left = [], []
    states: dict[str, tuple[Status, str]] = {}
    for entry in manifest.entries:
        own = f"{entry.folder}/{entry.structure_sha256[:8]}"
        if entry.status == "done" and own in known:  # else the run has lost it, and it is read once more
            continue
        try:
            _as_queued(queue, entry)
            calculated = stored.get(entry.folder) or read_calculation(queue / entry.folder)
            if isinstance(calculated, UnfinishedError):
                raise calculated
            if manifest.code in ("vasp", "qe", "jobflow") and calculated.code != manifest.code:
                raise UnfinishedError(f"a result of {calculated.code} in a queue for {manifest.code}")
            energy = formation_energy(calculated, entry.formula, references)
        except UnfinishedError as error:
            (queue / entry.folder / "finished").unlink(missing_ok=True)  # of the SLURM script: it runs again
            states[entry.folder] = ("queued", str(error))
            left.append((entry.formula, entry.folder, str(error)))
            continue
        finished[f"{queue.resolve().name}/{own}"] = (entry.formula, energy)
        states[entry.folder] = ("done", "")
        done.append((entry.formula, entry.folder, energy))
    if finished:
        add_computed(run, finished)
    write_manifest(queue, settled(manifest, states))
    return Ingested(done, left)


def read_elements(path: Path) -> dict[str, float]:
    """{symbol: total energy in eV/atom}."""
    table = read_columns(path, ("element", "energy_ev_atom"))
    symbols = text_column(table, "element", path)
    for row, symbol in enumerate(symbols, start=1):
        if symbol not in ATOMIC_NUMBERS:
            try:
                element(symbol or "")
            except InputError as error:
                raise InputError(f"{path}: row {row}: {error}") from None
    energies = number_column(table, "energy_ev_atom", symbols, path)
    if len(set(symbols)) < len(symbols):
        raise InputError(f"{path}: {next(s for s in symbols if symbols.count(s) > 1)} is there more than once")
    return dict(zip(symbols, energies.tolist(), strict=True))


def formation_energy(calculated: Calculated, formula: str, references: dict[str, float]) -> float:
    """eV/atom relative to the elements; UnfinishedError for a calculation of another composition than `formula`.

    InputError where an element has no reference.
    """
    own = Composition(calculated.composition)
    if not own.fractional_composition.almost_equals(Composition(formula).fractional_composition, rtol=1e-6):
        raise UnfinishedError(f"its output is of {own.reduced_formula}, not of {formula}")
    if missing := [symbol for symbol in calculated.composition if symbol not in references]:
        raise InputError(f"the elements' energies have none for {', '.join(missing)}")
    atoms = sum(calculated.composition.values())
    at_elements = sum(n * references[symbol] for symbol, n in calculated.composition.items()) / atoms
    energy = calculated.energy_ev_atom - at_elements
    if not math.isfinite(energy) or abs(energy) > 20:
        raise UnfinishedError(f"{energy:.3g} eV/atom is no formation energy: other settings than of the elements?")
    return energy


def _as_queued(queue: Path, entry: Entry) -> None:
    """The structure that was queued is still there: a folder that holds another is not this entry's."""
    file = queue / entry.folder / "structure.cif"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UnfinishedError(f"structure.cif: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != entry.structure_sha256:
        raise UnfinishedError("structure.cif is not the one that was queued")
