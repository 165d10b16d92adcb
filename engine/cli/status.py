"""`matscreen status`: how far a run is."""

import dataclasses
import json
from typing import Annotated, Literal

import typer
from rich.filesize import decimal

from matscreen.engine.cli.output import print_table
from matscreen.engine.cli.results import RunPath
from matscreen.engine.status import Status
from matscreen.engine.status import status as status_of

PROBLEMS = 5
"""The last of them are shown; the log has them all."""


def status(
    run: RunPath,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print.")] = "text",
) -> None:
    """Tell how far a run is, from any terminal: what is done, how fast, how long it takes yet, what went wrong."""
    found = status_of(run)
    if form == "json":
        print(json.dumps(dataclasses.asdict(found), indent=1))
        return
    rows = _rows(found)
    if found.state in ("failed", "interrupted"):
        rows.append(("go on with", f"matscreen resume {run}"))
    print_table(str(run), ("", ""), rows)


def _rows(found: Status) -> list[tuple[str, str]]:
    done = f"{found.done:,} of {found.total:,} ({found.done / max(found.total, 1):.1%})"
    rows = [
        ("state", found.state + (f", {found.held_by}" if found.held_by else "")),
        ("looked at", f"{done}, in {found.chunks:,} of {found.all_chunks:,} parts"),
        ("candidates", f"{found.candidates:,} so far" if found.state != "finished" else f"{found.candidates:,}"),
    ]
    if found.rate is not None and found.seconds_left is not None:
        rows.append(("rate", f"{found.rate:,.0f} /s; {_clock(found.seconds_left)} left"))
    if found.last:
        memory = found.last.get("memory_bytes")
        used = f", {decimal(memory)} of memory" if isinstance(memory, int) else ""
        rows.append(("last event", f"{found.last['event']} at {found.last['time']}{used}"))
    return rows + [("problem", text) for text in found.problems[-PROBLEMS:]]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
