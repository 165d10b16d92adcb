"""What happened in a run, a line of JSON an event: `log.jsonl` in the run directory.

Every line has `time` (UTC, ISO 8601) and `event`. The log tells; it decides nothing: a run whose log is lost or torn
ends with the same candidates.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

NAME = "log.jsonl"


class Journal:
    """The log of a run, open for writing; one process writes at a time (`lock.locked`)."""

    def __init__(self, path: Path) -> None:
        self._file = (path / NAME).open("ab+", buffering=0)  # so that closing has nothing left to write
        size = self._file.seek(0, 2)
        if size:
            self._file.seek(size - 1)
            if self._file.read(1) != b"\n":  # a killed process left half a line
                self._file.write(b"\n")

    def write(self, event: str, **told: Any) -> None:
        """Append an event."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **told}
        self._file.write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """No more is written."""
        self._file.close()


@contextmanager
def journal(path: Path) -> Iterator[Journal]:
    """The log of the run at `path`, closed at the end, and told of an error that ends the run."""
    opened = Journal(path)
    try:
        yield opened
    except Exception as error:
        with suppress(OSError):  # the disk may be what failed
            opened.write("failed", error=type(error).__name__, message=str(error))
        raise
    finally:
        opened.close()


def events(path: Path) -> list[dict[str, Any]]:
    """All that the log of the run at `path` tells, oldest first; lines that are damaged are left out."""
    try:
        lines = (path / NAME).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            told = json.loads(line)
            if datetime.fromisoformat(told["time"]).tzinfo is None or not isinstance(told["event"], str):
                continue
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        found.append(told)
    return found


def resources() -> dict[str, Any]:
    """What this process uses: CPU seconds so far, memory (bytes), and of a GPU that it works on."""
    used: dict[str, Any] = {
        "cpu_seconds": round(time.process_time(), 1),
        "memory_bytes": psutil.Process().memory_info().rss,
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        used["gpu_memory_bytes"] = torch.cuda.memory_allocated()
        with suppress(Exception):  # what cannot be told of a GPU raises whatever its driver says
            used["gpu_utilization_percent"] = torch.cuda.utilization()
    return used
