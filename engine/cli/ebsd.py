"""`matscreen ebsd`: crystal orientations from electron backscatter patterns."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import rich.progress
import torch
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import PROGRESS, say
from matscreen.engine.cli.training_bar import TrainingBar
from matscreen.engine.cluster import steady_clock
from matscreen.engine.ebsd.crystals import NICKEL, checksum, read_crystal
from matscreen.engine.ebsd.dictionary import Dictionary, open_dictionary
from matscreen.engine.ebsd.dictionary import simulate as simulate_dictionary
from matscreen.engine.ebsd.grid import orientation_grid
from matscreen.engine.ebsd.indexing import ByDictionary, ByNetwork, Method, clear
from matscreen.engine.ebsd.indexing import index as index_map
from matscreen.engine.ebsd.map import FLAGS, read_map
from matscreen.engine.ebsd.output import FORMATS, orientation_picture, write_map
from matscreen.models.device import here
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.losses import LOSSES
from matscreen.models.ebsd.model import load
from matscreen.models.ebsd.network import PLANS
from matscreen.models.ebsd.representation import REPRESENTATIONS
from matscreen.models.ebsd.simulation import CLEAN, Crystal
from matscreen.models.ebsd.training import OrientationRecipe, fit
from matscreen.models.errors import InputError, JobError

app = typer.Typer(help="Crystal orientations from electron backscatter patterns (EBSD).", no_args_is_help=True)

Phase = Annotated[
    str,
    typer.Option(help=f"A file with a master pattern, such as EMsoft writes; or {NICKEL}, which kikuchipy brings."),
]
Energy = Annotated[float | None, typer.Option(help="keV, where the master pattern has several. Default: the highest.")]
Like = Annotated[Path | None, typer.Option(help="A file of patterns whose detector to take.")]
Shape = Annotated[str | None, typer.Option(help="Rows and columns of a pattern, such as 60,60.")]
Centre = Annotated[
    str | None,
    typer.Option(help="Pattern centre x,y from the upper left and distance, as Bruker has them: 0.42,0.21,0.50."),
]
SampleTilt = Annotated[float | None, typer.Option(help="Degrees. Default: 70, or what the file says.")]
Tilt = Annotated[float | None, typer.Option(help="Of the detector, degrees. Default: 0, or what the file says.")]
OMNET = "omnet-nickel"
Grid = Annotated[
    int, typer.Option(help="Steps along half an edge of the cubochoric cube: 50 are 41,625 orientations of nickel.")
]


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write the dictionary to.")],
    phase: Phase = NICKEL,
    energy: Energy = None,
    like: Like = None,
    shape: Shape = None,
    centre: Centre = None,
    sample_tilt: SampleTilt = None,
    tilt: Tilt = None,
    grid: Grid = 50,
    workers: o.Workers = None,
    scheduler: o.Scheduler = None,
) -> None:
    """Simulate the patterns of a grid of orientations: a dictionary.

    Interrupt it at any time; the same command goes on.
    """
    crystal = read_crystal(phase, energy)
    geometry = _geometry(like, shape, centre, sample_tilt, tilt)
    dictionary = _simulated(crystal, geometry, grid, out, o.threads(workers), scheduler)
    rows, columns = geometry.shape
    print(f"{out}: {len(dictionary):,} patterns of {crystal.name}, {rows} × {columns} pixels")


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors; card and curves go beside them.")],
    phase: Phase = NICKEL,
    energy: Energy = None,
    like: Like = None,
    shape: Shape = None,
    centre: Centre = None,
    sample_tilt: SampleTilt = None,
    tilt: Tilt = None,
    grid: Grid = 50,
    network: Annotated[str, typer.Option(help=f"One of {', '.join(PLANS)}.")] = "omnet-small",
    representation: Annotated[
        str | None,
        typer.Option(help=f"What it puts out: {', '.join(REPRESENTATIONS)}. Default: cubic for 432, else quaternion."),
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help=f"What it makes small: {', '.join(LOSSES)}. Default: mse for cubic, else mde.")
    ] = None,
    recipe: Annotated[
        Literal["default", "published"],
        typer.Option(help="published: batch 64, Adam, at most 100 epochs, patience 10, clean patterns, Euler angles."),
    ] = "default",
    epochs: Annotated[int | None, typer.Option(help="Most epochs, instead of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Patterns a step, instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Network whose weights to start from: a name or .safetensors."),
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Most noise, in standard deviations of a pattern.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=o.LARGEST_SEED, help="Of the first weights, the order and all disturbances.")
    ] = 0,
) -> None:
    """Train a network (OMNet) that reads orientations off patterns of one phase and one geometry.

    Patterns are simulated as they are needed, each with its own noise, background, gain and displacement. Interrupt it
    at any time; the same command goes on after the last whole epoch.
    """
    if out.suffix != ".safetensors":
        raise InputError(f"--out takes a file .safetensors, not {out}")
    _check_out(out, (Path(phase),))
    crystal = read_crystal(phase, energy)
    geometry = _geometry(like, shape, centre, sample_tilt, tilt)
    published = recipe == "published"
    chosen = representation or ("euler" if published else "cubic" if crystal.symmetry == "432" else "quaternion")
    plan = replace(
        OrientationRecipe(),
        representation=chosen,
        loss=loss or ("mae+mde" if published else "mse" if chosen == "cubic" else "mde"),
        seed=seed,
    )
    if published:
        constant: dict[str, Any] = {"one_cycle": False, "learning_rate": 1e-4, "weight_decay": 0.0}
        plan = replace(plan, batch=64, epochs=100, patience=10, disturbance=CLEAN, **constant)
    given = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, value in changed.items():
        if not 0 < value < 1e6:
            raise InputError(f"--{name.replace('_', '-')} must be positive, not {value}")
    if noise is not None:
        if not 0 <= noise <= 100:
            raise InputError(f"--noise takes a number from 0 to 100, not {noise:g}")
        changed["disturbance"] = replace(plan.disturbance, noise=noise)
    plan = replace(plan, **changed)
    started = time.perf_counter()
    first = load(start) if start else None
    turns = orientation_grid(crystal.symmetry, grid)
    with TrainingBar(plan.epochs, hidden=here().rank > 0, what="patterns") as bar:
        model = fit(network, crystal, geometry, turns, out, plan, bar.update, {"grid_steps": grid}, first)
    if here().rank == 0:
        for name, value in model.card["metrics"].items():
            print(f"{name} {value}")
        say(f"{out} with .json and .history.parquet, in {time.perf_counter() - started:.0f} s")


@app.command()
def index(
    file: Annotated[str, typer.Argument(help=f"Patterns in a format of kikuchipy; {NICKEL}: nine that it brings.")],
    out: Annotated[Path, typer.Option(help=f"Orientations to write: {', '.join(FORMATS)}. A picture goes beside.")],
    phase: Phase = NICKEL,
    energy: Energy = None,
    method: Annotated[
        Literal["dictionary", "omnet"], typer.Option(help="Compare with a dictionary, or ask a trained network.")
    ] = "dictionary",
    dictionary: Annotated[
        Path | None,
        typer.Option(help="Made by `matscreen ebsd simulate`. Default: one for this file, made beside --out."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help=f"A network that ships, or a path to a .safetensors file. Default: {OMNET}.")
    ] = None,
    grid: Grid = 50,
    centre: Centre = None,
    sample_tilt: SampleTilt = None,
    tilt: Tilt = None,
    refine: Annotated[bool, typer.Option(help="Improve each orientation on the pattern itself.")] = True,
    workers: o.Workers = None,
) -> None:
    """Find the orientation at every point of a map.

    Patterns that are empty, saturated, unreadable or unlike any simulated one are flagged and left out. Interrupt it at
    any time; the same command goes on.
    """
    if out.suffix not in FORMATS:
        raise InputError(f"--out takes a file {', '.join(FORMATS)}, not {out}")
    if method == "omnet" and dictionary:
        raise InputError("--dictionary is of --method dictionary")
    if method == "dictionary" and model:
        raise InputError("--model is of --method omnet")
    picture, work = out.with_suffix(".png"), out.with_name(out.name + ".blocks")
    _check_out(out, (Path(file), Path(phase), Path(model or OMNET)))
    torch.set_num_threads(o.threads(workers))
    network = load(model or OMNET) if method == "omnet" else None
    book = open_dictionary(dictionary) if dictionary else None
    known = network.geometry if network else book.geometry if book else None
    given = read_map(file, known.shape if known else None, _place(centre), sample_tilt, tilt)
    if len(given) == 1 and out.suffix == ".ang":
        raise InputError(f"{file} holds one pattern, which is no map for .ang; take .ctf or .h5")
    crystal = read_crystal(phase, energy)
    known_master = network.card["phase"].get("master_sha256") if network else book.master_sha256 if book else None
    if (network or book) and known_master != checksum(crystal):
        raise InputError(
            f"{network.name if network else dictionary} was made of another master pattern than --phase {phase}"
        )
    chosen: Method
    if network:
        chosen = ByNetwork(network, crystal)
    else:
        if book is None:
            place = out.with_name(out.name + ".dictionary")
            say(f"a dictionary for {given.path.name} goes to {place}")
            book = _simulated(crystal, given.geometry, grid, place, o.threads(workers), None)
        chosen = ByDictionary(book)
    with _bar("patterns") as report:
        found = index_map(given, chosen, crystal, work, refine, report)
    told = {"name": crystal.name, "point_group": crystal.point_group, "lattice": crystal.lattice}
    try:
        write_map(out, given, found, {**told, "energy_kev": crystal.energy_kev})
        orientation_picture(picture, given, found, told)
    except OSError as error:
        raise JobError(f"cannot write to {out.parent}: {error.strerror or error}; the blocks are in {work}") from None
    clear(work)
    flags = found["flag"].to_numpy()
    print(", ".join(f"{(flags == n).sum():,} {name}" for n, name in enumerate(FLAGS) if n == 0 or (flags == n).any()))
    if (flags == 0).any():
        print(f"median score {np.median(found['score'].to_numpy()[flags == 0]):.3f}")
    print(f"{out} and {picture}")


def _check_out(out: Path, read: tuple[Path, ...]) -> None:
    """InputError for a file that cannot be written, or that is one of those to read."""
    if not out.parent.is_dir():
        raise InputError(f"no such folder: {out.parent}")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder")
    for path in read:
        if path.exists() and any(there.exists() and there.samefile(path) for there in (out, out.with_suffix(".png"))):
            raise InputError(f"--out {out} would overwrite {path}, which is to be read")


def _numbers(text: str, option: str, count: int, example: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(f"{option} takes {count} numbers such as {example}, not {text!r}")
    return values


def _geometry(
    like: Path | None, shape: str | None, centre: str | None, sample_tilt: float | None, tilt: float | None
) -> Geometry:
    """That of a file, or of the options; InputError if neither tells it."""
    told = _numbers(shape, "--shape", 2, "60,60") if shape else ()
    if any(side != int(side) for side in told):
        raise InputError(f"--shape takes whole numbers, not {shape}")
    sides = tuple(int(side) for side in told) or None
    if like is not None:
        return read_map(str(like), sides, _place(centre), sample_tilt, tilt).geometry  # type: ignore[arg-type]
    place = _place(centre)
    if sides is None or place is None:
        raise InputError("give the detector: --like FILE, or --shape and --centre")
    return Geometry(sides, place, 70.0 if sample_tilt is None else sample_tilt, tilt or 0.0)  # type: ignore[arg-type]


def _place(centre: str | None) -> tuple[float, float, float] | None:
    """What `--centre` says."""
    if centre is None:
        return None
    x, y, distance = _numbers(centre, "--centre", 3, "0.42,0.21,0.50")
    return x, y, distance


def _simulated(
    crystal: Crystal, geometry: Geometry, steps: int, path: Path, workers: int, scheduler: str | None
) -> Dictionary:
    steady_clock()
    with _bar("patterns") as report:
        return simulate_dictionary(crystal, geometry, steps, path, workers, scheduler, report)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left; yields what to tell how many of how many are done."""
    columns = (
        rich.progress.BarColumn(bar_width=None),
        rich.progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f} " + what + " · {task.fields[rate]}/s"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=PROGRESS, transient=True) as progress:
        task = progress.add_task("", total=1, rate="–")
        begun: list[tuple[int, float]] = []

        def report(done: int, total: int) -> None:
            begun.append((done, time.perf_counter())) if not begun else None
            seconds = time.perf_counter() - begun[0][1]
            rate = f"{(done - begun[0][0]) / seconds:,.0f}" if seconds > 0.1 else "–"
            progress.update(task, completed=done, total=total, rate=rate)

        yield report
