"""What a run tells while it is at work, and afterwards: its log and `matscreen status`."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matscreen.engine import CompositionSpace, PhaseTable, resume, rundir, scan
from matscreen.engine.journal import NAME, events
from matscreen.engine.lock import locked
from matscreen.engine.scan import Progress
from matscreen.engine.status import Status, status
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError

SPACE = CompositionSpace("Li-Mg-Fe-O")
CHUNKS = 7


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable) -> Path:
    path = tmp_path_factory.mktemp("status") / "run"
    scan(SPACE, model, phases, path, threshold=0.05, chunk_size=150)
    return path


@pytest.fixture
def run_path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_the_log_tells_what_was_done(whole: Path) -> None:
    told = events(whole)
    assert [event["event"] for event in told] == ["opened", "begun", "connected", *["chunk"] * CHUNKS, "finished"]
    chunks = [event for event in told if event["event"] == "chunk"]
    assert sum(event["stop"] - event["start"] for event in chunks) == len(SPACE)
    assert {"predict_seconds", "hull_seconds", "enumerate_seconds", "describe_seconds"} <= set(chunks[0])
    assert all(event["memory_bytes"] > 2**24 and event["cpu_seconds"] > 0 for event in chunks)
    assert told[-1]["candidates"] == rundir.read_summary(whole)["candidates"]
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)


def test_while_it_is_at_work(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    seen: list[Status] = []

    def look(_: Progress) -> None:
        seen.append(status(tmp_path / "run"))

    scan(SPACE, model, phases, tmp_path / "run", threshold=0.05, chunk_size=150, report=look)
    assert {found.state for found in seen} == {"running"}
    assert "on" in (seen[0].held_by or "")
    assert [found.chunks for found in seen] == list(range(CHUNKS + 1))
    assert seen[-1].done == seen[-1].total == len(SPACE)
    assert seen[1].rate is None
    assert all(found.rate and found.rate > 0 for found in seen[2:])
    assert seen[-1].seconds_left == 0
    assert status(tmp_path / "run").candidates == rundir.read_summary(tmp_path / "run")["candidates"]


def full(*_: object) -> str:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_finished_failed_and_interrupted(run_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = status(run_path)
    assert (finished.state, finished.held_by, finished.problems) == ("finished", None, [])
    (run_path / "summary.json").unlink()
    assert status(run_path).state == "interrupted"
    with pytest.raises(InputError, match="has not ended"):
        rundir.read_candidates(run_path)
    chunk = sorted((run_path / "chunks").iterdir())[3]
    chunk.write_bytes(chunk.read_bytes()[:40])
    found = status(run_path)
    assert (found.state, found.chunks) == ("interrupted", CHUNKS - 1)
    with monkeypatch.context() as patch:
        patch.setattr(rundir, "write_candidates", full)
        with pytest.raises(JobError, match="No space left"):
            resume(run_path)
    found = status(run_path)
    assert found.state == "failed"
    assert "No space left" in found.problems[-1]
    checked = rundir.finished_chunks

    def looked(*given: Any) -> Any:
        assert status(run_path).state == "running"  # and failed no more, however long it takes to check what is there
        return checked(*given)

    monkeypatch.setattr(rundir, "finished_chunks", looked)
    resume(run_path)
    assert status(run_path).state == "finished"


def test_a_torn_or_lost_log_harms_nothing(run_path: Path) -> None:
    log = run_path / NAME
    nonsense = [b'{"time": 3}', b"[1]", b"\xff\xfe", b'{"time": "2020-13-40", "event": ""}', b'{"time":']
    nonsense.insert(0, b'{"time": "2020-01-01T00:00:00", "event": "chunk"}')  # of no time zone
    log.write_bytes(log.read_bytes()[:-20] + b"\n".join(nonsense))
    resume(run_path)
    told = [event["event"] for event in events(run_path)]
    assert told == ["opened", "begun", "connected", *["chunk"] * CHUNKS, "opened", "begun", "finished"]
    log.unlink()
    assert status(run_path).last is None
    resume(run_path)
    assert [event["event"] for event in events(run_path)] == ["opened", "begun", "finished"]


def test_at_the_command_line(
    run_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("status", str(run_path)) == 0
    told = capsys.readouterr().out
    assert "finished" in told
    assert f"{len(SPACE):,} of {len(SPACE):,} (100.0%), in 7 of 7 parts" in told
    (run_path / "summary.json").unlink()
    assert run("status", str(run_path), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "interrupted"
    with locked(run_path):
        assert status(run_path).state == "interrupted"  # its log says that it has ended: somebody verifies it
        assert run("resume", str(run_path)) == 2
        assert "being worked on by another process (" in capsys.readouterr().err
    assert run("status", str(tmp_path)) == 2
    assert "is no run directory" in capsys.readouterr().err
