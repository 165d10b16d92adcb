"""`matscreen scan` and `matscreen resume`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from matscreen.engine import rundir
from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import say
from matscreen.engine.cli.results import print_shortlist, read_shortlist
from matscreen.engine.cli.run_bar import RunBar
from matscreen.engine.cli.search import print_search, told_search
from matscreen.engine.cluster import cluster, steady_clock
from matscreen.engine.element_sets import format_elements
from matscreen.engine.finish import Hook, told_at_the_end
from matscreen.engine.properties import parse
from matscreen.engine.scan import Progress, Run
from matscreen.engine.scan import resume as resume_run
from matscreen.engine.scan import scan as scan_space
from matscreen.engine.search.run import resume as resume_search
from matscreen.engine.shortlist import Filters
from matscreen.kernels.mlp import Precision
from matscreen.models.calibration import expectation
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import InputError


def scan(
    elements: o.Elements,
    arity: o.Arity = "2,3,4",
    max_atoms: o.MaxAtoms = 10,
    require: o.Require = "",
    exclude: o.Exclude = "",
    charge_neutral: Annotated[
        bool,
        typer.Option("--charge-neutral", help="Only compositions that common oxidation states can balance."),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Let the model predict everything, where its students would predict most of it."),
    ] = False,
    threshold: Annotated[
        float, typer.Option(help="Keep what is predicted more than so many eV/atom below the hull.")
    ] = 0.2,
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    model: o.ModelName = o.DEFAULT_MODEL,
    properties: o.Properties = None,
    out: Annotated[Path | None, typer.Option(help="Run directory to make. Default: runs/ELEMENTS-DATE-TIME.")] = None,
    top: o.Top = None,
    form: o.Format = "table",
    charge_balanced: o.ChargeBalanced = False,
    no_f_block: o.NoFBlock = False,
    no_radioactive: o.NoRadioactive = False,
    max_per_system: o.MaxPerSystem = 0,
    diverse: o.Diverse = False,
    likely_first: o.LikelyFirst = False,
    workers: o.Workers = None,
    scheduler: o.Scheduler = None,
    slurm: o.Slurm = 0,
    cuda: o.Cuda = False,
    gpu: o.Gpu = None,
    chunk_size: Annotated[
        int | None, typer.Option(help="Compositions a chunk. Default: a 64th of the space, within bounds.")
    ] = None,
    then: o.Then = "",
    webhook: o.Webhook = "",
) -> None:
    """Predict every composition of some elements and list those below the convex hull of known phases.

    Interrupt it at any time (Ctrl-C, a reboot): `matscreen resume RUN` goes on from there. What the list leaves out the
    run keeps: `matscreen show RUN` takes the same filters.
    """
    steady_clock()
    hook = Hook(then, webhook)
    filters = Filters(charge_balanced, no_f_block, no_radioactive, max_per_system, diverse, likely_first)
    space = o.make_space(elements, arity, max_atoms, require, exclude)
    network = o.open_model(model)
    wanted = [parse(text) for text in properties or []]
    phases = o.open_reference(reference, formula_column, energy_column, say)
    name = format_elements(space.elements) if len(space.elements) <= 8 else f"{len(space.elements)}-elements"
    path = out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    say(f"{len(space):,} compositions · model {network.name} · {len(phases):,} phases of {phases.name} · {path}")
    known = phases.elements
    if unknown := [SYMBOLS[z] for z in space.elements if z not in known]:
        say(f"{phases.name} holds no compound of {', '.join(unknown)}: candidates with them have few rivals to beat")
    with (
        told_at_the_end(hook, path, say),
        cluster(scheduler, slurm, cuda, say) as address,
        RunBar("compositions") as bar,
    ):
        run = scan_space(
            space,
            network,
            phases,
            path,
            threshold,
            charge_neutral,
            chunk_size,
            workers,
            address,
            _told(bar),
            exact,
            say,
            wanted,
            _precision(gpu, cuda),
        )
    _print_run(run, top, form, filters)
    if expected := expectation(network.card, threshold):
        say(expected)


def resume(
    run: Annotated[Path, typer.Argument(help="A run directory that `matscreen scan` made.")],
    top: o.Top = None,
    form: o.Format = "table",
    workers: o.Workers = None,
    scheduler: o.Scheduler = None,
    slurm: o.Slurm = 0,
    cuda: o.Cuda = False,
    gpu: o.Gpu = None,
    then: o.Then = "",
    webhook: o.Webhook = "",
) -> None:
    """Go on with a scan or a search that was interrupted; the result is the same, byte for byte."""
    steady_clock()
    hook = Hook(then, webhook)
    config = rundir.read_config(run)
    if config.search:
        if scheduler or slurm or cuda or gpu or workers:
            raise InputError("a search works by itself, without --workers, --scheduler, --slurm, --cuda or --gpu")
        objectives = [(name, sign) for name, sign in config.search["objectives"]]
        with told_at_the_end(hook, run, say), RunBar("points") as bar:
            done = resume_search(run, told_search(bar, objectives), say)
        print_search(done, top, form)
        return
    with (
        told_at_the_end(hook, run, say),
        cluster(scheduler, slurm, cuda, say) as address,
        RunBar("compositions") as bar,
    ):
        finished = resume_run(run, workers, address, _told(bar), say, _precision(gpu, cuda))
    _print_run(finished, top, form, Filters())


def _precision(gpu: Precision | None, cuda: bool) -> Precision | None:
    """What the options together ask for."""
    return gpu or ("bf16" if cuda else None)


def _told(bar: RunBar) -> Callable[[Progress], None]:
    """What a scan reports to."""
    return lambda state: bar.update(state.done, state.total, state.resumed, f"{state.candidates:,} candidates")


def _print_run(run: Run, top: int | None, form: str, filters: Filters) -> None:
    shortlist = read_shortlist(run.path, filters, top if top is not None else 20 if form == "table" else None)
    print_shortlist(shortlist, form, filters.superlative)
    rates = run.summary["throughput"]
    done, seconds = rates["last_session_compositions"], rates["last_session_seconds"]
    speed = f"{done:,} compositions in {seconds:,.1f} s ({done / seconds:,.0f}/s)" if done else "nothing was left to do"
    say(f"{speed} · run in {run.path}")
