"""`matscreen show` and `matscreen verify`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from matscreen.engine import rundir
from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import heading, print_compositions, print_table, say
from matscreen.engine.pieces import RESCREENED, pieces, rows_in_parts
from matscreen.engine.rescreen import current_list
from matscreen.engine.rundir import NO_THRESHOLD, RunConfig
from matscreen.engine.shortlist import Filters, columns, places
from matscreen.engine.verify import verify as verify_run

RunPath = Annotated[Path, typer.Argument(help="A run directory of `matscreen scan` or `matscreen search`.")]


def show(
    run: RunPath,
    top: o.Top = None,
    form: o.Format = "table",
    charge_balanced: o.ChargeBalanced = False,
    no_f_block: o.NoFBlock = False,
    no_radioactive: o.NoRadioactive = False,
    max_per_system: o.MaxPerSystem = 0,
    diverse: o.Diverse = False,
    likely_first: o.LikelyFirst = False,
) -> None:
    """Show the candidates of a finished run, the best first: furthest below the hull, or what a search was after."""
    filters = Filters(charge_balanced, no_f_block, no_radioactive, max_per_system, diverse, likely_first)
    config, summary = rundir.read_config(run), rundir.read_summary(run)
    shortlist = read_shortlist(run, filters, top if top is not None else 20 if form == "table" else None)
    if form == "table" and not (run / RESCREENED).is_file():  # these are counts of the scan
        counts = [
            (
                arity,
                f"{part['compositions']:,}",
                f"{part['systems']:,}",
                f"{part['candidates']:,}",
                f"{part['systems_with_candidate']:,}",
                "",
            )
            for arity, part in summary["by_arity"].items()
        ]
        headers = ("elements", "compositions", "systems", "candidates", "systems with one", "")
        title = f"{run}: {_asked(config)}"
        print_table(title, headers, counts)
        print()
    print_shortlist(shortlist, form, filters.superlative)


def _asked(config: RunConfig) -> str:
    """What the run was to find."""
    goals = [
        f"{'small' if sign > 0 else 'large'} {heading(name)}" for name, sign in config.search.get("objectives", ())
    ]
    told = [" and ".join(goals)] if goals else []
    if config.threshold > NO_THRESHOLD:
        told.append(f"more than {config.threshold:g} eV/atom below the hull of {config.reference['name']}")
    for one in config.properties:
        limits = [f"{word} {one[key]:g}" for key, word in (("low", "from"), ("high", "to")) if one[key] is not None]
        told += [f"{heading(one['column'])} {' '.join(limits)}"] if limits else []
    return "; ".join(told)


@dataclass(frozen=True)
class Shortlist:
    """Candidates that were asked for: tables to be read once, how many they hold, and of how many they are."""

    tables: Iterator[pa.Table]
    shown: int
    listed: int


def read_shortlist(run: Path, filters: Filters, top: int | None) -> Shortlist:
    """The run's `top` best candidates (all if None) of those that pass, and said what was removed.

    Errors of `current_list`, `places` and, when the tables are read, of `pieces`.
    """
    file, computed = current_list(run)
    count = pq.read_metadata(file).num_rows
    if computed is not None:
        say(f"rescreened with {computed:,} calculated compounds: {count:,} candidates")
    if not filters:
        shown = count if top is None else min(top, count)
        return Shortlist(rows_in_parts(file, np.arange(shown)), shown, count)
    chosen, removed = places(pieces(file, columns(filters)), filters)
    if removed:
        told = ", ".join(f"{name} {number:,}" for name, number in removed.items())
        say(f"of {count:,} candidates removed: {told}; {len(chosen):,} are left")
    return Shortlist(rows_in_parts(file, chosen[:top]), len(chosen[:top]), len(chosen))


def print_shortlist(shortlist: Shortlist, form: str, superlative: str) -> None:
    """On stdout, in the form asked for."""
    title = f"The {superlative} {shortlist.shown:,} of {shortlist.listed:,} candidates (eV/atom)"
    print_compositions(shortlist.tables, form, title)


def verify(
    run: RunPath,
    sample: Annotated[
        int, typer.Option(min=0, max=100_000, help="Rows to compute again from scratch, in float64.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, max=o.LARGEST_SEED, help="Which rows: another seed, another sample.")] = 0,
) -> None:
    """Check a finished run: every checksum, and a random sample of rows computed again by the plain reference code."""
    report = verify_run(run, sample, seed, say)
    print(
        f"{run} is sound: {report.chunks:,} files, {report.candidates:,} candidates; {report.sampled:,} rows "
        f"computed again: energies within {report.energy_error:.1e}, hull within {report.hull_error:.1e} eV/atom"
    )
