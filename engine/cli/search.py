"""`matscreen search`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import heading, print_compositions, say
from matscreen.engine.cli.results import read_shortlist
from matscreen.engine.cli.run_bar import RunBar
from matscreen.engine.finish import Hook, told_at_the_end
from matscreen.engine.merge import KEY
from matscreen.engine.properties import Property, parse
from matscreen.engine.rundir import NO_THRESHOLD
from matscreen.engine.scan import Run
from matscreen.engine.search.run import Progress
from matscreen.engine.search.run import search as search_space
from matscreen.engine.shortlist import Filters
from matscreen.models.errors import InputError

HULL = "hull_distance"


def search(
    elements: o.Elements = "all",
    maximize: Annotated[
        list[str] | None, typer.Option(help="Property to make large, such as bulk_modulus; again for another.")
    ] = None,
    minimize: Annotated[
        list[str] | None, typer.Option(help=f"Property to make small, or {HULL}; again for another.")
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="Values that must be kept, such as band_gap:1..3, as for `matscreen scan`."),
    ] = None,
    require_stable: Annotated[
        bool, typer.Option("--require-stable", help="Find only what is predicted below the hull of known phases.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Find only what is so far below the hull, eV/atom; negative: at most so far above."),
    ] = None,
    charge_neutral: Annotated[
        bool, typer.Option("--charge-neutral", help="Find only what common oxidation states can balance.")
    ] = False,
    arity: o.Arity = "2,3,4",
    max_atoms: o.MaxAtoms = 10,
    exclude: o.Exclude = "",
    evaluations: Annotated[int, typer.Option(help="Points of the latent space to look at.")] = 3000,
    batch: Annotated[int, typer.Option(help="Points suggested at a time.")] = 50,
    seed: Annotated[
        int, typer.Option(min=0, max=o.LARGEST_SEED, help="Of all draws: another seed, another search.")
    ] = 0,
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    model: o.ModelName = o.DEFAULT_MODEL,
    out: Annotated[Path | None, typer.Option(help="Run directory to make. Default: runs/search-DATE-TIME.")] = None,
    top: o.Top = None,
    form: o.Format = "table",
    then: o.Then = "",
    webhook: o.Webhook = "",
) -> None:
    """Find compositions with the largest or smallest value of a property, looking at few of them.

    The points of a latent space stand for compositions; a tree-structured Parzen estimator chooses where to look next.
    The run directory is like that of a scan: `show`, `report`, `queue` and `resume` take it.
    """
    hook = Hook(then, webhook)
    asked = [(text, -1) for text in maximize or []] + [(text, 1) for text in minimize or []]
    if not asked:
        raise InputError("give --maximize or --minimize with a property, such as --maximize bulk_modulus")
    wanted = [parse(text) for text in properties or []]
    objectives = [_objective(text, sign, wanted) for text, sign in asked]
    if require_stable and threshold is not None and threshold < 0:
        raise InputError(f"--require-stable allows nothing above the hull, --threshold {threshold:g} does: give one")
    limit = NO_THRESHOLD if threshold is None and not require_stable else threshold or 0.0
    space = o.make_space(elements, arity, max_atoms, "", exclude)
    network = o.open_model(model)
    phases = o.open_reference(reference, formula_column, energy_column, say)
    path = out or Path("runs") / f"search-{time.strftime('%Y%m%d-%H%M%S')}"
    say(f"{evaluations:,} of {len(space):,} compositions · model {network.name} · {phases.name} · {path}")
    with told_at_the_end(hook, path, say), RunBar("points") as bar:
        run = search_space(
            space,
            network,
            phases,
            path,
            objectives,
            wanted,
            limit,
            charge_neutral,
            evaluations,
            batch,
            seed,
            told_search(bar, objectives),
            say,
        )
    print_search(run, top, form)


def _objective(text: str, sign: int, wanted: list[Property]) -> tuple[str, int]:
    """Column and sign; the property is added to `wanted` if it is not there yet."""
    if text in (HULL, KEY):
        return KEY, sign
    found = parse(text)
    if (found.low, found.high) != (float("-inf"), float("inf")):
        raise InputError(f"{text!r} is to be made large or small: limits go to --property")
    same = [one for one in wanted if one.column == found.column]
    if not same:
        wanted.append(found)
    elif same[0].model.checksum != found.model.checksum:
        raise InputError(f"{found.column} is asked of two models")
    return found.column, sign


def told_search(bar: RunBar, objectives: list[tuple[str, int]]) -> Callable[[Progress], None]:
    """What a search reports to."""
    names = [heading(name) for name, _ in objectives]

    def told(state: Progress) -> None:
        best = "".join(f" · best {name} {value:.4g}" for name, value in zip(names, state.best, strict=False))
        bar.update(state.done, state.total, state.resumed, f"{state.found:,} found{best}")

    return told


def print_search(run: Run, top: int | None, form: str) -> None:
    """What was found, the best first."""
    found = read_shortlist(run.path, Filters(), top if top is not None else 20 if form == "table" else None)
    print_compositions(found.tables, form, f"The best {found.shown:,} of {found.listed:,} found")
    summary = run.summary
    done, seconds = (summary["throughput"][f"last_session_{what}"] for what in ("compositions", "seconds"))
    speed = f"{done:,} points in {seconds:,.1f} s ({done / seconds:,.0f}/s)" if done else "nothing was left to do"
    say(f"{speed} · {summary['screened']:,} compositions looked at · run in {run.path}")
