"""`matscreen space`: what a scan would cover."""

from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table
from matscreen.engine.element_sets import format_elements
from matscreen.models.errors import InputError


def space(
    elements: o.Elements,
    arity: o.Arity = "2,3,4",
    max_atoms: o.MaxAtoms = 10,
    require: o.Require = "",
    exclude: o.Exclude = "",
    preview: Annotated[int, typer.Option(help="Compositions to show, spread evenly over the space.")] = 10,
) -> None:
    """Count a composition space and look at some of it, before scanning it."""
    if not 0 <= preview <= 10_000:
        raise InputError(f"--preview takes a number from 0 to 10,000, not {preview}")
    whole = o.make_space(elements, arity, max_atoms, require, exclude)
    rows = [(str(b.arity), f"{b.systems:,}", f"{len(b.ratios):,}", f"{b.stop - b.start:,}", "") for b in whole.blocks]
    rows.append(("all", f"{sum(b.systems for b in whole.blocks):,}", "", f"{len(whole):,}", ""))
    title = f"{len(whole.elements)} elements: {format_elements(whole.elements)}"
    print_table(title, ("elements", "systems", "ratios each", "compositions", ""), rows)
    if preview:
        print()
        ids = [i * len(whole) // preview for i in range(preview)]
        print_table("Some of them", ("formula", "id", ""), [(whole[i], f"{i:,}", "") for i in sorted(set(ids))])
