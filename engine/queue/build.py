"""A queue from a run: the best candidates, a few structures of each, inputs, and the manifest, all or nothing."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matscreen.engine.queue.decorate import Proposal, proposals
from matscreen.engine.queue.inputs import Writer
from matscreen.engine.queue.manifest import Manifest, write_manifest, write_structures
from matscreen.engine.queue.prototypes import Prototype
from matscreen.models.errors import InputError

Report = Callable[[int, int], None]
Ranker = Callable[[list[Proposal]], list[Proposal]]

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
) -> tuple[Manifest, list[str]]:
    """Write the queue of a run's candidates (rows of `schema.CANDIDATES`, best first) to `out`.

    Parameters
    ----------
    run, fingerprint : its folder, and what it is known by
    code : what the inputs are for, as the manifest says
    write_input : puts them into an entry's folder
    structures : most of each candidate
    rank : orders structures by more than their likelihood, for instance by an energy

    Returns
    -------
    The manifest, and the formulas that no prototype fits: those have no entry.

    InputError if `out` is there already or no structure is found at all; nothing is left behind then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is already there and not empty: give another --out")
    found, without = [], []
    for number, row in enumerate(candidates, start=1):
        proposed = proposals(row["formula"], prototypes, structures * (TRIES if rank else 1))
        proposed = rank(proposed)[:structures] if rank and proposed else proposed
        if proposed:
            found.append((number, row, proposed))
        else:
            without.append(row["formula"])
        report(number, len(candidates))
    if not found:
        raise InputError("no prototype fits any of these candidates; give more structures with --prototypes")
    made = out.with_name(f".{out.name}.part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        entries = write_structures(made, found)
        for entry, structure in entries:
            write_input(structure, made / entry.folder)
        manifest = Manifest(str(run.resolve()), fingerprint, code, tuple(entry for entry, _ in entries))
        write_manifest(made, manifest)
        if out.exists():
            out.rmdir()
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return manifest, without
