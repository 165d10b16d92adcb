"""PADNet judged on samples that it did not learn from, part after part; what is answered is kept."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from matscreen.models.fit import write_table
from matscreen.models.loop import Progress
from matscreen.models.xrd.model import RegionModel
from matscreen.models.xrd.training import RegionRecipe, Samples, areas_of, fit, folds, untrained

BATCH = 8
"""Samples answered at a time."""


def crossvalidate(
    plan: str,
    samples: Samples,
    names: list[str],
    out: Path,
    recipe: RegionRecipe,
    count: int,
    told: dict[str, Any],
    report: Callable[[int, Progress], None] = lambda _part, _state: None,
) -> pa.Table:
    """Train on all parts but one, for each of `count`; the table sample, told, found, part is written to `out`.

    Each part's answers are written when it is done, so that the same call goes on with the next one. InputError for
    samples that cannot be learnt from.
    """
    parts = folds(samples.labels, count, recipe.seed)
    deciding = repr((plan, asdict(recipe), count, told, names, samples.classes, samples.elements))
    content = (samples.images, samples.compositions, samples.labels)
    identity = hashlib.sha256(deciding.encode() + b"".join(_digest(array) for array in content)).hexdigest()
    found = np.full(len(samples), -1)
    part_of = np.empty(len(samples), np.int64)
    for number, part in enumerate(parts):
        part_of[part] = number + 1
    with suppress(pa.ArrowException, OSError, KeyError):  # none, or a damaged one: all parts are done again
        kept = pa.parquet.read_table(out, partitioning=None)
        if (kept.schema.metadata or {}).get(b"of") == identity.encode():
            places = {name: n for n, name in enumerate(samples.classes)}
            found = np.array([places.get(name, -1) for name in kept["found"].to_pylist()])
    areas = areas_of(untrained(plan, samples, recipe), samples)
    for number, part in enumerate(parts):
        if (found[part] >= 0).all():
            continue
        own = out.with_suffix(f".part-{number + 1}.safetensors")
        model = fit(plan, samples, own, recipe, told, partial(report, number), part, areas)
        found[part] = answers(model, samples, part)
        write_table(out, _answers(names, samples, found, part_of, identity))
        for path in (own, own.with_suffix(".json"), own.with_suffix(".history.parquet")):
            path.unlink()
    return _answers(names, samples, found, part_of, identity)


def answers(model: RegionModel, samples: Samples, rows: np.ndarray) -> np.ndarray:
    """(len(rows),) place in the classes of what the model takes these samples for."""
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    chances = [model.probabilities(samples.images[part], samples.compositions[part]) for part in parts]
    return np.asarray(np.concatenate(chances).argmax(axis=1))


def _answers(names: list[str], samples: Samples, found: np.ndarray, part_of: np.ndarray, identity: str) -> pa.Table:
    columns = {
        "sample": names,
        "told": [samples.classes[n] for n in samples.labels],
        "found": [samples.classes[n] if n >= 0 else None for n in found],
        "part": part_of,
    }
    return pa.table(columns, metadata={"of": identity})


def _digest(array: np.ndarray) -> bytes:
    found = hashlib.sha256()
    for row in array:
        found.update(np.ascontiguousarray(row).tobytes())
    return found.digest()
