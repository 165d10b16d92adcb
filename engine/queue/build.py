"""A queue from a run: the best candidates, a few structures of each, inputs, and the manifest, all or nothing."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matscreen.engine.queue.decorate import Proposal, proposals
from matscreen.engine.queue.inputs import Writer
from matscreen.engine.queue.manifest import Manifest, write_manifest, write_structures
from matscreen.engine.queue.prototypes import Prototype
from matscreen.models.errors import InputError

Report = Callable[[int, int], None]
Ranker = Callable[[list[Proposal], float], list[Proposal]]

TRIES = 4
"""Structures proposed for each that is kept, where a potential ranks them."""


def build_queue(
    candidates: list[dict[str, Any]],
    run: Path,
    fingerprint: str,
    prototypes: list[Prototype],
    out: Path,
    code: str,
    write_input: Writer,
    structures: int = 3,
    rank: Ranker | None = None,
    report: Report = lambda done, total: None,
) -> tuple[Manifest, dict[str, str]]:
    """Write the queue of a run's candidates (rows of `schema.CANDIDATES`, best first) to `out`.

    Parameters
    ----------
    run, fingerprint : its folder, and what it is known by
    code : what the inputs are for, as the manifest says
    write_input : puts them into an entry's folder
    structures : most of each candidate
    rank : orders structures of a composition, whose hull energy (eV/atom) it is told too, by more than likelihood

    Returns
    -------
    The manifest, and {formula: why} of candidates that have no entry.

    InputError if `out` is there already or no structure is found at all; nothing is left behind then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is already there and not empty: give another --out")
    found: list[tuple[int, dict[str, Any], list[Proposal]]] = []
    without: dict[str, str] = {}
    for number, row in enumerate(candidates, start=1):
        proposed = proposals(row["formula"], prototypes, structures * (TRIES if rank else 1))
        proposed = rank(proposed, row["hull_energy_ev_atom"])[:structures] if rank and proposed else proposed
        if proposed:
            found.append((number, row, proposed))
        else:
            without[row["formula"]] = "no prototype has room for them; --prototypes takes more"
        report(number, len(candidates))
    if not found:
        raise InputError("no prototype fits any of these candidates; give more structures with --prototypes")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        entries = []
        for entry, structure in write_structures(made, found):
            try:
                write_input(structure, made / entry.folder)
                entries.append(entry)
            except InputError as error:  # of this compound's elements, say: the others are none the worse for it
                without[entry.formula] = str(error)
                shutil.rmtree(made / entry.folder)
        if not entries:
            raise InputError(next(iter(without.values())))
        for folder in made.iterdir():
            if not any(folder.iterdir()):
                folder.rmdir()
        manifest = Manifest(str(run.resolve()), fingerprint, code, tuple(entries))
        write_manifest(made, manifest)
        if out.exists():
            out.rmdir()
        made.chmod(0o755)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return manifest, without
