"""Writing files so that a reader sees the old one or the new one, never half of one, and telling them apart."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

_UMASK = os.umask(0)  # nobody can ask without setting it
os.umask(_UMASK)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary name beside `path`, flush it to disk, then rename it to `path`.

    If `write` or the disk fails, `path` is as it was and the temporary file is gone; the error goes on to the caller.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:  # tell of the file that was meant
        raise OSError(error.errno, f"cannot be written: {error.strerror}", str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_file(path: Path) -> bool:
    """Whether there is such a file; there is none of a name that is too long for one."""
    try:
        return path.is_file()
    except OSError:
        return False


def checksum(path: Path) -> str:
    """SHA-256 of the file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
