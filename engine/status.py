"""How far a run is, told from its directory: from another terminal, or another machine that sees the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import rundir
from matscreen.engine.journal import events
from matscreen.engine.lock import holder
from matscreen.engine.pieces import CANDIDATES
from matscreen.engine.space import CompositionSpace

RECENT = 20
"""Chunks that the rate is taken over."""

State = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class Status:
    """What there is to know of a run without opening it for work.

    Attributes
    ----------
    state : `failed` ended with an error; `interrupted` was killed, or lost its machine. Both go on with `resume`
    done, total : compositions in finished chunks, and in the space; of a search, points in batches
    chunks, all_chunks : the same in chunks
    candidates : in the finished chunks
    held_by : process and host at work
    rate : compositions a second over the last chunks, None before there are two
    seconds_left : at that rate
    last : the last event of the log
    problems : errors and retries since the run was begun, a line each
    """

    state: State
    done: int
    total: int
    chunks: int
    all_chunks: int
    candidates: int
    held_by: str | None
    rate: float | None
    seconds_left: float | None
    last: dict[str, Any] | None
    problems: list[str]


def status(path: Path) -> Status:
    """Of the run at `path`. InputError if there is none."""
    config = rundir.read_config(path)
    held_by = holder(path)
    if config.search:
        whole, size = config.search["evaluations"], config.chunk_size
        sizes = [min(size, whole - start) for start in range(0, whole, size)]
    else:
        sizes = [stop - start for start, stop in CompositionSpace(**config.space).ranges(config.chunk_size)]
    kept = _rows(path / ("trials" if config.search else "chunks"), len(sizes))
    done = sum(sizes[number] for number in kept)
    told = events(path)
    ended = bool(told) and told[-1]["event"] in ("finished", "failed")  # who holds it then, verifies or rescreens it
    state: State = "interrupted"
    if held_by and not ended:
        state = "running"
    elif (path / "summary.json").is_file() and (path / CANDIDATES).is_file() and len(kept) == len(sizes):
        state = "finished"
    elif told and told[-1]["event"] == "failed":
        state = "failed"
    rate = _rate(told) if state == "running" else None
    return Status(
        state=state,
        done=done,
        total=sum(sizes),
        chunks=len(kept),
        all_chunks=len(sizes),
        candidates=_found(told) if config.search else sum(kept.values()),
        held_by=held_by,
        rate=rate,
        seconds_left=(sum(sizes) - done) / rate if rate else None,
        last=told[-1] if told else None,
        problems=[_problem(event) for event in told if event["event"] in ("failed", "retried")],
    )


def _rows(folder: Path, chunks: int) -> dict[int, int]:
    """Rows of each finished chunk by number; a file that does not open is not counted (`resume` finds all)."""
    found: dict[int, int] = {}
    for file in folder.glob("*.parquet"):
        number = file.name.partition("-")[0]
        if number.isdecimal() and int(number) < chunks:
            try:
                found[int(number)] = pq.read_metadata(file).num_rows
            except (pa.ArrowException, OSError):
                continue
    return found


def _found(told: Sequence[dict[str, Any]]) -> int:
    """What a search told last that it found."""
    counts = [event["found"] for event in told if isinstance(event.get("found"), int)]
    return counts[-1] if counts else 0


def _rate(told: Sequence[dict[str, Any]]) -> float | None:
    begun = max((n for n, event in enumerate(told) if event["event"] == "begun"), default=0)
    recent = [event for event in told[begun:] if event["event"] in ("chunk", "batch")][-RECENT:]
    if len(recent) < 2:
        return None
    try:
        scanned = sum(event["stop"] - event["start"] for event in recent[1:])
    except (KeyError, TypeError):
        return None
    since = datetime.fromisoformat(recent[0]["time"])
    seconds = (max(datetime.fromisoformat(recent[-1]["time"]), datetime.now(UTC)) - since).total_seconds()
    return scanned / seconds if seconds > 0 else None  # a clock that was set back tells nothing


def _problem(event: dict[str, Any]) -> str:
    what = f"chunk {event['number']} again: {event.get('error')}" if "number" in event else str(event.get("message"))
    return f"{event['time']} {what}"
