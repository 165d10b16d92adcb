"""What is whole is read back, what is not is never taken: chunks."""

import hashlib
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import CompositionSpace, rundir
from matscreen.engine.rundir import Chunk, RunConfig
from matscreen.engine.screen import Screened

SPACE = CompositionSpace("Li-Ti-O")


def test_a_chunk_is_read_back(chunk: Chunk, config: RunConfig, screened: Screened) -> None:
    assert rundir.read_chunk(chunk.file, config.fingerprint) == chunk
    assert chunk.file.name.startswith("000003-")
    assert (chunk.number, chunk.start, chunk.stop) == (3, 0, len(SPACE))
    assert chunk.candidates == len(screened.candidates)
    for name in set(asdict(chunk)) & set(Screened.__dataclass_fields__) - {"candidates"}:
        assert getattr(chunk, name) == getattr(screened, name), name
    assert abs(chunk.finished_at - time.time()) < 60
    found = pq.read_table(chunk.file).replace_schema_metadata(None)
    rows = sorted(screened.candidates.to_pylist(), key=lambda row: (row["hull_distance_ev_atom"], row["id"]))
    assert found.to_pylist() == rows


def test_ties_are_in_the_order_of_ids(path: Path, config: RunConfig, screened: Screened) -> None:
    tied = pa.Table.from_batches([screened.candidates])
    at = tied.schema.get_field_index("hull_distance_ev_atom")
    tied = tied.set_column(at, tied.schema.field(at), pa.array(np.zeros(len(tied))))
    mixed = tied.take(pa.array(np.random.default_rng(0).permutation(len(tied)))).combine_chunks().to_batches()[0]
    written = rundir.write_chunk(path, config.fingerprint, 0, (0, 1), replace(screened, candidates=mixed))
    assert pq.read_table(written.file)["id"].to_pylist() == sorted(tied["id"].to_pylist())


def renamed(file: Path, content: bytes, number: str = "000003") -> Path:
    """A file with the checksum of its content in its name, as if it had been written so."""
    honest = file.with_name(f"{number}-{hashlib.sha256(content).hexdigest()[:16]}.parquet")
    file.unlink(missing_ok=True)
    honest.write_bytes(content)
    return honest


def test_what_is_no_chunk_of_the_run(chunk: Chunk, config: RunConfig) -> None:
    content = chunk.file.read_bytes()
    for at in range(0, len(content), 997):
        damaged = bytearray(content)
        damaged[at] ^= 1
        chunk.file.write_bytes(damaged)
        assert rundir.read_chunk(chunk.file, config.fingerprint) is None
    chunk.file.write_bytes(content)
    assert rundir.read_chunk(chunk.file, "0" * 64) is None
    assert rundir.read_chunk(renamed(chunk.file, content, "000004"), config.fingerprint) is None
    assert rundir.read_chunk(renamed(chunk.file, b"no table"), config.fingerprint) is None
    assert rundir.read_chunk(chunk.file.with_name("000003-0.parquet"), config.fingerprint) is None


def test_chunks_that_say_too_little_too_much_or_something_else(chunk: Chunk, config: RunConfig) -> None:
    table = pq.read_table(chunk.file)
    told = json.loads(table.schema.metadata[b"matscreen"])

    def read(metadata: dict[str, str] | None, table: pa.Table = table) -> Chunk | None:
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink)
        return rundir.read_chunk(renamed(chunk.file, sink.getvalue().to_pybytes()), config.fingerprint)

    assert read({"matscreen": json.dumps(told)}) is not None
    assert read(None) is None
    assert read({"matscreen": "nonsense"}) is None
    assert read({"matscreen": json.dumps(told | {"more": 1})}) is None
    assert read({"matscreen": json.dumps({k: v for k, v in told.items() if k != "refined"})}) is None
    assert read({"matscreen": json.dumps({k: v for k, v in told.items() if k != "fingerprint"})}) is None
    assert read({"matscreen": json.dumps(told)}, table.drop_columns(["formula"])) is None


def test_finished_chunks_are_those_that_can_be_trusted(path: Path, config: RunConfig, screened: Screened) -> None:
    ranges = [(0, 50), (50, 100), (100, 150), (150, len(SPACE))]
    written = {
        number: rundir.write_chunk(path, config.fingerprint, number, ranges[number], screened) for number in (2, 0)
    }
    assert rundir.finished_chunks(path, config.fingerprint, ranges) == (written, 0)
    assert not (path / "rejected").exists()
    beyond = rundir.write_chunk(path, config.fingerprint, len(ranges), ranges[0], screened)
    of_other_ids = rundir.write_chunk(path, config.fingerprint, 1, (ranges[1][0], ranges[1][1] + 1), screened)
    of_another_run = rundir.write_chunk(path, "0" * 64, 3, ranges[3], screened)
    lost = [file.file for file in (beyond, of_other_ids, of_another_run)]
    written[2].file.write_bytes(b"")
    found, rejected = rundir.finished_chunks(path, config.fingerprint, ranges)
    assert (found, rejected) == ({0: written[0]}, 4)
    names = {file.name for file in (*lost, written[2].file)}
    assert {file.name for file in (path / "rejected").iterdir()} == names
    assert [file.name for file in (path / "chunks").iterdir()] == [written[0].file.name]


def test_rejected_files_keep_out_of_each_others_way(path: Path, config: RunConfig, chunk: Chunk) -> None:
    for trial in range(3):
        chunk.file.unlink(missing_ok=True)
        chunk.file.mkdir()
        (chunk.file / "full").touch()
        assert rundir.finished_chunks(path, config.fingerprint, [(0, 1)] * 4) == ({}, 1)
        assert len(list((path / "rejected").iterdir())) == trial + 1
