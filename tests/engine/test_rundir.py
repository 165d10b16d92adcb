"""The promises of the run directory, one by one: what is whole is read back, what is not is never taken."""

import fcntl
import hashlib
import json
import os
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, rundir, schema
from matscreen.engine.digested import checksum
from matscreen.engine.lock import holder, locked
from matscreen.engine.merge import merge
from matscreen.engine.rundir import Chunk, RunConfig
from matscreen.engine.screen import Screened, screen_chunk
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically

SPACE = CompositionSpace("Li-Ti-O")
GAP = {"column": "gap", "model": "m", "source": "s", "checksum": "c", "low": 1.0, "high": None, "goal": 0}
SEARCH = {"objectives": [["gap", 1]], "evaluations": 120, "seed": 0, "latent": "c"}
SESSION = {"last_session_compositions": 1, "last_session_seconds": 2.5}


@pytest.fixture(scope="module")
def known(phases: PhaseTable) -> PhaseTable:
    return PhaseTable.from_table("known", phases.system("Li-Ti-O").select(schema.PHASES.names))


@pytest.fixture(scope="module")
def screened(model: Model, known: PhaseTable) -> Screened:
    found = screen_chunk(SPACE[:], model, known, 0.0, False, True)
    assert len(found.candidates) > 20
    return replace(found, enumerate_seconds=0.5)


@pytest.fixture
def config(model: Model, known: PhaseTable) -> RunConfig:
    return RunConfig(
        version="1",
        space=SPACE.spec(),
        threshold=0.0,
        charge_neutral=False,
        chunk_size=100,
        model={"name": model.name, "source": "here", "checksum": model.checksum, "student": ""},
        reference={"name": "known", "origin": {"path": "there"}, "checksum": known.checksum},
    )


@pytest.fixture
def path(tmp_path: Path, config: RunConfig, known: PhaseTable) -> Path:
    """A run without chunks."""
    rundir.create(tmp_path / "deep" / "run", config, known.table, {"python": "3"})
    return tmp_path / "deep" / "run"


@pytest.fixture
def chunk(path: Path, config: RunConfig, screened: Screened) -> Chunk:
    return rundir.write_chunk(path, config.fingerprint, 3, (0, len(SPACE)), screened)


def finish(path: Path, config: RunConfig, tables: list[pa.Table]) -> str:
    """Candidates and the summary of a run that has ended."""
    checksum = rundir.write_candidates(path, config.fingerprint, tables)
    summary = {"candidates": 1, "by_arity": {}, "throughput": SESSION, "candidates_sha256": checksum}
    (path / "summary.json").write_text(json.dumps(summary))
    return checksum


def test_the_fingerprint_is_of_what_decides_the_candidates(config: RunConfig) -> None:
    deciding = [
        replace(config, version="2"),
        replace(config, space={**config.space, "max_atoms": 9}),
        replace(config, threshold=0.1),
        replace(config, charge_neutral=True),
        replace(config, chunk_size=101),
        replace(config, model={**config.model, "checksum": "other"}),
        replace(config, model={**config.model, "student": "other"}),
        replace(config, reference={**config.reference, "checksum": "other"}),
    ]
    same = [
        replace(config, model={**config.model, "source": "elsewhere", "name": "other"}),
        replace(config, reference={**config.reference, "origin": {}, "name": "other"}),
        RunConfig(**json.loads(json.dumps(asdict(config)))),
    ]
    assert len({c.fingerprint for c in [config, *deciding]}) == len(deciding) + 1
    assert {c.fingerprint for c in same} == {config.fingerprint}
    assert len(config.fingerprint) == 64


def test_the_order_of_words_decides_nothing(config: RunConfig) -> None:
    turned = {field: getattr(config, field) for field in ("space", "model", "reference")}
    turned = {field: dict(reversed(words.items())) for field, words in turned.items()}
    assert replace(config, **turned).fingerprint == config.fingerprint
    assert (
        len({c.fingerprint for c in (config, replace(config, search=SEARCH), replace(config, properties=(GAP,)))}) == 3
    )


def test_a_run_without_properties_is_known_by_what_it_always_was(config: RunConfig) -> None:
    deciding = asdict(config)
    assert (deciding.pop("properties"), deciding.pop("search")) == ((), {})  # once there were none
    deciding |= {"model": [config.model["checksum"], ""], "reference": config.reference["checksum"]}
    assert config.fingerprint == hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def test_which_words_of_a_property_decide(config: RunConfig) -> None:
    one = replace(config, properties=(GAP,)).fingerprint
    for word, value in (("model", "other"), ("source", "other")):
        assert replace(config, properties=(GAP | {word: value},)).fingerprint == one
    for word, value in (("checksum", "other"), ("column", "other"), ("low", 0.5), ("high", 2.0), ("goal", 1)):
        assert replace(config, properties=(GAP | {word: value},)).fingerprint != one


def read_again(path: Path, config: RunConfig) -> RunConfig:
    """What is read of a run.json that says this."""
    (path / "run.json").write_text(json.dumps(asdict(config) | {"fingerprint": config.fingerprint}))
    return rundir.read_config(path)


def test_properties_are_as_a_scan_writes_them(path: Path, config: RunConfig) -> None:
    for change in ({}, {"low": None}, {"high": 3}, {"goal": -1}, {"goal": 1}):
        asked = replace(config, properties=(GAP, GAP | change))
        assert read_again(path, asked) == asked
    words: list[dict[str, object]] = [{word: 3} for word in ("column", "model", "source", "checksum")]
    for wrong in ({"more": 1}, {"low": "1"}, {"high": [1]}, {"goal": 2}, {"goal": -2}, {"goal": None}, *words):
        with pytest.raises(InputError, match="a property is not as a scan writes it"):
            read_again(path, replace(config, properties=(GAP, GAP | wrong)))
    for word in GAP:
        with pytest.raises(InputError, match="a property is not as a scan writes it"):
            read_again(path, replace(config, properties=({w: v for w, v in GAP.items() if w != word},)))


def test_searches_are_as_a_search_writes_them(path: Path, config: RunConfig) -> None:
    most = 2**32
    good = (
        {},
        {"evaluations": 1},
        {"evaluations": most - 1},
        {"seed": most - 2},
        {"objectives": [["a", -1], ["b", 1]]},
    )
    for change in good:
        asked = replace(config, search=SEARCH | change)
        assert read_again(path, asked) == asked
    numbers = [{word: value} for word in ("evaluations", "seed") for value in (-1, most, "5", 2.5)]
    wrong = [{"more": 1}, {"evaluations": 0}, {"objectives": []}, {"objectives": [["a", 0]]}, {"objectives": [[3, 1]]}]
    for change in [*wrong, *numbers]:
        with pytest.raises(InputError, match="run.json cannot be read"):
            read_again(path, replace(config, search=SEARCH | change))
    for size in (0, most):
        with pytest.raises(InputError, match="the search is not as a search writes it"):
            read_again(path, replace(config, search=SEARCH, chunk_size=size))
    for word in SEARCH:
        with pytest.raises(InputError, match="run.json cannot be read"):
            read_again(path, replace(config, search={w: v for w, v in SEARCH.items() if w != word}))
    assert rundir.NO_THRESHOLD < -100  # what a search keeps may lie far above the hull


def test_a_new_run(path: Path, config: RunConfig, known: PhaseTable) -> None:
    assert {entry.name for entry in path.iterdir()} == {"run.json", "phases.parquet", "chunks", "lock"}
    assert rundir.read_config(path) == config
    assert rundir.read_phases(path, config).table.equals(known.table)
    document = json.loads((path / "run.json").read_text())
    assert document["versions"] == {"python": "3"}
    assert document["fingerprint"] == config.fingerprint
    assert (path / "run.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("left", [[], ["chunks/"], [".run.json.1.tmp", "phases.parquet", "chunks/"]])
def test_a_directory_where_no_run_was_born_is_taken(
    left: list[str], tmp_path: Path, config: RunConfig, known: PhaseTable
) -> None:
    for name in left:
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("")
    rundir.create(tmp_path, config, known.table, {})
    assert rundir.read_config(tmp_path) == config
    assert rundir.read_phases(tmp_path, config).checksum == known.checksum


@pytest.mark.parametrize("there", ["mine.txt", "chunks/000000-a.parquet", "run.json"])
def test_a_directory_with_something_in_it_is_not(
    there: str, tmp_path: Path, config: RunConfig, known: PhaseTable
) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    hint = "continue it with `matscreen resume" if there == "run.json" else "not empty: give another --out"
    with pytest.raises(InputError, match=hint):
        rundir.create(tmp_path, config, known.table, {})
    assert (tmp_path / there).read_text() == "mine"
    assert not (tmp_path / "phases.parquet").exists()


def test_where_no_directory_can_be(tmp_path: Path, config: RunConfig, known: PhaseTable) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="already there"):
        rundir.create(tmp_path / "file", config, known.table, {})
    with pytest.raises(InputError, match="cannot make the run directory .*: Not a directory"):
        rundir.create(tmp_path / "file" / "run", config, known.table, {})
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_takes_nothing(
    tmp_path: Path, config: RunConfig, known: PhaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JobError, match="No space left on device; make room"):
        rundir.create(tmp_path / "run", config, known.table, {})
    monkeypatch.undo()
    rundir.create(tmp_path / "run", config, known.table, {})  # the same command again


def test_altered_configurations(path: Path) -> None:
    told = json.loads((path / "run.json").read_text())
    for key, value, says in (
        ("threshold", 0.3, "was altered"),
        ("fingerprint", "0" * 64, "was altered"),
        ("space", None, "was altered"),
        ("model", [], "cannot be read"),
        ("model", {"checksum": "a"}, "of an older matscreen"),
        ("reference", {}, "cannot be read: KeyError"),
    ):
        (path / "run.json").write_text(json.dumps(told | {key: value}))
        with pytest.raises(InputError, match=says):
            rundir.read_config(path)
    for text in ("", "[]", "{}", "nonsense", '{"version": "1"}'):
        (path / "run.json").write_text(text)
        with pytest.raises(InputError, match="cannot be read"):
            rundir.read_config(path)
    (path / "run.json").unlink()
    with pytest.raises(InputError, match="no run directory"):
        rundir.read_config(path)


def test_another_reference(path: Path, config: RunConfig, known: PhaseTable) -> None:
    for missing in range(1, 8):  # whose checksums are smaller and larger
        pq.write_table(known.table.slice(missing), path / "phases.parquet")
        with pytest.raises(JobError, match="is not the reference"):
            rundir.read_phases(path, config)
    for content in (b"", b"PAR1", b"no table at all"):
        (path / "phases.parquet").write_bytes(content)
        with pytest.raises(JobError, match="phases.parquet cannot be read: Could not open Parquet"):
            rundir.read_phases(path, config)


def test_one_process_at_a_time(path: Path) -> None:
    assert holder(path) is None
    for left_over in (".run.json.x.tmp", "chunks/.000001-a.parquet.x.tmp"):
        (path / left_over).write_text("half")
    (path / "mine.tmp").write_text("whole")
    with locked(path):
        assert not list(path.rglob(".*.tmp"))
        assert (path / "mine.tmp").exists()
        assert str(os.getpid()) in str(holder(path))
        begun = time.monotonic()
        with (
            pytest.raises(InputError, match=rf"worked on by another process \({os.getpid()} on .+\)$"),
            locked(path),
        ):
            pass
        assert time.monotonic() - begun < 5
    assert holder(path) is None
    (path / "chunks").rmdir()
    with locked(path):
        assert (path / "chunks").is_dir()
    assert (path / "lock").read_text().startswith(f"{os.getpid()} on ")


def test_a_glance_at_the_lock_keeps_nobody_out(path: Path) -> None:
    with (path / "lock").open("a+") as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        threading.Timer(0.12, fcntl.flock, (glance, fcntl.LOCK_UN)).start()
        begun = time.monotonic()
        with locked(path):
            assert time.monotonic() - begun > 0.05  # it was not there for the taking
            assert str(holder(path)).startswith(f"{os.getpid()} on ")


def test_a_lock_that_tells_nothing(path: Path) -> None:
    with (path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holder(path) == "a process"
    (path / "lock").unlink()
    (path / "lock").mkdir()
    assert holder(path) is None


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


def test_two_that_make_the_same_run(
    tmp_path: Path, config: RunConfig, known: PhaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused, whether the first is at it or has just made it."""
    path, other = tmp_path / "run", replace(config, threshold=0.3)
    path.mkdir()
    with locked(path), pytest.raises(InputError, match="being worked on by another process"):
        rundir.create(path, other, known.table, {})
    rundir.create(path, config, known.table, {})
    looks = iter([True, False])  # both saw an empty directory, then one of them had the lock first
    monkeypatch.setattr(rundir, "_unborn", lambda _: next(looks))
    with pytest.raises(InputError, match="was just made by another process"):
        rundir.create(path, other, known.table, {})
    assert rundir.read_config(path) == config


def test_rejected_files_keep_out_of_each_others_way(path: Path, config: RunConfig, chunk: Chunk) -> None:
    for trial in range(3):
        chunk.file.unlink(missing_ok=True)
        chunk.file.mkdir()
        (chunk.file / "full").touch()
        assert rundir.finished_chunks(path, config.fingerprint, [(0, 1)] * 4) == ({}, 1)
        assert len(list((path / "rejected").iterdir())) == trial + 1


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


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, flushed = tmp_path / "file", []
    sync, rename = os.fsync, Path.replace

    def seen_sync(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink())
        sync(handle)

    def seen_rename(source: Path, target: Path) -> Path:
        assert flushed == [source]  # what it holds is on the disk before its name is
        assert source.parent == target.parent
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", seen_sync)
    monkeypatch.setattr(Path, "replace", seen_rename)
    write_atomically(file, lambda temporary: temporary.write_text("old"))
    (tmp_path / "as others").touch()
    assert (file.read_text(), file.stat().st_mode) == ("old", (tmp_path / "as others").stat().st_mode)
    (tmp_path / "as others").unlink()
    assert flushed[1:] == [tmp_path]  # and the name too
    flushed.clear()

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, fail)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
