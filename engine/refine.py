"""From the best candidates of a run to compositions between the grid's: up the gradient, then to whole atoms again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import rundir, schema
from matscreen.engine.chemistry import is_charge_neutral
from matscreen.engine.explain.stability import slopes
from matscreen.engine.lock import locked
from matscreen.engine.properties import predicted
from matscreen.engine.reference import PhaseTable
from matscreen.engine.scan import Job, reopen
from matscreen.kernels import hull
from matscreen.models import Model
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.formula import format_formula
from matscreen.models.gradients import on_simplex

REFINED = "refined.parquet"

ROUNDS = 40
"""Steps at most."""

REACHES = 0.08 * 0.5 ** np.arange(7)
"""Fractions of atoms exchanged in a step: the best of these."""

IMPROVED = 1e-5
"""eV/atom; a step that brings less ends the way."""

LEAST = 1e-3
"""eV/atom; a formula that is lower by less is no better."""

MOST_ATOMS = 200
"""In a formula that amounts of eight bits hold."""


@dataclass(frozen=True)
class Refined:
    """What was found.

    Attributes
    ----------
    table : `schema.REFINED`, the lowest hull distance first; of candidates that end alike the lowest
    started : candidates that were started from
    beyond : how many of these formulas lie lower by more than the uncertainty of the difference; None of one network
    """

    table: pa.Table
    started: int
    beyond: int | None


def refine(run: Path, top: int, max_atoms: int, advance: Callable[[], None] = lambda: None) -> Refined:
    """Follow the slopes of the predicted hull distance from the best candidates of a run, and write `REFINED` there.

    All elements stay, at least one atom of `max_atoms` each. Where the way ends, the nearest formulas of more atoms
    than the run's grid has, up to `max_atoms`, are predicted, and those that differ by an atom: the lowest of each
    candidate is kept if it is lower than the candidate itself. A run that wanted balanced charges, or values of
    properties, gets no others. What a network of attributes says on the way is of charges that do not balance, however
    little the fractions differ from such as do; what it says of whole formulas is not. Where it tells stoichiometries
    apart, the way is of an unknown one but for its start: with all of it so, less was found (`bench.refine`).

    `advance` is called after every step, at most `ROUNDS` times. InputError for numbers that cannot be; errors of
    `rundir.open_candidates`.
    """
    config = rundir.read_config(run)
    grid = int(config.space["max_atoms"])
    if not grid < max_atoms <= MOST_ATOMS:
        raise InputError(f"--max-atoms takes {grid + 1} (the run's grid has {grid}) to {MOST_ATOMS}, not {max_atoms}")
    if top < 1:
        raise InputError(f"--top takes 1 or more, not {top}")
    if config.search:
        raise InputError(f"{run} is a search, which has no grid; refine takes a scan")
    candidates = rundir.read_candidates(run, top)
    job = reopen(run, config)
    elements, amounts = schema.candidate_arrays(candidates)
    start = amounts / amounts.sum(axis=1, keepdims=True)
    ended = _descended(job.model, job.phases, elements, start, 1 / max_atoms, advance)
    found = _whole(job, elements, ended, grid, max_atoms)
    table, beyond = _compared(job, candidates, elements, start, found)
    told = {"matscreen": json.dumps({"fingerprint": config.fingerprint, "top": top, "max_atoms": max_atoms})}
    written = table.replace_schema_metadata(told)
    with locked(run):
        write_atomically(run / REFINED, lambda temporary: pq.write_table(written, temporary, compression="zstd"))
    return Refined(table, len(candidates), beyond)


def _distance(model: Model, phases: PhaseTable, elements: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(N,) float64, eV/atom."""
    distance: np.ndarray = model.energies(elements, x) - hull.hull_energies(elements, x, phases.index)
    return distance


def _descended(
    model: Model,
    phases: PhaseTable,
    elements: np.ndarray,
    start: np.ndarray,
    least: float,
    advance: Callable[[], None],
) -> np.ndarray:
    """(N, K) fractions where the ways down from `start` end, no element below `least`."""
    x, there = start.copy(), elements > 0
    lowest = _distance(model, phases, elements, x)
    going = there.sum(axis=1) > 1
    for _ in range(ROUNDS):
        rows = np.flatnonzero(going)
        if not len(rows):
            break
        ways = _ways(model, phases, elements[rows], x[rows], x[rows] <= least * (1 + 1e-9))
        tried = x[rows, None, None] + REACHES[:, None] * ways[:, :, None]
        short = ((tried < least) & there[rows, None, None]).any(axis=3)
        tried = np.where(short[..., None], x[rows, None, None], tried).reshape(len(rows), -1, x.shape[1])
        listed = np.repeat(elements[rows, None], tried.shape[1], axis=1)
        flat = listed.reshape(-1, x.shape[1]), tried.reshape(-1, x.shape[1])
        values = _distance(model, phases, *flat).reshape(len(rows), -1)
        best = values.argmin(axis=1)
        better = values[np.arange(len(rows)), best] < lowest[rows] - IMPROVED
        x[rows[better]] = tried[better, best[better]]
        lowest[rows[better]] = values[better, best[better]]
        going[rows[~better]] = False
        advance()
    return x


def _ways(model: Model, phases: PhaseTable, elements: np.ndarray, x: np.ndarray, used_up: np.ndarray) -> np.ndarray:
    """(N, W, K) directions, an atom exchanged in all: the steepest, and from each element to each other.

    The hull has edges, on which the steepest way by its slopes may lead up.
    """
    energy, of_hull = slopes(model, phases, elements, x)
    steepest = -on_simplex(energy.mean(axis=0) - of_hull, elements)
    free = (elements > 0) & ~(used_up & (steepest < 0))  # only these are exchanged
    mean = (steepest * free).sum(axis=1, keepdims=True) / np.maximum(free.sum(axis=1, keepdims=True), 1)
    steepest = np.where(free, steepest - mean, 0)
    steepest /= np.maximum(np.abs(steepest).sum(axis=1, keepdims=True) / 2, 1e-12)
    unit = np.eye(elements.shape[1])
    pairs = [unit[b] - unit[a] for a, b in permutations(range(elements.shape[1]), 2)]
    exchanges = np.where((elements > 0)[:, None] | (np.array(pairs) == 0), pairs, np.nan)
    whole = ~np.isnan(exchanges).any(axis=2, keepdims=True)  # both elements are there
    return np.concatenate([steepest[:, None], np.where(whole, exchanges, 0)], axis=1)


def _whole(job: Job, elements: np.ndarray, x: np.ndarray, grid: int, max_atoms: int) -> np.ndarray:
    """(N, K) uint8: of the formulas of `grid` + 1 to `max_atoms` atoms near the fractions the lowest; 0 without any."""
    there = elements > 0
    nearest = [rounded(x, there, atoms) for atoms in range(grid + 1, max_atoms + 1)]
    amounts = np.stack([other for one in nearest for other in _beside(one, there)], axis=1)  # (N, tries, K)
    count, tries, width = amounts.shape
    flat, listed = amounts.reshape(-1, width), np.repeat(elements, tries, axis=0)
    possible = np.gcd.reduce(flat.astype(np.int64), axis=1) == 1  # else it has fewer atoms
    if job.charge_neutral:
        possible &= is_charge_neutral(listed, flat)
    if job.properties:
        rows = np.flatnonzero(possible)
        values = predicted(job.properties, listed[rows], flat[rows])
        for one in job.properties:
            possible[rows] &= one.within(values[one.column][0])
    distance = np.full(len(flat), np.inf)
    distance[possible] = _distance(job.model, job.phases, listed[possible], flat[possible].astype(np.float64))
    best = distance.reshape(count, tries).argmin(axis=1)
    chosen: np.ndarray = amounts[np.arange(count), best]
    chosen[~np.isfinite(distance.reshape(count, tries)[np.arange(count), best])] = 0
    return chosen


def _beside(amounts: np.ndarray, there: np.ndarray) -> list[np.ndarray]:
    """Amounts (N, K) uint8, and those of which an atom is of another element; rows where none can be stay."""
    found = [amounts]
    for taken, given in permutations(range(amounts.shape[1]), 2):
        can = there[:, given] & (amounts[:, taken] > 1)
        other = amounts.copy()
        other[can, taken] -= 1
        other[can, given] += 1
        found.append(other)
    return found


def rounded(x: np.ndarray, there: np.ndarray, atoms: int) -> np.ndarray:
    """(N, K) uint8, whole amounts that add up to `atoms`, of fractions (N, K): at least one of each that is `there`.

    What is missing after rounding down goes where most was lost.
    """
    amounts: np.ndarray = np.where(there, np.maximum(np.floor(x * atoms + 1e-9), 1), 0)
    for _ in range(x.shape[1] + 1):
        missing = atoms - amounts.sum(axis=1)
        short = np.where(there, x * atoms - amounts, -np.inf)
        over = np.where(there & (amounts > 1), amounts - x * atoms, -np.inf)
        rows = np.flatnonzero(missing > 0)
        amounts[rows, short[rows].argmax(axis=1)] += 1
        rows = np.flatnonzero(missing < 0)
        amounts[rows, over[rows].argmax(axis=1)] -= 1
    whole: np.ndarray = amounts.astype(np.uint8)
    return whole


def _compared(
    job: Job, candidates: pa.Table, elements: np.ndarray, start: np.ndarray, found: np.ndarray
) -> tuple[pa.Table, int | None]:
    """`schema.REFINED` of what is lower than what it was started from, and how many are so beyond the uncertainty."""
    rows = np.flatnonzero(found.any(axis=1))
    output = job.model.target.energy or 0
    after = job.model.outputs(elements[rows], found[rows])[:, :, output].astype(np.float64)
    before = job.model.outputs(elements[rows], start[rows])[:, :, output].astype(np.float64)
    of_hull, decompositions = job.phases.decompositions(elements[rows], found[rows])
    began = candidates["hull_distance_ev_atom"].to_numpy()[rows]
    distance = after.mean(axis=0) - of_hull
    change = distance - began
    several = len(after) > 1
    nothing = np.full(len(rows), np.nan)
    scale = job.model.uncertainty_scale
    spread = scale * after.std(axis=0, ddof=1) if several else nothing
    doubt = scale * (after - before).std(axis=0, ddof=1) if several else nothing
    formulas = [format_formula(own[own > 0], n[own > 0]) for own, n in zip(elements[rows], found[rows], strict=True)]
    order = [i for i in np.lexsort((formulas, distance)).tolist() if change[i] < -LEAST]
    kept = list({formulas[i]: i for i in reversed(order)}.values())[::-1]  # the lowest start of those that end alike
    neutral = is_charge_neutral(elements[rows], found[rows])
    columns = {
        "started_from": candidates["formula"].take(pa.array(rows[kept], pa.int64())).combine_chunks(),
        "formula": [formulas[i] for i in kept],
        "formation_energy_ev_atom": pa.array(after.mean(axis=0)[kept], pa.float32()),
        "uncertainty_ev_atom": pa.array(spread[kept], pa.float32(), from_pandas=True),
        "hull_energy_ev_atom": of_hull[kept],
        "hull_distance_ev_atom": distance[kept],
        "change_ev_atom": change[kept],
        "change_uncertainty_ev_atom": pa.array(doubt[kept], from_pandas=True),
        "charge_balanced": neutral[kept],
        "known": (job.phases.nearest(elements[rows], found[rows])[1] < schema.SAME)[kept],
        "decomposition": decompositions.take(pa.array(kept, pa.int64())),
    }
    table = pa.table([pa.array(columns[field.name], field.type) for field in schema.REFINED], schema=schema.REFINED)
    return table, int((-change[kept] > doubt[kept]).sum()) if several else None
