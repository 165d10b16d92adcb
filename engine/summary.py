"""The counts and rates of a finished run, as `summary.json` has them."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from matscreen.engine.rundir import Chunk
from matscreen.engine.space import CompositionSpace


class Tally:
    """Counts by arity over tables that pass by."""

    def __init__(self) -> None:
        self.candidates: Counter[int] = Counter()
        self.systems: dict[int, set[str]] = defaultdict(set)

    def count(self, table: pa.Table) -> pa.Table:
        """`table` as it is."""
        arity = table["n_elements"].to_numpy()
        for k in np.unique(arity).tolist():
            mine = table["chemical_system"].filter(pa.array(arity == k))
            self.candidates[k] += len(mine)
            self.systems[k].update(mine.unique().to_pylist())
        return table


def by_arity(space: CompositionSpace, tally: Tally) -> dict[str, dict[str, int]]:
    """Compositions and systems of the space, and candidates and systems with one, by number of elements."""
    return {
        str(b.arity): {
            "compositions": b.stop - b.start,
            "systems": b.systems,
            "candidates": tally.candidates[b.arity],
            "systems_with_candidate": len(tally.systems[b.arity]),
        }
        for b in space.blocks
    }


def summarize(
    space: CompositionSpace,
    chunks: dict[int, Chunk],
    tally: Tally,
    checksum: str,
    scanned_now: int,
    seconds: float,
    merge_seconds: float,
) -> dict[str, Any]:
    """`summary.json` of a run; `scanned_now` compositions took `seconds`, the rest was done before."""
    screened = sum(c.screened for c in chunks.values())

    def rate(count: int, stage: str) -> int | None:
        taken: float = sum(getattr(chunk, f"{stage}_seconds") for chunk in chunks.values())
        return round(count / taken) if taken else None

    return {
        "compositions": len(space),
        "screened": screened,
        "predicted_by_the_model_itself": sum(c.refined for c in chunks.values()),
        "predicted_again_by_the_definition": sum(c.checked for c in chunks.values()),
        "below_the_hull_but_without_the_properties_wanted": sum(c.outside for c in chunks.values()),
        "candidates_on_a_face_of_the_hull": sum(c.degenerate for c in chunks.values()),
        "candidates": tally.candidates.total(),
        "by_arity": by_arity(space, tally),
        "throughput": {
            "last_session_compositions": scanned_now,
            "last_session_seconds": round(seconds, 3),
            "enumerate_per_second_per_thread": rate(len(space), "enumerate"),
            "predict_per_second_per_thread": rate(screened, "predict"),
            "hull_per_second_per_thread": rate(screened, "hull"),
            "describe_candidates_per_second_per_thread": rate(tally.candidates.total(), "describe"),
            "merge_seconds": round(merge_seconds, 3),
        },
        "candidates_sha256": checksum,
    }
