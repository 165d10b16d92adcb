"""Tables in pieces, and rows out of them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine.pieces import pieces, rows_at, rows_in_parts, write_pieces
from matscreen.models.errors import JobError


@pytest.fixture
def table() -> pa.Table:
    numbers = np.random.default_rng(0).integers(0, 2**62, 1000)
    return pa.table({"number": numbers, "name": [f"row {n}" for n in numbers]})


@pytest.fixture
def file(table: pa.Table, tmp_path: Path) -> Path:
    path = tmp_path / "rescreened.parquet"
    pq.write_table(table.replace_schema_metadata({"from": "elsewhere"}), path, row_group_size=128, compression="zstd")
    return path


def test_pieces_are_the_table(table: pa.Table, file: Path, tmp_path: Path) -> None:
    found = list(pieces(file))
    assert [len(one) for one in found] == [*[128] * 7, 104]
    assert pa.concat_tables(found).equals(table, check_metadata=True)
    assert [one.column_names for one in pieces(file, ["name", "colour"])] == [["name"]] * 8
    empty = tmp_path / "empty.parquet"
    pq.write_table(table.slice(0, 0), empty, row_group_size=1)
    assert [(len(one), one.schema) for one in pieces(empty)] == [(0, table.schema)]


@pytest.mark.parametrize("wanted", [[], [999], [5, 0, 999, 128, 127, 5], list(range(1000)), list(range(999, -1, -1))])
def test_rows_come_in_the_order_asked_for(wanted: list[int], table: pa.Table, file: Path) -> None:
    places = np.array(wanted, np.int64)
    assert rows_at(file, places).equals(table.take(pa.array(places)), check_metadata=True)


def test_rows_in_parts(table: pa.Table, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matscreen.engine.pieces.AT_ONCE", 300)
    places = np.random.default_rng(1).permutation(1000)
    found = list(rows_in_parts(file, places))
    assert [len(one) for one in found] == [300, 300, 300, 100]
    assert pa.concat_tables(found).equals(table.take(pa.array(places)))
    assert [one.schema for one in rows_in_parts(file, places[:0])] == [table.schema]
    reading = rows_in_parts(file, places)
    first = next(reading)
    write_pieces(file, [table[:10]], {})  # by somebody who measures the list again meanwhile
    assert pa.concat_tables([first, *reading]).equals(table.take(pa.array(places)))


def test_damage_is_said(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4:60] = bytes(56)  # the header of the first page
    file.write_bytes(content)
    for read in (lambda: list(pieces(file)), lambda: rows_at(file, np.arange(1000))):
        with pytest.raises(JobError, match=r"rescreened.parquet is damaged .*`matscreen rescreen .*makes it anew"):
            read()


def test_what_is_written_is_read(table: pa.Table, tmp_path: Path) -> None:
    file = tmp_path / "rescreened.parquet"
    for parts in ([table], [table[:300], table[300:300], table[300:]], [table[:0]]):
        write_pieces(file, iter(parts), {"of": "all"})
        assert [len(one) for one in pieces(file)] == [len(part) for part in parts]
        assert pa.concat_tables(pieces(file)).equals(pa.concat_tables(parts))
        assert pq.read_schema(file).metadata == {b"matscreen": b'{"of": "all"}'}


def test_damage_that_could_be_read_is_said(table: pa.Table, tmp_path: Path) -> None:
    """A bit of every 97th byte of the pages."""
    file = tmp_path / "rescreened.parquet"
    write_pieces(file, [table], {})
    content = file.read_bytes()
    group = pq.ParquetFile(file).metadata.row_group(0)
    end = 4 + sum(group.column(n).total_compressed_size for n in range(group.num_columns))
    silent = 0
    for place in range(4, end, 97):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            silent += not pa.concat_tables(pieces(file)).equals(table)
        except JobError:
            continue
    assert silent == 0


def test_too_little_memory_is_no_damage(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise pa.ArrowMemoryError("realloc of size 12345 failed")

    monkeypatch.setattr(pa, "concat_tables", full)
    with pytest.raises(JobError, match="not enough memory"):
        rows_at(file, np.arange(10))
