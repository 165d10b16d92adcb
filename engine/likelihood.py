"""How likely a candidate is the stable compound of its system: what is predicted, and what known ones have in common.

Most of what a network puts far below the hull lies far from what it learnt from. Stable compounds crowd at few
stoichiometries, at which structures exist; most have an analogue; of those with anions most balance. A conditional
logit, of which among the unknown compositions of a system was a hidden compound, weighs that (McFadden 1974;
`bench.likelihood`). It knows nothing of how likely a system is to have one at all: to compare systems by it is to take
them for equally likely.
"""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.engine.reference import PhaseTable
from matscreen.models.encoding import stoichiometries
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays

WEIGHTS = {
    "eV/atom above the hull": -1.3,
    "eV/atom of uncertainty": -9.2,
    "ln(1 + stable compounds of the stoichiometry)": 0.56,
    "charges balance, electronegativities in order": 2.3,
    "has an analogue": 3.1,
}
"""Of the terms of the logarithm of a candidate's odds against the others of its system."""

COUNT = "stable_of_stoichiometry"
COLUMNS = ("hull_distance_ev_atom", "uncertainty_ev_atom", COUNT, "electronegativity_ordered", "analogue")
"""Columns of candidates that the terms are of, in their order."""


def stable_of_stoichiometry(elements: np.ndarray, amounts: np.ndarray, phases: PhaseTable) -> np.ndarray:
    """(N,) int32: compounds on the hull of their system with the same amounts in the order of electronegativity.

    elements, amounts : (N, K), atomic numbers and atoms, 0 in empty places. A known compound counts itself; what has no
    key (`kernels.embedding.stoichiometry_keys`: more than eight elements, too many atoms) has no such compounds
    """
    known, counts = _stable(phases)
    if not len(known):
        return np.zeros(len(elements), np.int32)
    keys = stoichiometries(elements, amounts)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, counts[at], 0).astype(np.int32)


def log_odds(candidates: pa.Table) -> np.ndarray:
    """(N,) float64: the logarithm of each candidate's odds, but for a constant of its system.

    InputError for candidates of a run whose stoichiometries were not counted.
    """
    found: np.ndarray = terms(candidates) @ np.array(list(WEIGHTS.values()))
    return found


def terms(candidates: pa.Table) -> np.ndarray:
    """(N, 5) float64, in the order of `WEIGHTS`; errors as `log_odds`. A single network's uncertainty counts as 0."""
    if COUNT not in candidates.column_names:
        raise InputError(
            "the run is of an older matscreen, which counted no stoichiometries: scan again for this order"
        )
    distance, uncertainty, count, ordered, analogue = (candidates[name] for name in COLUMNS)
    columns = [distance, uncertainty.fill_null(0), pc.log1p(count), ordered.cast(pa.int8())]
    columns.append(analogue.is_valid().cast(pa.int8()))
    return np.stack([column.cast(pa.float64()).to_numpy() for column in columns], axis=1)


@functools.lru_cache(maxsize=4)
def _stable(phases: PhaseTable) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the stoichiometries of compounds on the hull of their system, rising, and how many each has."""
    formulas = phases.table["formula"].take(pa.array(phases.on_own_hull)).unique()  # some stand there twice
    keys, counts = np.unique(stoichiometries(*composition_arrays(formulas.to_pylist())), return_counts=True)
    return keys[keys > 0], counts[keys > 0]
