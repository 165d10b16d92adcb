"""A run's list of candidates, which need not fit into memory: written and read in pieces, or a few rows at a time."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.models.errors import JobError
from matscreen.models.files import write_atomically

CANDIDATES = "candidates.parquet"
"""File of all candidates of a finished run."""

RESCREENED = "rescreened.parquet"
"""File of those that are left of them since some compounds were calculated."""

AT_ONCE = 2**20
"""Rows of a long list that are given at a time. In another order than the file's, each part reads all of it."""

_MADE_BY = {CANDIDATES: "resume", RESCREENED: "rescreen"}


def write_pieces(file: Path, tables: Iterable[pa.Table], told: dict[str, Any]) -> None:
    """Write tables, of which there is at least one, to one of these files: a row group each, and a sum of every page.

    told : goes with the file, under "matscreen" in the metadata of its schema
    """
    metadata = {"matscreen": json.dumps(told)}

    def write(temporary: Path) -> None:
        rest = iter(tables)
        first = next(rest)
        schema = first.schema.with_metadata(metadata)
        with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer:
            for table in chain([first], rest):
                writer.write_table(table.replace_schema_metadata(metadata), row_group_size=max(len(table), 1))

    write_atomically(file, write)


def pieces(file: Path, columns: Iterable[str] | None = None) -> Iterator[pa.Table]:
    """Row groups of one of these files, at least one table, with all columns or those of `columns` that it has.

    JobError for a file that is damaged, or too little memory.
    """
    wanted = None if columns is None else list(columns)
    with _read(file) as opened:
        for group in range(opened.num_row_groups):
            yield opened.read_row_group(group, wanted).replace_schema_metadata(None)
        if not opened.num_row_groups:
            yield opened.schema_arrow.empty_table().replace_schema_metadata(None)


def rows_at(file: Path, wanted: np.ndarray) -> pa.Table:
    """The rows whose places in the file are `wanted` (N,), in that order; errors as `pieces`."""
    with _read(file) as opened:
        return _rows(opened, wanted)


def rows_in_parts(file: Path, wanted: np.ndarray) -> Iterator[pa.Table]:
    """`rows_at` in tables of at most `AT_ONCE` rows, at least one table; all of the file as it was at the first."""
    with _read(file) as opened:
        for start in range(0, max(len(wanted), 1), AT_ONCE):
            yield _rows(opened, wanted[start : start + AT_ONCE])


def _rows(opened: pq.ParquetFile, wanted: np.ndarray) -> pa.Table:
    order = np.argsort(wanted, kind="stable")
    rising = wanted[order]
    found, start = [opened.schema_arrow.empty_table()], 0
    for group in range(opened.num_row_groups):
        stop = start + opened.metadata.row_group(group).num_rows
        first, last = np.searchsorted(rising, [start, stop])
        if first < last:
            found.append(opened.read_row_group(group).take(pa.array(rising[first:last] - start)))
        start = stop
    back = np.argsort(order, kind="stable")
    return pa.concat_tables(found).take(pa.array(back)).combine_chunks().replace_schema_metadata(None)


@contextmanager
def _read(file: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            yield opened
    except MemoryError:
        raise JobError(f"there is not enough memory to read {file}; make room, or ask for less") from None
    except (pa.ArrowException, OSError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        again = f"`matscreen {_MADE_BY[file.name]} {file.parent}` makes it anew"
        raise JobError(f"{file} is damaged ({said}); {again}") from None
