"""Compiled code on disk, for many processes at once.

Numba gives the files of a function numbers by an index, which it reads and writes without a lock. Two processes that
compile the function for different types at the same moment, as the workers of a new cluster do, can take the same
number, and a third then runs one's code for the other's types.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile


def lock_the_cache() -> None:
    """Let only one process write to a folder of Numba's cache at a time, and none read meanwhile."""
    if not hasattr(IndexDataCacheFile, "locks"):
        setattr(IndexDataCacheFile, "locks", True)  # noqa: B010
        setattr(IndexDataCacheFile, "save", _alone(IndexDataCacheFile.save, fcntl.LOCK_EX))  # noqa: B010
        setattr(IndexDataCacheFile, "load", _alone(IndexDataCacheFile.load, fcntl.LOCK_SH))  # noqa: B010


def _alone(method: Callable[..., Any], kind: int) -> Callable[..., Any]:
    @wraps(method)
    def locked(self: Any, *given: Any) -> Any:
        with _lock(Path(self._index_path).parent, kind):
            return method(self, *given)

    return locked


@contextmanager
def _lock(folder: Path, kind: int) -> Iterator[None]:
    with ExitStack() as held:
        try:
            file = held.enter_context((folder / "lock").open("a"))
            fcntl.flock(file, kind)
        except OSError:  # nobody writes to a folder that cannot be written to; some file systems know no locks
            pass
        yield
