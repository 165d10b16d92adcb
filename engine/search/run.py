"""A search into a run directory: batch by batch, each kept, so that it goes on after anything."""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matscreen.engine import rundir, schema
from matscreen.engine.cluster import Job
from matscreen.engine.digested import intact, write_digested
from matscreen.engine.journal import Journal, journal, resources
from matscreen.engine.lock import locked
from matscreen.engine.pieces import CANDIDATES
from matscreen.engine.properties import Property, need_elements
from matscreen.engine.reference import PhaseTable
from matscreen.engine.rundir import NO_THRESHOLD, RunConfig, set_aside
from matscreen.engine.scan import Notice, Run, config_of, need_energies, reopen, versions
from matscreen.engine.screen import describe
from matscreen.engine.search import parzen
from matscreen.engine.search.goal import Goal, fresh, fulfilled, look, losses
from matscreen.engine.space import CompositionSpace
from matscreen.engine.summary import Tally, by_arity
from matscreen.models import Model
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically
from matscreen.models.latent.training import load as load_latent

LATENT = "composition"
NARROWEST = 0.1
"""Of the estimator's Gaussians: about what the decoder can tell apart, a third of a latent variable's deviation."""

SPARE = 4
"""Points suggested for each that is looked at: many stand for compositions that were seen."""

MOST, MOST_AT_ONCE = 50_000, 1000
"""Evaluations: every suggestion rests on all that was seen, so that a search is for thousands."""


@dataclass(frozen=True)
class Progress:
    """How far a search is: points looked at and in all, compositions that fulfil everything, and the best values."""

    done: int
    total: int
    found: int
    resumed: int
    best: tuple[float, ...]


Report = Callable[[Progress], None]


def search(
    space: CompositionSpace,
    model: Model,
    phases: PhaseTable,
    out: str | Path,
    objectives: Sequence[tuple[str, int]],
    properties: Sequence[Property] = (),
    threshold: float = NO_THRESHOLD,
    charge_neutral: bool = False,
    evaluations: int = 3000,
    batch: int = 50,
    seed: int = 0,
    report: Report = lambda _: None,
    notice: Notice = lambda _: None,
) -> Run:
    """Search the latent space of compositions for those with the least, or largest, of some property.

    A tree-structured Parzen estimator (`parzen`) suggests points; each stands for the composition of `space` nearest to
    what is decoded there (Korolev et al.). What was found before counts as one of the rest, which drives the search on.

    Parameters
    ----------
    out : the run directory to make; it must not exist or be empty
    objectives : (column, 1 to make it small or −1 large): properties, or hull_distance_ev_atom
    properties : predicted of all; what is found keeps their limits
    threshold : eV/atom that what is found lies below the hull; `NO_THRESHOLD` for no such limit
    charge_neutral : whether common oxidation states must balance it
    evaluations : points to look at
    batch : points that are suggested at a time
    seed : of all draws
    report : called after every batch
    notice : called with what people should know, in a line

    Returns
    -------
    A finished run like that of a scan, its candidates by rising loss; of several objectives, front by front.

    InputError for arguments that cannot be used; JobError if it stopped.
    """
    if not np.isfinite(threshold):
        raise InputError(f"threshold must be a finite number of eV/atom, not {threshold}")
    if not 1 <= evaluations <= MOST:
        raise InputError(f"evaluations must lie between 1 and {MOST:,}, not {evaluations:,}")
    if not 1 <= batch <= MOST_AT_ONCE:
        raise InputError(f"a batch must lie between 1 and {MOST_AT_ONCE:,} points, not {batch:,}")
    if evaluations > len(space):
        raise InputError(f"there are only {len(space):,} compositions: a scan looks at all of them")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must lie between 0 and {2**32 - 1}, not {seed}")
    need_energies(model, space)
    need_elements(properties, space.elements)
    latent = load_latent(LATENT)
    if unknown := sorted(set(space.elements) - set(ELEMNET_ELEMENTS)):
        raise InputError(f"the latent space does not know {', '.join(SYMBOLS[z] for z in unknown)}; exclude them")
    if space.require:
        raise InputError("a search takes no required elements")
    wanted = dict(objectives)
    goals = tuple(replace(one, goal=wanted.get(one.column, 0)) for one in properties)
    job = Job(space, model, phases, float(threshold), charge_neutral, True, goals)
    goal = Goal(job, latent, tuple(objectives))
    told = {
        "objectives": [list(one) for one in objectives],
        "evaluations": evaluations,
        "seed": seed,
        "latent": latent.card["weights_sha256"],
    }
    config = config_of(job, batch, told)
    path = Path(out)
    rundir.create(path, config, phases.table, versions())
    return _run(path, config, goal, report, notice)


def resume(path: str | Path, report: Report = lambda _: None, notice: Notice = lambda _: None) -> Run:
    """Continue the search at `path`; it ends with the bytes of an uninterrupted one. Errors as `scan.resume`."""
    path = Path(path)
    config = rundir.read_config(path)
    return _run(path, config, goal_of(config, reopen(path, config)), report, notice)


def goal_of(config: RunConfig, job: Job) -> Goal:
    """What the search of this configuration looks for; InputError if it is none, or its latent space is another."""
    latent = load_latent(LATENT)
    if config.search.get("latent") != latent.card["weights_sha256"]:
        raise InputError("the search was started with another latent space of compositions")
    return Goal(job, latent, tuple((name, sign) for name, sign in config.search["objectives"]))


def _run(path: Path, config: RunConfig, goal: Goal, report: Report, notice: Notice) -> Run:
    evaluations, batch, seed = config.search["evaluations"], config.chunk_size, config.search["seed"]
    known = set(goal.job.phases.table["formula"].to_pylist())
    try:
        with locked(path), journal(path) as log:
            log.write("opened", pid=os.getpid(), host=platform.node())
            (path / "trials").mkdir(exist_ok=True)
            trials = read_trials(path, config, goal)
            seen, last = [one for _, one in trials], trials[-1][0].name if trials else ""
            stale = set((path / "trials").iterdir()) - {file for file, _ in trials}
            for file in sorted(stale):  # damaged, or what followed on it
                set_aside(path, file)
            if stale:
                notice(f"{len(stale)} file(s) of trials cannot be trusted: moved to {path / 'rejected'}, done again")
            table = pa.concat_tables([goal.trials().empty_table(), *seen]).combine_chunks()
            points = np.array(table["point"].to_pylist()).reshape(-1, goal.dimensions)
            values, violations = losses(goal, table), _violations(table)
            found = set(table["id"].to_pylist())
            before = len(points)
            log.write("begun", done=before, total=evaluations, rejected=len(stale))
            started = time.perf_counter()
            report(_progress(goal, values, violations, evaluations, before))
            while len(points) < evaluations:
                number = len(seen)
                size = min(batch, evaluations - len(points))
                rng = np.random.default_rng([seed, number])  # so that a batch does not depend on interruptions
                asked = suggested(goal, size, points, values, violations, found, rng)
                one = look(goal, asked, len(points), found, known)
                told = {"matscreen": json.dumps({"fingerprint": config.fingerprint, "after": last})}
                last = write_digested(path / "trials", number, one.replace_schema_metadata(told)).name
                seen.append(one)
                points = np.concatenate([points, asked])
                values = np.concatenate([values, losses(goal, one)])
                violations = np.concatenate([violations, _violations(one)])
                state = _progress(goal, values, violations, evaluations, before)
                log.write(
                    "batch", number=number, start=state.done - size, stop=state.done, found=state.found, **resources()
                )
                report(state)
            _finish(path, config, goal, seen, len(points) - before, time.perf_counter() - started, log)
    except OSError as error:
        where = error.filename or path
        raise JobError(
            f"cannot write {where}: {error.strerror or error}; what is done is safe, then: matscreen resume {path}"
        ) from None
    except ArithmeticError as error:
        raise JobError(str(error)) from None
    return Run(path)


def suggested(
    goal: Goal,
    count: int,
    points: np.ndarray,
    values: np.ndarray,
    violations: np.ndarray,
    found: set[int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Points (count, D) that stand for compositions not seen yet; drawn evenly where there are too few of them."""
    many = parzen.suggest(points, values, SPARE * count, rng, violations, NARROWEST)
    chosen = many[fresh(goal, many, found)[:count]]
    return np.concatenate([chosen, rng.random((count - len(chosen), goal.dimensions))])


def _violations(seen: pa.Table) -> np.ndarray:
    """By how much limits are broken (N,); infinitely by what was found before."""
    return np.where(seen["repeated"].to_numpy(), np.inf, seen["violation"].to_numpy())


def _progress(goal: Goal, values: np.ndarray, violations: np.ndarray, total: int, before: int) -> Progress:
    kept = values[violations == 0].reshape(-1, len(goal.objectives))
    signs = [sign for _, sign in goal.objectives]
    best = tuple((signs * kept.min(axis=0)).tolist()) if len(kept) else ()
    return Progress(len(values), total, len(kept), before, best)


def read_trials(path: Path, config: RunConfig, goal: Goal) -> list[tuple[Path, pa.Table]]:
    """What the search at `path` saw: a file and its table a batch, up to the first that is damaged or missing.

    Each tells the name of the one before, so that none is taken that followed on something else.
    """
    files = {file.stem.partition("-")[0]: file for file in sorted((path / "trials").glob("*.parquet")) if intact(file)}
    found: list[tuple[Path, pa.Table]] = []
    done = 0
    while file := files.get(f"{len(found):06d}"):
        try:
            table = pq.read_table(file, partitioning=None)
            told = json.loads((table.schema.metadata or {})[b"matscreen"])
        except (pa.ArrowException, OSError, KeyError, ValueError):
            break
        following = {"fingerprint": config.fingerprint, "after": found[-1][0].name if found else ""}
        size = min(config.chunk_size, config.search["evaluations"] - done)
        if told != following or not table.schema.equals(goal.trials()) or not _sound(goal, table, done, size):
            break
        found.append((file, table.replace_schema_metadata(None)))
        done += size
    return found


def _sound(goal: Goal, table: pa.Table, first: int, size: int) -> bool:
    """Whether a batch has the points that it must have, compositions of the space, and numbers where there are some."""
    numbers = [table[field.name] for field in goal.trials() if not field.nullable and pa.types.is_floating(field.type)]
    ids = table["id"].to_numpy()
    return (
        table["number"].to_pylist() == list(range(first, first + size))
        and bool(((ids >= 0) & (ids < len(goal.job.space))).all())
        and all(np.isfinite(column.to_numpy()).all() for column in [*numbers, pc.list_flatten(table["point"])])
    )


def best_first(goal: Goal, seen: Sequence[pa.Table]) -> pa.Table:
    """Candidates of a search: what keeps every limit, described, the best first."""
    kept = fulfilled(goal, seen)
    values = losses(goal, kept)
    ids = kept["id"].to_numpy()
    order = np.lexsort((ids, values)) if values.ndim == 1 else parzen.ranked(values, len(values))
    kept = kept.take(pa.array(order))
    ids, elements, amounts = schema.composition_arrays(goal.job.space.take(kept["id"].to_numpy()))

    def column(name: str) -> np.ndarray:
        found: np.ndarray = kept[name].to_numpy(zero_copy_only=False).astype(np.float32)
        return found

    energies, uncertainties = column("formation_energy_ev_atom"), column("uncertainty_ev_atom")
    properties = {one.column: (column(one.column), column(f"{one.column}_spread")) for one in goal.job.properties}
    batch = describe(ids, elements, amounts, energies, uncertainties, goal.job.phases, properties)
    return pa.Table.from_batches([batch])


def _finish(
    path: Path, config: RunConfig, goal: Goal, seen: list[pa.Table], looked: int, seconds: float, log: Journal
) -> None:
    """Candidates and summary."""
    tally, table = Tally(), best_first(goal, seen)
    checksum = rundir.write_candidates(path, config.fingerprint, [tally.count(table)])
    trials = pa.concat_tables(seen)
    distinct = len(trials) - sum(trials["repeated"].to_pylist())
    summary: dict[str, Any] = {
        "compositions": len(goal.job.space),
        "screened": distinct,
        "points": len(trials),
        "known_compounds_among_them": sum(trials["known"].to_pylist()),
        "candidates": len(table),
        "by_arity": by_arity(goal.job.space, tally),
        "throughput": {"last_session_compositions": looked, "last_session_seconds": round(seconds, 3)},
        "candidates_sha256": checksum,
    }
    text = json.dumps(summary, indent=2) + "\n"
    write_atomically(path / "summary.json", lambda temporary: temporary.write_text(text))
    log.write("finished", seconds=round(seconds, 3), candidates=len(table))


def check(path: Path, config: RunConfig, job: Job) -> int:
    """How many batches the finished search at `path` has; JobError if its candidates are not what they saw."""
    goal = goal_of(config, job)
    seen = [one for _, one in read_trials(path, config, goal)]
    if sum(map(len, seen)) != config.search["evaluations"]:
        raise JobError(f"files of trials are damaged or missing; `matscreen resume {path}` mends the search")
    if not best_first(goal, seen).equals(rundir.read_candidates(path)):
        raise JobError(f"{path / CANDIDATES} does not hold what the search found")
    return len(seen)


def trace(path: Path, config: RunConfig, job: Job) -> list[dict[str, Any]]:
    """For each objective the numbers, values and formulas of what keeps every limit, in the order it was found."""
    goal = goal_of(config, job)
    kept = fulfilled(goal, [one for _, one in read_trials(path, config, goal)])
    return [
        {
            "name": name,
            "sign": sign,
            "numbers": kept["number"].to_pylist(),
            "values": kept[name].to_pylist(),
            "formulas": kept["formula"].to_pylist(),
        }
        for name, sign in goal.objectives
    ]
