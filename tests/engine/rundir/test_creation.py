"""A run directory begins whole, and only where nothing else is."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from matscreen.engine import PhaseTable, rundir
from matscreen.engine.lock import locked
from matscreen.engine.rundir import RunConfig
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically


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


@pytest.mark.parametrize("there", ["mine.txt", ".notes.tmp", "chunks/000000-a.parquet", "run.json"])
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


def test_another_reference(path: Path, config: RunConfig, known: PhaseTable) -> None:
    for missing in range(1, 8):  # whose checksums are smaller and larger
        pq.write_table(known.table.slice(missing), path / "phases.parquet")
        with pytest.raises(JobError, match="is not the reference"):
            rundir.read_phases(path, config)
    for content in (b"", b"PAR1", b"no table at all"):
        (path / "phases.parquet").write_bytes(content)
        with pytest.raises(JobError, match="phases.parquet cannot be read: Could not open Parquet"):
            rundir.read_phases(path, config)


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
