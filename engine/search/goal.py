"""What a search looks for, and what it sees at a point of the latent space."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from matscreen.engine import schema
from matscreen.engine.chemistry import is_charge_neutral
from matscreen.engine.cluster import Job
from matscreen.engine.merge import KEY
from matscreen.engine.properties import predicted
from matscreen.engine.rundir import NO_THRESHOLD
from matscreen.engine.safety import check_energies
from matscreen.engine.search.snap import nearest_compositions
from matscreen.kernels import hull
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.errors import InputError
from matscreen.models.formula import format_formula
from matscreen.models.latent.training import Latent

EDGE = 1e-4
"""How near to a face of the unit cube a point is read: no code lies further out than 3.7 standard deviations."""

TRACE = 1e-9
"""Of every element of the space, lest nothing be left of a composition that holds none of them."""

ENERGIES = ("formation_energy_ev_atom", "uncertainty_ev_atom", KEY)

STEEP = 0.1
"""eV/atom above the limit that counts as much as a property twice as large as it may be."""


@dataclass(frozen=True)
class Goal:
    """A search: which compositions, and which of them are the better ones.

    Attributes
    ----------
    job : space, model, phases and threshold; compositions must keep the limits of its properties
    latent : the latent space of compositions
    objectives : (column of the candidates, 1 if it is to be small, −1 if large)
    """

    job: Job
    latent: Latent
    objectives: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        known = {KEY, *(one.column for one in self.job.properties)}
        if not self.objectives:
            raise InputError("a search needs something to make large or small")
        if unknown := [name for name, _ in self.objectives if name not in known]:
            raise InputError(f"nothing predicts {unknown[0]}")
        names = [name for name, _ in self.objectives]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{twice[0]} is to be made large or small twice")

    @property
    def dimensions(self) -> int:
        """Of the latent space."""
        return self.latent.network.plan.latent

    def trials(self) -> pa.Schema:
        """The columns of `look`."""
        point = pa.list_(pa.field("item", pa.float64(), nullable=False), self.dimensions)
        return pa.schema(
            [
                pa.field("number", pa.int64(), nullable=False),
                pa.field("point", point, nullable=False),
                *(schema.CANDIDATES.field(name) for name in ("id", "formula", *ENERGIES)),
                *list(schema.candidates(one.column for one in self.job.properties))[len(schema.CANDIDATES) :],
                pa.field("snapped", pa.float64(), nullable=False),
                pa.field("violation", pa.float64(), nullable=False),
                pa.field("known", pa.bool_(), nullable=False),
                pa.field("repeated", pa.bool_(), nullable=False),
            ]
        )


def losses(goal: Goal, seen: pa.Table) -> np.ndarray:
    """What is to be made small at the points of `seen`: (N,) float64, (N, M) of several objectives."""
    columns = [sign * seen[name].to_numpy().astype(np.float64) for name, sign in goal.objectives]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def fresh(goal: Goal, points: np.ndarray, found: Set[int]) -> np.ndarray:
    """Rows of points (N, D) that stand for compositions not yet `found`, the first of each."""
    ids = goal.job.space.ids(*_at(goal, points)[:2])
    _, first = np.unique(ids, return_index=True)
    rows = np.sort(first)
    new: np.ndarray = rows[[number not in found for number in ids[rows].tolist()]]
    return new


def _at(goal: Goal, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elements, amounts (N, K) uint8 at points (N, D) of the unit cube, and how far that is from what is decoded.

    A point is read as probabilities of the latent variables' normal distributions; what is decoded there, without
    elements of other spaces, is taken to the nearest composition of the space.
    """
    space = goal.job.space
    codes = ndtri(np.clip(points, EDGE, 1 - EDGE)).astype(np.float32)
    columns = np.searchsorted(ELEMNET_ELEMENTS, space.elements)
    decoded = goal.latent.decoded(codes)[:, columns].astype(np.float64) + TRACE
    fractions = decoded / decoded.sum(axis=1, keepdims=True)
    arity = [number for number in space.arity if number <= len(space.elements)]
    return nearest_compositions(fractions, np.array(space.elements), arity, space.max_atoms)


def look(goal: Goal, points: np.ndarray, first: int, found: set[int], known: set[str]) -> pa.Table:
    """What there is at points (N, D) of the unit cube, the first of which is number `first`: `Goal.trials`.

    `violation` tells by how much limits are broken in all, 0 if none is; `known` are compounds of these formulas;
    `repeated` is what is in `found`, which the others' ids are added to.

    ArithmeticError for what is predicted and cannot be.
    """
    job = goal.job
    elements, amounts, snapped = _at(goal, points)
    ids = job.space.ids(elements, amounts)
    energies, uncertainties = job.model.uncertain_energies(elements, amounts)
    check_energies(ids, elements, amounts, energies, job.model)
    distance = energies - hull.hull_energies(elements, amounts, job.phases.index)
    values = predicted(job.properties, elements, amounts)
    formulas = [format_formula(*row) for row in zip(elements.tolist(), amounts.tolist(), strict=True)]
    repeated = np.zeros(len(ids), bool)
    for row, number in enumerate(ids.tolist()):
        repeated[row] = number in found
        found.add(number)
    columns_of_values = (pa.array(x, pa.float32(), from_pandas=True) for pair in values.values() for x in pair)
    return pa.table(
        [
            np.arange(first, first + len(points)),
            schema.fixed_lists(points),
            ids,
            formulas,
            energies,
            pa.array(
                np.full(len(ids), np.nan) if uncertainties is None else uncertainties, pa.float32(), from_pandas=True
            ),
            distance,
            *columns_of_values,
            snapped,
            _violation(goal, elements, amounts, distance, {name: value for name, (value, _) in values.items()}),
            np.array([formula in known for formula in formulas]),
            repeated,
        ],
        schema=goal.trials(),
    )


def _violation(
    goal: Goal, elements: np.ndarray, amounts: np.ndarray, distance: np.ndarray, values: dict[str, np.ndarray]
) -> np.ndarray:
    """By how much limits are broken, relative to the limit (of properties) or `STEEP`; 1 for charges: (N,) float64."""
    job = goal.job
    broken = np.zeros(len(distance))
    if job.threshold > NO_THRESHOLD:
        broken += np.where(distance < -job.threshold, 0, np.maximum((distance + job.threshold) / STEEP, 1e-9))
    for one in job.properties:
        value = values[one.column].astype(np.float64)
        for limit, over in ((one.low, one.low - value), (one.high, value - one.high)):
            if np.isfinite(limit):
                broken += np.maximum(over, 0) / (abs(limit) or 1)  # 0 exactly where `within` is true
    if job.charge_neutral:
        broken += ~is_charge_neutral(elements, amounts)
    return broken


def fulfilled(goal: Goal, seen: Sequence[pa.Table]) -> pa.Table:
    """Of all that was seen what keeps every limit, each composition once, in its order."""
    table = pa.concat_tables([*seen, goal.trials().empty_table()]).combine_chunks()
    keep = (table["violation"].to_numpy() == 0) & ~table["repeated"].to_numpy()
    return table.filter(pa.array(keep)).combine_chunks()
