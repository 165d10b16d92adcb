"""Candidates of all chunks in one order: nothing is lost or doubled, however the parts are cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, schema
from matscreen.engine.merge import KEY, merge
from matscreen.engine.screen import screen
from matscreen.models import Model


@pytest.fixture(scope="module")
def row(model: Model, phases: PhaseTable) -> pa.Table:
    """A candidate."""
    return pa.Table.from_batches([screen(CompositionSpace("Li-O")[:], model, phases, -10.0)]).slice(0, 1)


def written(row: pa.Table, distances: list[np.ndarray], folder: Path, rng: np.random.Generator) -> list[Path]:
    """Chunk files whose candidates have these distances, and ids in no order."""
    ids = iter(np.array_split(rng.permutation(sum(map(len, distances))), np.cumsum(list(map(len, distances)))[:-1]))
    files = []
    for number, chunk in enumerate(distances):
        table = row.take(pa.array(np.zeros(len(chunk), int)))
        for name, values in ((KEY, chunk), ("id", next(ids))):
            field = table.schema.field(name)
            table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
        files.append(folder / f"{number}.parquet")
        pq.write_table(table, files[-1])
    return files


def keys(tables: list[pa.Table]) -> list[tuple[float, int]]:
    return [(r[KEY], r["id"]) for table in tables for r in table.select([KEY, "id"]).to_pylist()]


@pytest.mark.parametrize(
    "kind", ["spread", "on the cuts", "ties", "beyond the range", "beside the cuts", "in few files", "all alike"]
)
@pytest.mark.parametrize("rows", [1, 7, 100, 10**6])
def test_as_a_plain_sort(kind: str, rows: int, row: pa.Table, tmp_path: Path, rng: np.random.Generator) -> None:
    draws = {
        "spread": lambda n: rng.normal(size=n) - 1,
        "on the cuts": lambda n: rng.integers(-20, 20, n) * 1e-3,
        "ties": lambda n: rng.choice([-0.3, -0.2, 0.1], n),
        "beyond the range": lambda n: rng.choice([-1e6, -100.0, -99.9995, 99.9995, 100.0, 1e6], n),
        "beside the cuts": lambda n: np.nextafter(rng.integers(-20, 20, n) * 1e-3, rng.choice([-np.inf, np.inf], n)),
        "in few files": lambda n: rng.normal(size=n) if n > 60 else np.empty(0),
        "all alike": lambda n: np.full(n, -0.5),
    }
    files = written(row, [draws[kind](int(n)) for n in rng.integers(0, 90, 5)], tmp_path, rng)
    tables = list(merge(files, rows))
    merged = keys(tables)
    assert merged == sorted(keys([pq.read_table(file) for file in files]))
    assert all(table.schema.equals(schema.CANDIDATES) for table in tables)
    assert all(len(table) for table in tables) or len(tables) == 1
    for table in tables:  # bounded, but for what lies within one cut
        spread = np.ptp(table[KEY].to_numpy()) if len(table) else 0
        assert len(table) <= rows or spread < 1.001e-3 or kind == "beyond the range"
    if kind == "spread" and rows > 1:
        assert len(tables) >= len(merged) / rows


def test_nothing_at_all(row: pa.Table, tmp_path: Path, rng: np.random.Generator) -> None:
    for files in ([], written(row, [np.empty(0), np.empty(0)], tmp_path, rng)):
        tables = list(merge(files))
        assert [len(table) for table in tables] == [0]
        assert tables[0].schema.equals(schema.CANDIDATES)
