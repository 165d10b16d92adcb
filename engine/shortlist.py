"""Which candidates are worth a look: filters on a ranked list, each of which says how many it took, and its order."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.engine import schema
from matscreen.engine.likelihood import COLUMNS, log_odds
from matscreen.kernels.composition_distance import diverse
from matscreen.models.errors import InputError

ALIKE = 0.1
"""Candidates whose vectors of fractions are this near are alike (Jha 2020, 3.3.9, calls that a match)."""

PLACE, ODDS, KNOWN = "place", "log_odds", "known"
"""Columns that `places` adds: which row of all, what speaks for it, whether it is a compound of the reference."""


@dataclass(frozen=True)
class Filters:
    """What a shortlist leaves out, and what it begins with.

    Attributes
    ----------
    charge_balanced : what common oxidation states cannot make neutral with electronegativities in order
    no_f_block : what holds a lanthanide or an actinide
    no_radioactive : what holds an element without a stable isotope
    max_per_system : all but so many of the best of each chemical system; 0 for no such limit
    diverse : what lies within `ALIKE` of a better candidate that is kept
    likely_first : whether the best are those that most speaks for (`engine.likelihood`), known compounds last, instead
        of those furthest below the hull, or that a search was after
    """

    charge_balanced: bool = False
    no_f_block: bool = False
    no_radioactive: bool = False
    max_per_system: int = 0
    diverse: bool = False
    likely_first: bool = False

    def __post_init__(self) -> None:
        if self.max_per_system < 0:
            raise InputError(f"--max-per-system takes a number of candidates, not {self.max_per_system}")

    def __bool__(self) -> bool:
        return self != Filters()

    @property
    def superlative(self) -> str:
        """What the first ones are called."""
        return "likeliest" if self.likely_first else "best"


def places(parts: Iterable[pa.Table], filters: Filters) -> tuple[np.ndarray, dict[str, int]]:
    """Places (N,) of the candidates that pass, best first (as given, or likely ones), and how many a filter took.

    Filters on a candidate alone come first, so that limits on how many count only what they leave.

    Parameters
    ----------
    parts : the candidates in pieces, at least one, with the columns of `schema.CANDIDATES` that `columns`
        names; of each piece only what decides the places is kept

    Raises
    ------
    InputError
        As `likelihood.log_odds`.
    """
    removed: dict[str, int] = {}

    def keep(table: pa.Table, name: str, passes: pa.ChunkedArray | np.ndarray) -> pa.Table:
        left = table.filter(pa.array(passes) if isinstance(passes, np.ndarray) else passes)
        removed[name] = removed.get(name, 0) + len(table) - len(left)
        return left

    slim, start = [], 0
    for given in parts:
        part = given.append_column(PLACE, pa.array(np.arange(start, start + len(given))))
        start += len(given)
        if filters.charge_balanced:
            part = keep(part, "charge-balanced", part["electronegativity_ordered"])
        if filters.no_f_block:
            part = keep(part, "no-f-block", ~holds(part, "lanthanide", "actinide"))
        if filters.no_radioactive:
            part = keep(part, "no-radioactive", ~holds(part, "radioactive"))
        slim.append(_slim(part, filters))
    left = pa.concat_tables(slim).combine_chunks()
    if filters.likely_first:
        left = left.take(np.lexsort((-left[ODDS].to_numpy(), left[KNOWN].to_numpy()))).combine_chunks()
    if filters.max_per_system:
        left = keep(left, "max-per-system", place_in_system(left) < filters.max_per_system).combine_chunks()
    if filters.diverse:
        left = keep(left, "diverse", diverse(*schema.candidate_arrays(left), ALIKE))
    return left[PLACE].to_numpy(), removed


def columns(filters: Filters) -> set[str]:
    """Of `schema.CANDIDATES`, what `places` reads."""
    needed = {"id"}  # a table without columns has no length
    if filters.charge_balanced:
        needed.add("electronegativity_ordered")
    if filters.no_f_block or filters.no_radioactive:
        needed.add("contains")
    if filters.likely_first:
        needed |= {*COLUMNS, "nearest_phase_distance"}
    return needed | set(_compared(filters))


def _slim(part: pa.Table, filters: Filters) -> pa.Table:
    """What decides a candidate's place among the others."""
    told = {PLACE: part[PLACE], **{name: part[name] for name in _compared(filters)}}
    if filters.likely_first:
        told |= {ODDS: pa.array(log_odds(part)), KNOWN: pa.array(known(part))}
    return pa.table(told)


def _compared(filters: Filters) -> list[str]:
    """Columns by which candidates are compared with each other."""
    return ["chemical_system"] * bool(filters.max_per_system) + ["elements", "amounts"] * filters.diverse


def known(candidates: pa.Table) -> np.ndarray:
    """(N,) bool: whether each candidate is a compound of the reference."""
    found: np.ndarray = candidates["nearest_phase_distance"].fill_null(np.inf).to_numpy() < schema.SAME
    return found


def holds(candidates: pa.Table, *kinds: str) -> np.ndarray:
    """(N,) bool: whether each candidate's `contains` names one of the kinds."""
    found = np.zeros(len(candidates), bool)
    lists = candidates["contains"].combine_chunks()
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    named = pc.is_in(pc.list_flatten(lists), pa.array(kinds)).to_numpy(zero_copy_only=False)
    found[rows[named.astype(bool)]] = True
    return found


def place_in_system(candidates: pa.Table) -> np.ndarray:
    """(N,) int64: how many candidates of the same chemical system stand before each."""
    codes = candidates["chemical_system"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    return place
