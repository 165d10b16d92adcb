"""Check a finished run from scratch: its files, and a sample of its rows by code that the scan does not use."""

import itertools
import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from matscreen.engine import rundir, schema
from matscreen.engine.chemistry import is_charge_neutral
from matscreen.engine.cluster import Job
from matscreen.engine.lock import locked
from matscreen.engine.merge import merge
from matscreen.engine.pieces import CANDIDATES
from matscreen.engine.reference import PhaseTable
from matscreen.engine.rundir import RunConfig
from matscreen.engine.scan import reopen
from matscreen.engine.search.run import check
from matscreen.kernels import hull
from matscreen.models.errors import JobError
from matscreen.models.guard import ENERGY_TOLERANCE

HULL_TOLERANCE = 1e-7
"""eV/atom between the hull kernel and HiGHS, which meets its constraints to 1e-10."""

RELATIVE_TOLERANCE = 1e-4
"""Of the largest value of a property, between the float32 forward pass and the float64 reference."""

MOST_SIMPLICES = 50_000
"""Systems with more sets of phases than this are left to HiGHS; the definition would try them all."""


@dataclass(frozen=True)
class Verified:
    """What was checked, and the largest differences seen (eV/atom)."""

    chunks: int
    candidates: int
    sampled: int
    energy_error: float
    hull_error: float


def verify(path: Path, sample: int = 200, seed: int = 0, say: Callable[[str], None] = lambda _: None) -> Verified:
    """Check the run at `path`.

    Checksums of every file; that the candidates are those of the chunks; that `sample` candidates and `sample` other
    compositions of the space, computed again in float64 by the definitions (hulls of many phases by HiGHS), are what
    and where the run says.

    Raises
    ------
    JobError
        At the first thing that is not as it should be.
    InputError
        No finished run at `path`, its model is gone, or the file of its reference has changed.
    """
    config = rundir.read_config(path)
    candidates = rundir.open_candidates(path)
    job = reopen(path, config)
    with locked(path) if os.access(path, os.W_OK) else nullcontext():  # nobody works on what nobody can write
        chunks = check(path, config, job) if config.search else _check_chunks(path, config, job, candidates)
    say("files are whole; computing a sample again")

    generator = np.random.default_rng(seed)
    kept, kept_energy, kept_hull = (
        column.to_numpy()
        for column in candidates.read(columns=["id", "formation_energy_ev_atom", "hull_energy_ev_atom"]).columns
    )
    chosen = np.union1d(
        generator.choice(kept, min(sample, len(kept)), replace=False),
        generator.integers(0, len(job.space), 0 if config.search else sample),  # a search does not see the others
    )
    rows = [schema.composition_arrays(job.space.chunk(i, i + 1)) for i in chosen.tolist()]
    if not rows:
        return Verified(chunks, len(kept), 0, 0.0, 0.0)
    ids, elements, amounts = (np.concatenate(part) for part in zip(*rows, strict=True))
    energy = job.model.energies(elements, amounts, backend="reference").astype(np.float64)
    at_hull = _hull_energies(elements, amounts, job.phases)
    distance = energy - at_hull
    allowed = is_charge_neutral(elements, amounts) if config.charge_neutral else np.ones(len(ids), bool)
    certain = allowed.copy()  # what has the properties wanted, whatever rounding does
    known: dict[str, tuple[np.ndarray, float]] = {}
    for one in job.properties:
        values = one.values(elements, amounts, "reference")
        slack = RELATIVE_TOLERANCE * float(np.abs(values).max(initial=0))
        known[one.column] = values, slack
        allowed, certain = allowed & one.within(values, slack), certain & one.within(values, -slack)

    is_kept = np.isin(ids, kept)
    wrong = np.where(
        is_kept, distance > -config.threshold + ENERGY_TOLERANCE, distance < -config.threshold - ENERGY_TOLERANCE
    )
    wrong = np.where(is_kept, wrong | ~allowed, wrong & certain)
    for row in np.flatnonzero(wrong):
        what = "is a candidate" if is_kept[row] else "is not a candidate"
        wanted = ", and has not what was asked for" if not allowed[row] else ""
        lost = (
            " (one of the model's students, or a GPU, may have lost it: scan with --exact, without --gpu)"
            if not is_kept[row] and not job.exact
            else ""
        )
        raise JobError(
            f"{job.space[int(ids[row])]} {what}, but lies {distance[row]:.4f} eV/atom from the hull{lost}{wanted}"
        )

    by_id = np.argsort(kept)
    at = by_id[np.searchsorted(kept, ids[is_kept], sorter=by_id)]
    energy_error = np.abs(kept_energy[at] - energy[is_kept]).max(initial=0)
    hull_error = np.abs(kept_hull[at] - at_hull[is_kept]).max(initial=0)
    if energy_error > ENERGY_TOLERANCE or hull_error > HULL_TOLERANCE:
        raise JobError(
            f"energies differ by {energy_error:.2e} and hull energies by {hull_error:.2e} eV/atom from the sample"
        )
    for column, (values, slack) in known.items():
        told = candidates.read(columns=[column])[column].to_numpy()[at]
        if (error := np.abs(told - values[is_kept]).max(initial=0)) > slack:
            raise JobError(f"{column} differs by {error:.3g} from the sample")
    return Verified(chunks, len(kept), len(ids), float(energy_error), float(hull_error))


def _check_chunks(path: Path, config: RunConfig, job: Job, candidates: pq.ParquetFile) -> int:
    """How many chunks there are; JobError if one is damaged or missing, or the candidates are not theirs."""
    ranges = list(job.space.ranges(config.chunk_size))
    chunks = [rundir.read_chunk(file, config.fingerprint) for file in sorted((path / "chunks").glob("*.parquet"))]
    found = {c.number: (c.start, c.stop) for c in chunks if c}
    if None in chunks or found != dict(enumerate(ranges)):
        raise JobError(f"chunk files are damaged or missing; `matscreen resume {path}` mends the run")
    merged = merge([c.file for c in chunks if c])
    groups = (candidates.read_row_group(n).replace_schema_metadata(None) for n in range(candidates.num_row_groups))
    if not all(table.equals(group) for table, group in itertools.zip_longest(merged, groups)):
        raise JobError(f"{path / CANDIDATES} does not hold the candidates of the chunks")
    return len(chunks)


def _hull_energies(elements: np.ndarray, amounts: np.ndarray, phases: PhaseTable) -> np.ndarray:
    """Hull energies (N,) by code that shares nothing with the kernel of the scan."""
    from scipy.optimize import linprog  # takes a third of a second to load

    sets = [frozenset(row) for row in phases.table["elements"].to_pylist()]
    fractions = phases.table["fractions"].to_pylist()
    energies = phases.table["formation_energy_ev_atom"].to_numpy()
    result = np.empty(len(elements))
    for row, (own, atoms) in enumerate(zip(elements.tolist(), amounts.tolist(), strict=True)):
        system = [z for z in own if z]
        k = len(system)
        within = [p for p, labels in enumerate(sets) if len(labels) > 1 and labels <= set(system)]
        known = np.zeros((len(within), k))
        for place, p in enumerate(within):
            known[place, [system.index(z) for z in sorted(sets[p])]] = fractions[p]
        x = np.array(atoms[:k]) / sum(atoms)
        if math.comb(len(within) + k, k) <= MOST_SIMPLICES:
            result[row] = hull.hull_energy(x[None], known, energies[within], backend="reference")[0]
        else:
            costs = np.concatenate([np.zeros(k), energies[within]])
            tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
            columns = np.concatenate([np.eye(k), known]).T
            result[row] = linprog(costs, A_eq=columns, b_eq=x, method="highs", options=tight).fun
    return result
