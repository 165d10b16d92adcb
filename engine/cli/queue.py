"""`matscreen queue` and `matscreen rescreen`: from a list to calculations, and back."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import rich.progress
import typer
from typer.core import TyperGroup

from matscreen.engine import rundir
from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import PROGRESS, print_table, say
from matscreen.engine.cli.results import read_shortlist
from matscreen.engine.rescreen import rescreen as rescreen_run
from matscreen.engine.shortlist import Filters
from matscreen.models.errors import InputError

QueuePath = Annotated[Path, typer.Argument(help="A folder that `matscreen queue RUN` made.")]


class _RunFirst(TyperGroup):
    """`matscreen queue RUN …` is `matscreen queue make RUN …`: what is no command is a run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See click."""
        if args and args[0] not in (*self.commands, "--help"):
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunFirst,
    help="Structures and inputs for the best candidates (`matscreen queue RUN --to vasp`), and their results back. "
    "`matscreen queue make --help` lists the options of the first.",
    no_args_is_help=True,
)


@app.command("make")
def make(
    run: Annotated[Path, typer.Argument(help="A run directory that `matscreen scan` made.")],
    to: Annotated[
        Literal["vasp", "qe", "jobflow", "cif"],
        typer.Option(
            help="VASP as the Materials Project runs it but without U, Quantum ESPRESSO, jobflow, or CIF alone."
        ),
    ] = "vasp",
    out: Annotated[Path | None, typer.Option(help="Folder to make. Default: RUN-queue-CODE beside the run.")] = None,
    top: Annotated[int, typer.Option(help="Queue so many candidates, best first.")] = 50,
    structures: Annotated[int, typer.Option(help="Structures of each candidate.")] = 3,
    prototypes: Annotated[
        Path | None, typer.Option(help="More structures to decorate: a folder of CIF files or a JSON list (pymatgen).")
    ] = None,
    pseudopotentials: Annotated[Path | None, typer.Option(help="Folder of UPF files, for --to qe.")] = None,
    maker: Annotated[
        str, typer.Option(help="What makes a flow of a structure, module:Class. Default: atomate2's DoubleRelaxMaker.")
    ] = "",
    relax: Annotated[
        Literal["none", "chgnet"], typer.Option(help="Relax structures first and queue those of the lowest energy.")
    ] = "none",
    with_slurm: Annotated[
        bool, typer.Option("--slurm", help="Write submit.sh too, an array over all entries.")
    ] = False,
    command: Annotated[str, typer.Option(help="What the array runs in each folder. Default: of the code.")] = "",
    charge_balanced: o.ChargeBalanced = False,
    no_f_block: o.NoFBlock = False,
    no_radioactive: o.NoRadioactive = False,
    max_per_system: o.MaxPerSystem = 0,
    diverse: o.Diverse = False,
    likely_first: o.LikelyFirst = False,
) -> None:
    """Find structures for the best candidates of a run, and write inputs for them with a manifest."""
    # Here, as everywhere below: these take seconds to load, and other commands do not need them.
    from matscreen.engine.queue import slurm
    from matscreen.engine.queue.build import build_queue
    from matscreen.engine.queue.flows import DEFAULT_MAKER, jobflow
    from matscreen.engine.queue.inputs import cif, quantum_espresso, vasp
    from matscreen.engine.queue.prototypes import aflow, from_path
    from matscreen.engine.queue.relax import load_chgnet

    if not 1 <= top <= 100_000 or not 1 <= structures <= 100:
        raise InputError("--top takes 1 to 100,000 candidates and --structures 1 to 100")
    if (to == "qe") != (pseudopotentials is not None):
        raise InputError("--to qe, and that alone, takes --pseudopotentials, a folder of UPF files")
    if command and not with_slurm:
        raise InputError("--command is what the array of --slurm runs: give both")
    if maker and to != "jobflow":
        raise InputError("--maker is of flows: it takes --to jobflow")
    if with_slurm:
        slurm.command_of(to, command)
    writer = {"vasp": vasp, "cif": cif}.get(to) or (
        jobflow(maker or DEFAULT_MAKER) if to == "jobflow" else quantum_espresso(pseudopotentials or Path())
    )
    fingerprint = rundir.read_config(run).fingerprint
    filters = Filters(charge_balanced, no_f_block, no_radioactive, max_per_system, diverse, likely_first)
    listed = pa.concat_tables(read_shortlist(run, filters, top).tables)
    path = out or run.with_name(f"{run.resolve().name}-queue-{to}")
    own, complaints = from_path(prototypes) if prototypes else ([], [])
    for complaint in complaints:
        say(f"not used: {complaint}")
    say("reading prototypes")
    known = [*own, *aflow()]
    ranker = load_chgnet(known) if relax == "chgnet" else None
    say(f"{len(known)} prototypes for {len(listed)} candidates")
    with rich.progress.Progress(console=PROGRESS, transient=True) as progress:
        task = progress.add_task("structures", total=len(listed))
        manifest, without = build_queue(
            listed.to_pylist(),
            run,
            fingerprint,
            known,
            path,
            to,
            writer,
            structures,
            ranker,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    if with_slurm:
        slurm.write_script(path, [entry.folder for entry in manifest.entries], to, command)
    for reason in dict.fromkeys(without.values()):
        these = [formula for formula, why in without.items() if why == reason]
        say(f"{len(these)} left out, {reason}: {', '.join(these[:10])}{' …' if len(these) > 10 else ''}")
    say(f"{len(manifest.entries)} structures of {len({e.rank for e in manifest.entries})} candidates")
    print(path)


@app.command("status")
def status(queue: QueuePath) -> None:
    """Show how far each calculation of a queue is, as of the last `ingest`."""
    from matscreen.engine.queue.manifest import read_manifest

    rows = [
        (str(e.rank), e.formula, e.folder, f"{e.hull_distance_ev_atom:.3f}", e.status, e.reason or e.prototype)
        for e in read_manifest(queue).entries
    ]
    print_table(str(queue), ("", "formula", "folder", "predicted distance", "status", ""), rows, left=3)


@app.command("ingest")
def ingest(
    queue: QueuePath,
    elements: Annotated[
        Path,
        typer.Option(
            help="CSV or Parquet file with element and energy_ev_atom: total energies, same code and settings."
        ),
    ],
    run: Annotated[Path | None, typer.Option(help="The run, if it no longer lies where the queue was made.")] = None,
    store: Annotated[Path | None, typer.Option(help="Documents of a jobflow store, a JSON list (JSONStore).")] = None,
) -> None:
    """Read finished calculations and add their formation energies to the run; unfinished ones stay queued."""
    from matscreen.engine.queue.ingest import ingest as ingest_queue

    found = ingest_queue(queue, elements, run, store)
    rows = [
        *((formula, folder, f"{energy:.4f}", "done") for formula, folder, energy in found.done),
        *((formula, folder, "", f"queued: {reason}") for formula, folder, reason in found.left),
    ]
    print_table(
        f"{len(found.done)} done, {len(found.left)} left (eV/atom)",
        ("formula", "folder", "formation energy", ""),
        rows,
        2,
    )
    if found.done:
        say("`matscreen rescreen RUN` measures the run's list against them")


def rescreen(run: Annotated[Path, typer.Argument(help="A run directory that `matscreen scan` made.")]) -> None:
    """Measure a run's candidates again, with what was calculated since on the hull; `show` then lists those left."""
    told = rescreen_run(run)
    rows = [(formula, f"{above:.3f}" if above > 1e-9 else "on it") for formula, above in sorted(told.found.items())]
    print_table("Calculated (eV/atom)", ("formula", "above the hull"), rows)
    print(
        f"{told.now:,} of {told.before:,} candidates are left: {told.calculated:,} were calculated, {told.above:,} no "
        "longer lie beyond the threshold"
    )
