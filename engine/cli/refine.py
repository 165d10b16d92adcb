"""`matscreen refine`: from the best of a run to compositions between the grid's."""

from pathlib import Path
from typing import Annotated

import typer

from matscreen.engine import rundir
from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import mixture, print_compositions, print_table, rate_bar, say
from matscreen.engine.refine import REFINED, ROUNDS
from matscreen.engine.refine import refine as refined


def refine(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    top: Annotated[int, typer.Option(help="Start from so many of its best candidates.")] = 50,
    max_atoms: Annotated[int, typer.Option(help="Most atoms in a formula unit; the run's grid has fewer.")] = 20,
    form: o.Format = "table",
) -> None:
    """Follow the model's slopes from the best candidates of a run to formulas of more atoms, and say what that brings.

    Writes RUN/refined.parquet. What is found is what the model likes best, its errors included: a gain within the
    uncertainty of the difference is none.
    """
    with rate_bar("steps", ROUNDS) as advance:
        found = refined(run, top, max_atoms, advance)
    say(f"{run / REFINED}")
    best = rundir.read_candidates(run, 1)["hull_distance_ev_atom"].to_pylist()
    beyond = "" if found.beyond is None else f", {found.beyond} by more than the uncertainty of the difference"
    formulas = f"{len(found.table)} formula{'' if len(found.table) == 1 else 's'} of up to {max_atoms} atoms"
    say(f"from {found.started} candidates to {formulas} that would lie lower{beyond}")
    if len(found.table):
        lowest = found.table["hull_distance_ev_atom"][0].as_py()
        say(f"the lowest lies {lowest:+.3f} eV/atom from the hull; the lowest of the grid {best[0]:+.3f}")
    if form != "table":
        print_compositions([found.table], form, "")
        return
    rows = [
        (
            row["started_from"],
            row["formula"] + (" (known)" if row["known"] else ""),
            f"{row['hull_distance_ev_atom']:.3f}",
            f"{row['change_ev_atom']:+.3f}",
            "" if row["change_uncertainty_ev_atom"] is None else f"±{row['change_uncertainty_ev_atom']:.3f}",
            mixture(row["decomposition"]),
        )
        for row in found.table.to_pylist()
    ]
    headers = ("from", "to", "hull distance", "change", "", "known phases there (fractions of atoms)")
    print_table(f"Between the grid's compositions of {run} (eV/atom)", headers, rows, left=2)
