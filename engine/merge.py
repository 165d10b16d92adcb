"""Candidates of all chunks in one order, however many there are: a distribution sort over files.

Counting distances cuts their axis into ranges of a bounded number of candidates; a range at a time is then read from
every file and sorted. The cuts depend on the candidates alone, so the same candidates give the same tables.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matscreen.engine import schema

ROWS = 2**20
"""Candidates sorted at a time; a process that merges twice as many needs 0.9 GB at its peak."""

KEY = "hull_distance_ev_atom"
_BIN = 1e-3  # eV/atom; far finer than the range, far coarser than the number of candidates
_LOWEST, _HIGHEST = -100.0, 100.0  # eV/atom; what lies beyond is in the first or last range


def merge(files: Sequence[Path], rows: int = ROWS) -> Iterator[pa.Table]:
    """Tables of `schema.CANDIDATES`, by rising hull distance and id from the first row of the first to the last.

    A table holds at most `rows` candidates, or all within 0.001 eV/atom if those are more. At least one is given.
    """
    bins = round((_HIGHEST - _LOWEST) / _BIN)
    counts = np.zeros(bins, np.int64)
    for file in files:
        distance = pq.read_table(file, columns=[KEY], partitioning=None)[KEY].to_numpy()
        counts += np.bincount(((distance - _LOWEST) / _BIN).clip(0, bins - 1).astype(np.int64), minlength=bins)
    filled = np.flatnonzero(counts)
    low = -np.inf
    while len(filled):
        fits = max(int(np.searchsorted(np.cumsum(counts[filled]), rows, side="right")), 1)
        high = np.inf if fits == len(filled) else _LOWEST + filled[fits] * _BIN
        yield _sorted_range(files, low, high)
        low, filled = high, filled[fits:]
    if low == -np.inf:
        yield schema.CANDIDATES.empty_table()


def _sorted_range(files: Sequence[Path], low: float, high: float) -> pa.Table:
    within = (pc.field(KEY) >= low) & (pc.field(KEY) < high)
    parts = [pq.read_table(f, filters=within, partitioning=None).replace_schema_metadata(None) for f in files]
    table = pa.concat_tables(parts)
    order = np.lexsort((table["id"].to_numpy(), table[KEY].to_numpy()))
    return table.take(pa.array(order)).cast(schema.CANDIDATES).combine_chunks()
