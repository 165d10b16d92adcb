"""How results are printed: tables for people, CSV and JSON for programs."""

import csv
import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import rich.progress
from rich.console import Console
from rich.table import Table

from matscreen.engine.schema import SAME, named
from matscreen.models.errors import InputError

PROGRESS = Console(stderr=True)
"""Everything that is not the answer goes to stderr, so that the answer can be piped."""


def is_known(row: dict[str, Any]) -> bool:
    """Whether a candidate is a compound of the reference."""
    distance = row.get("nearest_phase_distance")
    return distance is not None and distance < SAME


def say(message: str) -> None:
    """A line on stderr."""
    PROGRESS.print(message, style="dim", highlight=False, markup=False, soft_wrap=True)


def mixture(decomposition: Iterable[dict[str, Any]]) -> str:
    """A decomposition in a line: `0.70 P2O5 + 0.30 O` (fractions of atoms)."""
    return " + ".join(f"{part['fraction']:.2f} {part['formula']}" for part in decomposition)


def print_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """A table on stdout; the first `left` columns and the last are text, the others numbers."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, header in enumerate(headers):
        text = number < left or number == len(headers) - 1
        table.add_column(header, justify="left" if text else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140, highlight=False, markup=False).print(table)


def print_compositions(tables: Iterable[pa.Table], form: str, title: str) -> None:
    """Candidates or predictions in the form asked for, of tables, at least one, with the same columns.

    Columns: formula, the energies, decomposition, others. Only the form "table" needs them all at a time; CSV and JSON
    are begun before the last table is read, and stay unfinished where that fails.
    """
    if form == "json":
        before = "[\n"
        for row in _rows(tables):
            sys.stdout.write(before + textwrap.indent(json.dumps(row, indent=1), " "))
            before = ",\n"
        print("[]" if before == "[\n" else "\n]")
        return
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        rest = iter(tables)
        first = next(rest)
        writer.writerow(first.column_names)
        for row in _rows(chain([first], rest)):
            if "decomposition" in row:
                row["decomposition"] = mixture(row["decomposition"])
            writer.writerow(" ".join(map(str, v)) if isinstance(v, list) else v for v in row.values())
        return
    table = pa.concat_tables(tables)
    properties = [name for name in table.column_names if f"{name}_spread" in table.column_names]
    rows = [
        (
            str(rank),
            row["formula"] + (" (known)" if is_known(row) else ""),
            f"{row['hull_distance_ev_atom']:.3f}",
            f"{row['formation_energy_ev_atom']:.3f}",
            "" if row["uncertainty_ev_atom"] is None else f"±{row['uncertainty_ev_atom']:.3f}",
            f"{row['hull_energy_ev_atom']:.3f}",
            *(number_with_spread(row[name], row[f"{name}_spread"]) for name in properties),
            mixture(row["decomposition"]),
        )
        for rank, row in enumerate(table.to_pylist(), start=1)
    ]
    numbers = ("hull distance", "predicted", "", "hull", *map(heading, properties))
    headers = ("", "formula", *numbers, "known phases there (fractions of atoms)")
    print_table(title, headers, rows, left=2)


def _rows(tables: Iterable[pa.Table]) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries, of a list of millions a few at a time: they take many times the memory of the tables."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=2**14):
            yield from batch.to_pylist()


def heading(column: str) -> str:
    """Of a property's column: `bulk modulus, GPa`."""
    return ", ".join(filter(None, named(column)))


def number_with_spread(value: float, spread: float | None) -> str:
    """`123 ±4`, to as many digits as people read."""
    return f"{value:.4g}" + ("" if spread is None else f" ±{spread:.2g}")


def make_folder(path: Path) -> None:
    """The folder, with those above it; InputError where it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}") from None


@contextmanager
def rate_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar with how many a second and the time left; what it gives is to be called after each."""
    columns = (
        rich.progress.BarColumn(bar_width=None),
        rich.progress.TextColumn("{task.completed:,}/{task.total:,} " + what + " · {task.fields[rate]} /s"),
        rich.progress.TimeRemainingColumn(),
    )
    started = time.perf_counter()
    with rich.progress.Progress(*columns, console=PROGRESS, transient=True) as bar:
        task = bar.add_task("", total=total, rate="–")

        def advance() -> None:
            bar.advance(task)
            done = bar.tasks[0].completed
            bar.update(task, rate=f"{done / max(time.perf_counter() - started, 1e-9):,.1f}")

        yield advance
