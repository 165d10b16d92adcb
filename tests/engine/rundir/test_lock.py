"""One process at a time works on a run."""

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from matscreen.engine.lock import holder, locked
from matscreen.models.errors import InputError


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
