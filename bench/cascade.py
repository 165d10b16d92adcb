"""What the students of the default model lose and save: the same compositions screened with them and without.

Also how much of its band each candidate needed: one that took more than all of it would be lost.

Chunks are drawn evenly from all 446,597,140 compositions of 86 elements; one core. `--compositions` sets how many,
`--threshold` how far below the hull a candidate lies, eV/atom.
"""

import argparse
import time

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import beta

from bench.harness import publish
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, schema
from matscreen.engine.cascade import Look, looks
from matscreen.engine.screen import screen_chunk

CHUNK = 2**16
THRESHOLD = 0.2


def largest_rate(lost: int, seen: int) -> float:
    """What a rate, of which `lost` of `seen` were found, is below with 95% confidence (Clopper–Pearson, one-sided).

    Neighbours in a chunk are alike, so that fewer than `seen` draws are independent: take it for a guide.
    """
    return float(beta.ppf(0.95, lost + 1, seen - lost)) if seen > lost else 1.0


def needed(candidates: pa.RecordBatch, chunk: pa.RecordBatch, student: Look, threshold: float) -> np.ndarray:
    """(n,) share of its band that a student took of a chunk's candidates, 0 where it put them below the threshold."""
    ids, elements, amounts = schema.composition_arrays(chunk)
    rows = np.searchsorted(ids, candidates["id"].to_numpy())
    elements, amounts = elements[rows], amounts[rows]
    distance = student.predicted(elements, amounts)[0] - candidates["hull_energy_ev_atom"].to_numpy()
    share: np.ndarray = np.maximum(distance + threshold, 0) / student.band(elements)
    return share


def bands_of(student: Look) -> np.ndarray:
    """Of the elements that have one, among quaternaries."""
    known: np.ndarray = student.bands[4][np.isfinite(student.bands[4])]
    return known


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cascade")
    parser.add_argument("--compositions", type=int, default=5_000_000)
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    told = parser.parse_args()
    wanted, threshold = told.compositions, told.threshold
    torch.set_num_threads(1)
    model, phases, space = models.load(), PhaseTable.load(), CompositionSpace("all")
    if model.student is None or model.systems is None:
        print(f"cascade: not measured, {model.name} has no students")
        return
    chunks = -(-wanted // CHUNK)
    starts = np.linspace(0, len(space) - CHUNK, chunks).astype(np.int64)
    warm = space.chunk(0, 2000)
    for exact in (True, False):
        screen_chunk(warm, model, phases, threshold, False, exact)
    students = looks(model, threshold, *schema.composition_arrays(warm)[1:], False, None)[:-1]
    seconds, candidates, kept, refined, wrong = {True: 0.0, False: 0.0}, 0, 0, 0, 0
    shares: dict[str, list[np.ndarray]] = {student.model.name: [] for student in students}
    for number, start in enumerate(starts.tolist(), start=1):
        found = {}
        for exact in (True, False):
            began = time.perf_counter()
            chunk = space.chunk(start, start + CHUNK)
            screened = screen_chunk(chunk, model, phases, threshold, False, exact)
            seconds[exact] += time.perf_counter() - began
            found[exact] = set(screened.candidates["id"].to_pylist())
            if exact:
                for student in students:
                    shares[student.model.name].append(needed(screened.candidates, chunk, student, threshold))
        refined += screened.refined
        candidates += len(found[True])
        kept += len(found[True] & found[False])
        wrong += len(found[False] - found[True])
        if number % 10 == 0:
            lost = candidates - kept
            print(f"{number} of {chunks} chunks: {candidates:,} candidates, {lost} lost", flush=True)
    seen, lost = chunks * CHUNK, candidates - kept
    rate = {exact: seen / taken for exact, taken in seconds.items()}
    publish(
        "cascade" if threshold == THRESHOLD else f"cascade-{threshold:g}",
        {
            "model": model.name,
            "more than so far below the hull, eV/atom": threshold,
            "compositions": seen,
            "candidates": candidates,
            "candidates lost": lost,
            "candidates that are none": wrong,
            "share lost, 95% confidence: at most": largest_rate(lost, candidates),
            "students": [
                {
                    "name": student.model.name,
                    "median band of an element of quaternaries, eV/atom": float(np.median(bands_of(student))),
                    "share of its band that a candidate needed, largest": float(share.max(initial=0)),
                    "candidates that needed half of their band": int((share > 0.5).sum()),
                }
                for student in students
                for share in (np.concatenate(shares[student.model.name]),)
            ],
            "share that the model itself predicted": refined / seen,
            "compositions/s/core, exact": rate[True],
            "compositions/s/core, with the students": rate[False],
            "ratio": rate[False] / rate[True],
            "hours for all 446,597,140 on two cores, at this rate": len(space) / rate[False] / 2 / 3600,
        },
    )


if __name__ == "__main__":
    main()
