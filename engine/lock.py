"""One process at a time works on a run directory: it holds a lock (flock), which a dead process does not."""

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from matscreen.models.errors import InputError

LOCK_ATTEMPTS = 5
"""For `holder` holds a lock too, for an instant."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the run for this process. InputError if another process holds it."""
    with (path / "lock").open("a+") as file:
        for attempt in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == LOCK_ATTEMPTS - 1:
                    raise InputError(f"{path} is being worked on by another process{_told(file)}") from None
                time.sleep(0.05)
        file.truncate(0)
        file.write(f"{os.getpid()} on {platform.node()}")
        file.flush()
        (path / "chunks").mkdir(exist_ok=True)
        for left_over in [*path.glob(".*.tmp"), *path.glob("*/.*.tmp")]:  # of a process that was killed
            left_over.unlink(missing_ok=True)
        yield


def holder(path: Path) -> str | None:
    """Who works on the run at this moment, a process and its host as far as it told; None if nobody does."""
    try:
        with (path / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _told(file).strip(" ()") or "a process"
    except (FileNotFoundError, IsADirectoryError):
        pass
    return None


def _told(lock: TextIO) -> str:
    lock.seek(0)
    said = lock.read(200)
    return f" ({said})" if said else ""
