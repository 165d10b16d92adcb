"""Screen one chunk: compositions in, those that lie below the hull out. No cluster, no files."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.engine import schema
from matscreen.engine.cascade import looks
from matscreen.engine.chemistry import chemistry, is_charge_neutral
from matscreen.engine.properties import Property, predicted
from matscreen.engine.reference import PhaseTable
from matscreen.engine.safety import check_energies
from matscreen.kernels import hull
from matscreen.kernels.mlp import Precision
from matscreen.models import Model
from matscreen.models.errors import InputError
from matscreen.models.formula import SYMBOL, chemical_systems, format_formulas, ragged

AT_ONCE = 2**16
"""Candidates described at a time, which bounds the memory that it takes."""


@dataclass(frozen=True)
class Screened:
    """What one chunk gave.

    Attributes
    ----------
    candidates : `schema.CANDIDATES`, by rising id
    screened : compositions whose energy was predicted (fewer than the chunk's with a filter)
    refined : those of them that the model itself predicted in float32, not only its students or a GPU
    checked : predictions that were compared with the definition's
    outside : compositions below the hull whose properties are not those wanted
    degenerate : candidates on a face of the hull, made of fewer phases than elements: which facet holds them is a tie
    predict_seconds, hull_seconds : time of these two stages, which overlap
    describe_seconds : time for formulas and decompositions of the candidates
    enumerate_seconds : time to make the chunk, where that is known
    """

    candidates: pa.RecordBatch
    screened: int
    refined: int
    checked: int
    outside: int
    degenerate: int
    predict_seconds: float
    hull_seconds: float
    describe_seconds: float
    enumerate_seconds: float = 0.0


def screen(
    chunk: pa.RecordBatch,
    model: Model,
    phases: PhaseTable,
    threshold: float = 0.2,
    charge_neutral: bool = False,
    exact: bool = False,
    properties: Sequence[Property] = (),
    gpu: Precision | None = None,
) -> pa.RecordBatch:
    """Compositions of a chunk whose predicted formation energy is more than `threshold` below the hull.

    The rule is that of Jha 2020, 3.3.9. Give chunks of whole chemical systems (`space.chunks`) for the best speed.

    Parameters
    ----------
    chunk : compositions, from `space.chunk` or `space.chunks`
    threshold : eV/atom; negative values keep compositions above the hull too
    charge_neutral : look only at compositions that common oxidation states can balance
    exact : let the model predict everything; else its students, if it has some, predict first, and the model only what
        none of them puts clearly above the threshold. They are not asked with a negative threshold
    properties : predicted of what is below the hull; only compositions that have the values wanted are kept
    gpu : predict on a CUDA device first, in this precision, and again on the CPU what lies within the model's guard
        band of being kept; the same compositions are kept

    Returns
    -------
    RecordBatch of `schema.candidates` with these properties, by rising id

    Raises
    ------
    ArithmeticError
        A predicted energy that is not finite or, of the few that are predicted again by the definition, wrong.
    BackendError, ModelError
        No GPU, or a model without a guard band for this precision.
    """
    return screen_chunk(chunk, model, phases, threshold, charge_neutral, exact, properties, gpu).candidates


def screen_chunk(
    chunk: pa.RecordBatch,
    model: Model,
    phases: PhaseTable,
    threshold: float,
    charge_neutral: bool,
    exact: bool,
    properties: Sequence[Property] = (),
    gpu: Precision | None = None,
) -> Screened:
    """`screen`, with what it took."""
    if not np.isfinite(threshold):
        raise InputError(f"threshold must be a finite number of eV/atom, not {threshold}")
    ids, elements, amounts = schema.composition_arrays(chunk)
    if charge_neutral:
        neutral = is_charge_neutral(elements, amounts)
        ids, elements, amounts = ids[neutral], elements[neutral], amounts[neutral]

    screened, checked, refined, predict_seconds = len(ids), 0, 0, 0.0
    with ThreadPoolExecutor(1) as side:  # the hull does not need the first prediction: both kernels run at once
        hull_stage, at_hull = side.submit(_hull_energies, elements, amounts, phases), None
        started = time.perf_counter()
        for look in looks(model, threshold, elements, amounts, exact, gpu):
            refined = len(ids)
            energies, uncertainties = look.predicted(elements, amounts)
            checked += check_energies(ids, elements, amounts, energies, look.model, look.precision, look.tolerance)
            predict_seconds += time.perf_counter() - started
            if at_hull is None:
                at_hull, hull_seconds = hull_stage.result()
            below = np.flatnonzero(energies - at_hull < look.band(elements) - threshold)
            ids, elements, amounts, at_hull = ids[below], elements[below], amounts[below], at_hull[below]
            energies, uncertainties = energies[below], uncertainties[below]
            started = time.perf_counter()
    values = predicted(properties, elements, amounts) if properties else {}
    wanted = np.ones(len(ids), bool)
    for one in properties:
        wanted &= one.within(values[one.column][0])
    predict_seconds += time.perf_counter() - started
    started = time.perf_counter()

    def described(part: np.ndarray) -> pa.RecordBatch:
        own = {name: (value[part], spread[part]) for name, (value, spread) in values.items()}
        told = energies[part], uncertainties[part]
        return describe(ids[part], elements[part], amounts[part], *told, phases, own)

    kept = np.flatnonzero(wanted)
    parts = [described(part) for part in np.split(kept, range(AT_ONCE, len(kept), AT_ONCE))]
    describe_seconds = time.perf_counter() - started
    candidates = pa.concat_batches(parts)
    products = pc.list_value_length(candidates["decomposition"]).to_numpy()
    degenerate = int(np.count_nonzero(products < candidates["n_elements"].to_numpy()))
    seconds = predict_seconds, hull_seconds, describe_seconds
    return Screened(candidates, screened, refined, checked, len(ids) - len(kept), degenerate, *seconds)


def _hull_energies(elements: np.ndarray, amounts: np.ndarray, phases: PhaseTable) -> tuple[np.ndarray, float]:
    """eV/atom, and the seconds that it took."""
    started = time.perf_counter()
    return hull.hull_energies(elements, amounts, phases.index), time.perf_counter() - started


def describe(
    ids: np.ndarray,
    elements: np.ndarray,
    amounts: np.ndarray,
    energies: np.ndarray,
    uncertainties: np.ndarray,
    phases: PhaseTable,
    properties: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> pa.RecordBatch:
    """Compositions as rows of `schema.candidates`: what was predicted of them, and what `phases` and chemistry tell.

    ids (N,) int64; elements, amounts (N, K) uint8; energies, uncertainties (N,) float32, eV/atom, NaN where unknown;
    properties as of `properties.predicted`.
    """
    # Each survivor's hull is found again by itself: its digits do not depend on what else was in the chunk.
    hull_energy, decompositions = phases.decompositions(elements, amounts)
    present = elements > 0
    return schema.candidate_batch(
        [
            ids,
            format_formulas(elements, amounts),
            chemical_systems(elements),
            ragged(SYMBOL.take(pa.array(elements[present])), present),
            ragged(pa.array(amounts[present]), present),
            pa.array(np.count_nonzero(present, axis=1), pa.uint8()),
            energies,
            pa.array(uncertainties, pa.float32(), from_pandas=True),  # NaN is null
            hull_energy,
            energies - hull_energy,
            decompositions,
            *chemistry(elements, amounts, phases),
        ],
        properties,
    )
