"""Compiled code on disk, for many processes at once.

Numba gives the files of a function numbers by an index, which it reads and writes without a lock. Two processes that
compile the function for different types at the same moment, as the workers of a new cluster do, can take the same
number, and a third then runs one's code for the other's types.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, TextIO

from numba.core.caching import IndexDataCacheFile

PATIENCE = 5.0
"""Seconds; whoever waits longer, for a process that was stopped perhaps, compiles for itself and keeps nothing."""


def lock_the_cache() -> None:
    """Let only one process write to a folder of Numba's cache at a time, and none read meanwhile."""
    if not hasattr(IndexDataCacheFile, "locks"):
        setattr(IndexDataCacheFile, "locks", True)  # noqa: B010
        setattr(IndexDataCacheFile, "save", _alone(IndexDataCacheFile.save, fcntl.LOCK_EX))  # noqa: B010
        setattr(IndexDataCacheFile, "load", _alone(IndexDataCacheFile.load, fcntl.LOCK_SH))  # noqa: B010


def _alone(method: Callable[..., Any], kind: int) -> Callable[..., Any]:
    @wraps(method)
    def locked(self: Any, *given: Any) -> Any:
        with _lock(Path(self._index_path).parent, kind) as free:
            return method(self, *given) if free else None

    return locked


@contextmanager
def _lock(folder: Path, kind: int) -> Iterator[bool]:
    """Whether the folder is free for reading (`LOCK_SH`) or writing (`LOCK_EX`), which it then stays within.

    A folder that nobody can write to needs no lock, and some file systems have none.
    """
    with ExitStack() as held:
        free = True
        try:
            file = held.enter_context(_opened(folder / "lock"))
            free = _taken(file, kind)
            if free:  # a process that was forked meanwhile holds the file open, but no lock then
                held.callback(fcntl.flock, file, fcntl.LOCK_UN)
        except OSError:
            pass
        yield free


def _opened(path: Path) -> TextIO:
    """To read and write, without which network file systems give no lock of either kind; else to read."""
    try:
        return path.open("a+")
    except PermissionError:
        return path.open()


def _taken(file: TextIO, kind: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        else:
            return True
