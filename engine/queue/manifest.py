"""The queue's ledger, `manifest.json`: which structure belongs to which candidate, how far its calculation is."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from matscreen.engine.queue.decorate import Proposal
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.formula import parse_formula

Status = Literal["queued", "done"]
STATUSES = get_args(Status)
FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One structure of one candidate.

    Attributes
    ----------
    folder : of its calculation, below the queue's
    candidate : number of the composition in the run's space
    formula : reduced
    rank : of the candidate in the list that was queued, from 1
    hull_distance_ev_atom : predicted
    prototype, parent, likelihood, above_hull_ev_atom : see `decorate.Proposal`
    structure_sha256 : of its `structure.cif`
    status : queued or done; what was found unfinished is queued with a `reason`
    """

    folder: str
    candidate: int
    formula: str
    rank: int
    hull_distance_ev_atom: float
    prototype: str
    parent: str
    likelihood: float | None
    above_hull_ev_atom: float | None
    structure_sha256: str
    status: Status = "queued"
    reason: str = ""


@dataclass(frozen=True)
class Manifest:
    """A queue: of which run (its folder then, and its fingerprint), for which code, and its entries."""

    run: str
    fingerprint: str
    code: str
    entries: tuple[Entry, ...]


def write_structures(
    out: Path, candidates: Iterable[tuple[int, dict[str, Any], list[Proposal]]]
) -> list[tuple[Entry, Structure]]:
    """Make a folder with `structure.cif` for every structure of (rank, row of `schema.CANDIDATES`, structures)."""
    entries = []
    for rank, row, found in candidates:
        for number, one in enumerate(found, start=1):
            folder = f"{rank:04d}-{row['formula']}/{number}"
            (out / folder).mkdir(parents=True)
            cif = str(CifWriter(one.structure))
            (out / folder / "structure.cif").write_text(cif)
            entry = Entry(
                folder,
                row["id"],
                row["formula"],
                rank,
                round(row["hull_distance_ev_atom"], 6),
                one.prototype,
                one.parent,
                one.likelihood,
                one.above_hull_ev_atom,
                hashlib.sha256(cif.encode()).hexdigest(),
            )
            entries.append((entry, one.structure))
    return entries


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, whole or not at all."""
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1) + "\n"
    write_atomically(out / "manifest.json", lambda temporary: temporary.write_text(text))


def read_manifest(queue: Path) -> Manifest:
    """The ledger of the queue; InputError if there is none or it cannot be used."""
    try:
        told = json.loads((queue / "manifest.json").read_text())
        if told["format"] != FORMAT:
            raise ValueError(f"its format is {told['format']}, this version reads {FORMAT}")
        for entry in told["entries"]:
            _check(entry)
        manifest = Manifest(
            str(told["run"]),
            str(told["fingerprint"]),
            str(told["code"]),
            tuple(Entry(**entry) for entry in told["entries"]),
        )
    except FileNotFoundError:
        raise InputError(f"{queue} is no queue: it has no manifest.json") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{queue / 'manifest.json'} cannot be used: {type(error).__name__}: {error}") from None
    return manifest


def _check(entry: dict[str, Any]) -> None:
    """ValueError for an entry whose values are not what `Entry` says; a manifest may come from anywhere."""
    texts = ("folder", "formula", "prototype", "parent", "structure_sha256", "status", "reason")
    numbers = ("candidate", "rank", "hull_distance_ev_atom")
    if not all(isinstance(entry[name], str) for name in texts) or not all(
        isinstance(entry[name], int | float) for name in numbers
    ):
        raise ValueError(f"an entry has values of the wrong kind: {str(entry)[:80]}")
    if not all(isinstance(entry[name], float | int | None) for name in ("likelihood", "above_hull_ev_atom")):
        raise ValueError(f"likelihood and energy of {entry['folder']!r} are no numbers")
    parse_formula(entry["formula"])
    path = PurePosixPath(entry["folder"])
    if path.is_absolute() or ".." in path.parts or "\0" in entry["folder"] or entry["status"] not in STATUSES:
        raise ValueError(f"{entry['folder']!r} is no folder of this queue")


def settled(manifest: Manifest, found: dict[str, tuple[Status, str]]) -> Manifest:
    """The manifest with the (status, reason) of folders changed."""
    entries = (
        replace(e, status=found[e.folder][0], reason=found[e.folder][1]) if e.folder in found else e
        for e in manifest.entries
    )
    return replace(manifest, entries=tuple(entries))
