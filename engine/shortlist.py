"""Which candidates are worth a look: filters on a ranked list, each of which says how many it took, and its order."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.engine import schema
from matscreen.engine.likelihood import log_odds
from matscreen.kernels.composition_distance import diverse
from matscreen.models.errors import InputError

ALIKE = 0.1
"""Candidates whose vectors of fractions are this near are alike (Jha 2020, 3.3.9, calls that a match)."""


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


def shortlist(candidates: pa.Table, filters: Filters) -> tuple[pa.Table, dict[str, int]]:
    """The candidates that pass (`schema.CANDIDATES`, best first: as given, or likely ones), and how many a filter took.

    Filters on a candidate alone come first, so that limits on how many count only what they leave. InputError as
    `likelihood.log_odds`.
    """
    removed: dict[str, int] = {}

    def keep(name: str, passes: pa.Array | np.ndarray) -> None:
        nonlocal candidates
        left = candidates.filter(pa.array(passes) if isinstance(passes, np.ndarray) else passes)
        removed[name] = len(candidates) - len(left)
        candidates = left.combine_chunks()

    if filters.charge_balanced:
        keep("charge-balanced", candidates["electronegativity_ordered"])
    if filters.no_f_block:
        keep("no-f-block", ~holds(candidates, "lanthanide", "actinide"))
    if filters.no_radioactive:
        keep("no-radioactive", ~holds(candidates, "radioactive"))
    if filters.likely_first:
        order = np.lexsort((-log_odds(candidates), known(candidates)))
        candidates = candidates.take(order).combine_chunks()
    if filters.max_per_system:
        keep("max-per-system", place_in_system(candidates) < filters.max_per_system)
    if filters.diverse:
        keep("diverse", diverse(*schema.candidate_arrays(candidates), ALIKE))
    return candidates, removed


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
