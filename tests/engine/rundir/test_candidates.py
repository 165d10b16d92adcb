"""What is whole is read back, what is not is never taken: candidates and summaries."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine import rundir, schema
from matscreen.engine.merge import merge
from matscreen.engine.rundir import Chunk, RunConfig
from matscreen.engine.screen import Screened
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import checksum

SESSION = {"last_session_compositions": 1, "last_session_seconds": 2.5}


def finish(path: Path, config: RunConfig, tables: list[pa.Table]) -> str:
    """Candidates and the summary of a run that has ended."""
    checksum = rundir.write_candidates(path, config.fingerprint, tables)
    summary = {"candidates": 1, "by_arity": {}, "throughput": SESSION, "candidates_sha256": checksum}
    (path / "summary.json").write_text(json.dumps(summary))
    return checksum


def test_candidates_are_read_back(path: Path, config: RunConfig, chunk: Chunk) -> None:
    tables = list(merge([chunk.file], rows=10))
    assert len(tables) > 2
    checksum = finish(path, config, tables)
    assert checksum == hashlib.sha256((path / "candidates.parquet").read_bytes()).hexdigest()
    opened = rundir.open_candidates(path)
    assert opened.num_row_groups == len(tables)
    assert opened.schema_arrow.equals(schema.CANDIDATES)
    whole = rundir.read_candidates(path)
    assert whole.equals(pa.concat_tables(tables).combine_chunks())
    for top in (0, 1, len(tables[0]), len(tables[0]) + 1, 10**6):
        assert rundir.read_candidates(path, top).equals(whole.slice(0, top))


def test_tables_of_any_length_are_read_back(path: Path, config: RunConfig, chunk: Chunk) -> None:
    whole = pq.read_table(chunk.file).replace_schema_metadata(None)
    finish(path, config, [whole.slice(0, 3), whole.slice(3, 10), whole.slice(13)])
    for top in (3, 4, 12, 13, 14, 15):
        assert rundir.read_candidates(path, top).equals(whole.slice(0, top))
    finish(path, config, [whole.slice(0, 0)])
    assert len(rundir.read_candidates(path)) == 0


def test_chunks_that_change_while_they_are_merged(
    path: Path, config: RunConfig, chunk: Chunk, screened: Screened, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rundir.write_chunk(path, config.fingerprint, 4, (0, 1), screened)
    whole = [table.to_pylist() for table in rundir.merged(path, [chunk, other])]
    assert whole == [table.to_pylist() for table in merge([chunk.file, other.file])]
    content = other.file.read_bytes()
    for damaged in (chunk.file.read_bytes(), content[:-9], b""):  # the first can be read as well as what was there
        other.file.write_bytes(damaged)
        with pytest.raises(JobError, match=rf"{other.file} was damaged while the scan was at work"):
            list(rundir.merged(path, [chunk, other]))
    other.file.write_bytes(content)

    def failing(error: Exception) -> None:
        def merge_and_fail(_: object) -> None:
            raise error

        monkeypatch.setattr(rundir, "merge", merge_and_fail)
        list(rundir.merged(path, [chunk, other]))

    with pytest.raises(JobError, match="not enough memory to put the candidates in order"):
        failing(MemoryError())
    with pytest.raises(ZeroDivisionError):  # nothing is wrong with the files
        failing(ZeroDivisionError())


def test_candidates_that_are_not_there_or_not_these(path: Path, config: RunConfig, chunk: Chunk) -> None:
    tables = list(merge([chunk.file]))
    with pytest.raises(InputError, match="has not ended; continue it"):
        rundir.open_candidates(path)
    rundir.write_candidates(path, config.fingerprint, tables)
    with pytest.raises(InputError, match="has not ended; continue it"):
        rundir.open_candidates(path)
    finish(path, replace(config, threshold=1.0), tables)
    with pytest.raises(JobError, match="belongs to another run"):
        rundir.open_candidates(path)
    finish(path, config, tables)
    with (path / "candidates.parquet").open("ab") as file:
        file.write(b"more")
    with pytest.raises(JobError, match="not what the run wrote"):
        rundir.read_candidates(path)
    for content in (b"", b"no table"):
        finish(path, config, tables)
        (path / "candidates.parquet").write_bytes(content)
        summary = json.loads((path / "summary.json").read_text())
        summary["candidates_sha256"] = checksum(path / "candidates.parquet")
        (path / "summary.json").write_text(json.dumps(summary))
        with pytest.raises(JobError, match=r"is damaged \(.*Parquet.*\); .*makes it anew"):
            rundir.read_candidates(path)


def test_summaries(path: Path) -> None:
    whole = {"candidates": 1, "by_arity": {}, "throughput": SESSION, "candidates_sha256": "a"}
    (path / "summary.json").write_text(json.dumps(whole))
    assert rundir.read_summary(path) == whole
    for key in whole:
        for damaged in (whole | {key: None}, {k: v for k, v in whole.items() if k != key}):
            (path / "summary.json").write_text(json.dumps(damaged))
            with pytest.raises(JobError, match=rf"is damaged \({key} is missing"):
                rundir.read_summary(path)
    for lacking in ({"by_arity": {"2": {"compositions": 3}}}, {"by_arity": {"2": 3}}, {"throughput": {}}):
        (path / "summary.json").write_text(json.dumps(whole | lacking))
        with pytest.raises(JobError, match="lacks"):
            rundir.read_summary(path)
    for text in ("", "[]", "nonsense", "[" * 10**6):
        (path / "summary.json").write_text(text)
        with pytest.raises(JobError, match="is damaged"):
            rundir.read_summary(path)
    (path / "summary.json").unlink()
    with pytest.raises(InputError, match="has not ended"):
        rundir.read_summary(path)
