"""What a report says, gathered from a run directory: plain data, which the page draws."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.engine import rundir
from matscreen.engine.computed import read_computed
from matscreen.engine.explain.document import document
from matscreen.engine.explain.stability import explain
from matscreen.engine.merge import KEY
from matscreen.engine.pieces import RESCREENED, pieces, rows_at
from matscreen.engine.properties import Property
from matscreen.engine.reference import PhaseTable
from matscreen.engine.report.categories import Counts
from matscreen.engine.rescreen import current_list, with_computed
from matscreen.engine.scan import reopen
from matscreen.engine.schema import named
from matscreen.engine.search.pareto import front
from matscreen.engine.search.run import trace
from matscreen.engine.shortlist import Filters, places
from matscreen.engine.summary import Tally, by_arity
from matscreen.models.calibration import expectation

EXPLAINED = 5
"""Best candidates of which the page tells which way they would be better; each takes half a second."""

FOREIGN = 3
"""Other elements that it names for each."""

LISTED = 100_000
"""Most candidates in the table; the counts are of all."""

MATCHES = (0.01, 0.1)
"""Distances of fractions at which the thesis (3.3.9) takes a known compound for a match."""

BIN = 0.01
"""eV/atom; of the histogram, and wider by powers of two until it has at most `MOST_BINS`."""

MOST_BINS = 80


def contents(path: Path, filters: Filters, listed: int = LISTED) -> dict[str, Any]:
    """Everything the page shows of the finished run at `path`.

    Counts, heat map and histogram are of all candidates; the table lists the best `listed` that pass the filters.
    InputError and JobError as `rundir.open_candidates`.
    """
    config, summary = rundir.read_config(path), rundir.read_summary(path)
    computed = read_computed(path) if (path / RESCREENED).is_file() else None
    file, _ = current_list(path)
    counts, tally, distances = Counts(), Tally(), []
    occurrences: Counter[str] = Counter()
    matches = dict.fromkeys(MATCHES, 0)

    def counted() -> Iterator[pa.Table]:
        """The pieces as they are; what is counted of them is whole when all have passed."""
        for table in pieces(file):
            counts.count(tally.count(table))
            seen = pc.value_counts(pc.list_flatten(table["elements"].combine_chunks()))
            occurrences.update({row["values"]: row["counts"] for row in seen.to_pylist()})
            distances.append(table["hull_distance_ev_atom"].to_numpy())
            near = table["nearest_phase_distance"].drop_null().to_numpy()
            for least in MATCHES:
                matches[least] += int((near <= least + 1e-9).sum())
            yield table

    chosen, removed = places(counted(), filters)
    shown = rows_at(file, chosen[:listed])
    job = reopen(path, config)
    phases = job.phases if computed is None else with_computed(job.phases, computed)
    best = shown["formula"].slice(0, EXPLAINED).to_pylist()
    return {
        "run": {
            "name": path.resolve().name,
            "threshold": config.threshold if config.threshold > rundir.NO_THRESHOLD else None,
            "elements": config.space["elements"],
            "arity": config.space["arity"],
            "max_atoms": config.space["max_atoms"],
            "require": config.space["require"],
            "charge_neutral": config.charge_neutral,
            "fingerprint": config.fingerprint,
            "versions": json.loads((path / "run.json").read_text())["versions"],
            "student": bool(config.model["student"]),
            "likely_first": filters.likely_first,
        },
        "summary": {
            **{key: summary[key] for key in ("compositions", "screened", "throughput")},
            "candidates": tally.candidates.total(),
            "by_arity": by_arity(job.space, tally),
        },
        "matches": {f"{least:g}": number for least, number in matches.items()},
        "categories": counts.rows(),
        "occurrences": dict(sorted(occurrences.items())),
        "histogram": _histogram(np.concatenate([np.zeros(0), *distances])),
        "filters": removed,
        "candidates": _columns(shown),
        "properties": _properties(job.properties, shown),
        "directions": [document(explain(formula, job.model, phases), FOREIGN) for formula in best],
        "phases": _phases(phases, job.space.elements),
        "computed": None if computed is None else sorted(set(computed.table["formula"].to_pylist())),
        "model": _card(job.model.card),
        "expectation": expectation(job.model.card, config.threshold) or "",
        "reference": {
            "name": config.reference["name"],
            "checksum": config.reference["checksum"],
            "phases": len(job.phases),
        },
        "search": [
            one | dict(zip(("title", "unit"), named(one["name"]), strict=True)) for one in trace(path, config, job)
        ]
        if config.search
        else [],
        "timeline": _timeline(path, config.fingerprint),
    }


def _histogram(distances: np.ndarray) -> dict[str, Any]:
    if not len(distances):
        return {"start": 0.0, "width": BIN, "counts": []}
    width = BIN
    low, high = float(distances.min()), float(distances.max())
    while (high - low) / width > MOST_BINS:
        width *= 2
    start = math.floor(low / width) * width
    edges = start + width * np.arange(math.ceil((high - start) / width + 1e-9) + 1)
    return {"start": start, "width": width, "counts": np.histogram(distances, edges)[0].tolist()}


def _columns(shown: pa.Table) -> dict[str, Any]:
    """The table, by columns, with words that come again and again listed once: a browser reads few strings faster."""

    def listed(values: pa.Array | list[str | None]) -> dict[str, Any]:
        column = pa.array(values, pa.string()).dictionary_encode()
        return {"words": column.dictionary.to_pylist(), "codes": pc.fill_null(column.indices, -1).to_pylist()}

    def coded(name: str) -> dict[str, Any]:
        return listed(shown[name].combine_chunks())

    def rounded(name: str, digits: int = 4) -> list[float | None]:
        return [None if x is None else round(x, digits) for x in shown[name].to_pylist()]

    return {
        "formula": shown["formula"].to_pylist(),
        "system": coded("chemical_system"),
        "energy": rounded("formation_energy_ev_atom"),
        "uncertainty": rounded("uncertainty_ev_atom"),
        "hull": rounded("hull_energy_ev_atom"),
        "distance": rounded("hull_distance_ev_atom"),
        "balanced": shown["charge_balanced"].cast(pa.int8()).to_pylist(),
        "ordered": shown["electronegativity_ordered"].cast(pa.int8()).to_pylist(),
        "states": listed(
            [None if row is None else " ".join(map(str, row)) for row in shown["oxidation_states"].to_pylist()]
        ),
        "contains": listed([", ".join(row) for row in shown["contains"].to_pylist()]),
        "nearest": coded("nearest_phase"),
        "nearest_distance": rounded("nearest_phase_distance", 3),
        "analogue": coded("analogue"),
        "decomposition": [
            " + ".join(f"{part['fraction']:.2f} {part['formula']}" for part in parts)
            for parts in shown["decomposition"].to_pylist()
        ],
    }


def _properties(properties: Sequence[Property], shown: pa.Table) -> dict[str, Any]:
    """Each property of the listed candidates, and which of them are on the Pareto front.

    What counts are the distance to the hull and the properties of which large or small values are wanted.
    """
    counted = [one for one in properties if one.sign]
    losses = [shown[KEY].to_numpy(), *(one.sign * shown[one.column].to_numpy() for one in counted)]
    return {
        "columns": [
            {
                "name": one.column,
                "title": named(one.column)[0],
                "unit": named(one.column)[1],
                "sign": one.sign,
                "low": one.low if math.isfinite(one.low) else None,
                "high": one.high if math.isfinite(one.high) else None,
                "model": one.model.name,
                "values": [float(f"{x:.4g}") for x in shown[one.column].to_pylist()],
                "spreads": [
                    None if x is None else float(f"{x:.2g}") for x in shown[f"{one.column}_spread"].to_pylist()
                ],
            }
            for one in properties
        ],
        "front": front(np.column_stack(losses)).astype(int).tolist() if counted else [],
    }


def _phases(phases: PhaseTable, elements: Iterable[int]) -> list[list[Any]]:
    """[formula, atomic numbers, fractions, energy, whether on the hull of its own system] of compounds within them."""
    allowed, on_hull = set(elements), set(phases.on_own_hull.tolist())
    rows = zip(*(phases.table[name].to_pylist() for name in phases.table.column_names[:4]), strict=True)
    return [
        [formula, own, [round(f, 6) for f in fractions], round(energy, 5), int(row in on_hull)]
        for row, (formula, own, fractions, energy) in enumerate(rows)
        if len(own) > 1 and set(own) <= allowed
    ]


def _card(card: dict[str, Any]) -> dict[str, Any]:
    """What a reader wants of a model's card; long lists stay in the file."""
    wanted = ("name", "description", "network", "members", "inputs", "weights_sha256", "data", "training", "metrics")
    return {key: card[key] for key in wanted if key in card and not isinstance(card[key], list)}


def _timeline(path: Path, fingerprint: str) -> list[list[float]]:
    """[finished_at, compositions, enumerate, predict, hull, describe seconds] of each chunk, by time."""
    chunks = (rundir.read_chunk(file, fingerprint) for file in sorted((path / "chunks").glob("*.parquet")))
    return sorted(
        [
            round(c.finished_at, 3),
            c.stop - c.start,
            *(
                round(seconds, 4)
                for seconds in (c.enumerate_seconds, c.predict_seconds, c.hull_seconds, c.describe_seconds)
            ),
        ]
        for c in chunks
        if c
    )
