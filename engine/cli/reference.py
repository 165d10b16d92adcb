"""`matscreen reference`: the known phases that hulls are made of."""

from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table, say
from matscreen.engine.reference import SOURCES
from matscreen.engine.reference.sources import cached_path, fetch
from matscreen.models.errors import InputError

app = typer.Typer(help="Known phases: list the sources, fetch one, look at a chemical system.", no_args_is_help=True)


@app.command("list")
def list_sources() -> None:
    """List the named sources and whether they are on this machine."""
    rows = [
        (name, "here" if cached_path(name).is_file() else "not fetched", source.title)
        for name, source in SOURCES.items()
    ]
    print_table("", ("name", "", "what it is"), rows)


@app.command("fetch")
def fetch_source(name: Annotated[str, typer.Argument(help="A name from `matscreen reference list`.")]) -> None:
    """Fetch a source into the cache, for machines that will be offline later."""
    if name not in SOURCES:
        raise InputError(f"no reference {name!r}: give one of {', '.join(SOURCES)}")
    fetch(name, say)
    print(cached_path(name))


@app.command("show")
def show_system(
    chemical_system: Annotated[str, typer.Argument(metavar="CHEMSYS", help="Such as Li-Fe-O.")],
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
) -> None:
    """Show the known phases of a chemical system and how far above the hull each lies."""
    phases = o.open_reference(reference, formula_column, energy_column, say)
    rows = [
        (
            row["formula"],
            f"{row['formation_energy_ev_atom']:.3f}",
            f"{max(row['hull_distance_ev_atom'], 0):.3f}",
            row["source_id"],
        )
        for row in phases.system(chemical_system).to_pylist()
    ]
    headers = ("formula", "formation energy", "above hull", "source")
    print_table(f"{chemical_system} in {phases.name} (eV/atom; elements are at 0)", headers, rows)
