"""Candidates of all chunks, or parts of a list, in one order, however many there are: a distribution sort over files.

Counting distances cuts their axis into ranges of a bounded number of candidates; a range at a time is then read from
every file and sorted. The cuts depend on the candidates alone, so the same candidates give the same tables.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matscreen.engine import schema

ROWS = 2**20
"""Candidates sorted at a time; a process that merges twice as many needs 0.9 GB at its peak."""

KEY = "hull_distance_ev_atom"
_CUTS = np.arange(-100_000, 100_001) / 1000  # eV/atom; fine against what distances there are, few against candidates


def merge(files: Sequence[Path], rows: int = ROWS) -> Iterator[pa.Table]:
    """Tables of `schema.candidates`, by rising hull distance and id from the first row of the first to the last.

    A table holds at most `rows` candidates, or all within 0.001 eV/atom (beyond 100 all) if those are more. At least
    one is given.
    """
    counts = np.zeros(len(_CUTS) + 1, np.int64)
    for file in files:
        distance = read_part(file, columns=[KEY])[KEY].to_numpy()
        counts += np.bincount(np.searchsorted(_CUTS, distance, side="right"), minlength=len(counts))
    filled = np.flatnonzero(counts)
    low = -np.inf
    while len(filled):
        fits = max(int(np.searchsorted(np.cumsum(counts[filled]), rows, side="right")), 1)
        high = np.inf if fits == len(filled) else _CUTS[filled[fits] - 1]
        yield _sorted_range(files, low, high)
        low, filled = high, filled[fits:]
    if low == -np.inf:
        yield _schema(files).empty_table()


def read_part(file: Path, **how: Any) -> pa.Table:
    """One of the files, read `how` PyArrow's `read_table` is told; its pages are compared with their sums, if any."""
    return pq.read_table(file, partitioning=None, page_checksum_verification=True, **how)


def _sorted_range(files: Sequence[Path], low: float, high: float) -> pa.Table:
    within = (pc.field(KEY) >= low) & (pc.field(KEY) < high)
    parts = [read_part(file, filters=within).replace_schema_metadata(None) for file in files]
    table = pa.concat_tables(parts)
    order = np.lexsort((table["id"].to_numpy(), table[KEY].to_numpy()))
    return table.take(pa.array(order)).cast(_schema(files)).combine_chunks()


def _schema(files: Sequence[Path]) -> pa.Schema:
    """Of the candidates; all files have the same."""
    return pq.read_schema(files[0]).remove_metadata() if files else schema.CANDIDATES
