"""`matscreen xrd simulate | train | classify`: phase regions from raw diffraction images."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import rich.progress
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import PROGRESS, print_table, say
from matscreen.engine.cli.training_bar import TrainingBar
from matscreen.engine.xrd.background import Method
from matscreen.engine.xrd.regions import confusion, phase_map, write_regions
from matscreen.engine.xrd.samples import Listed, load, read_samples
from matscreen.engine.xrd.wafer import SAMPLES
from matscreen.engine.xrd.wafer_files import write_wafer
from matscreen.models.errors import InputError, JobError
from matscreen.models.fit import write_table
from matscreen.models.xrd.model import load as load_model
from matscreen.models.xrd.network import PLANS
from matscreen.models.xrd.training import RegionRecipe, Samples, areas_of, fit, folds

BATCH = 8
"""Samples classified at a time."""
Table = Annotated[Path, typer.Argument(help="CSV or Parquet: frame (or frame_1 …), elements, region if known.")]
Removed = Annotated[Method | None, typer.Option(help="Background that is taken off first: I-SMF, I-MF or I-CS.")]


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write images, geometries and samples.csv to.")],
    like: Annotated[
        Literal["slac", "nist"], typer.Option(help="A beamline's frame, or two of a laboratory's.")
    ] = "slac",
    pixels: Annotated[int, typer.Option(help="Of a side of each image; published: 2048.")] = 2048,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    workers: o.Workers = None,
) -> None:
    """Simulate a wafer of Sn-Ti-Zn-O: 177 samples in eight phase regions.

    Interrupt it at any time; the same command goes on with the images that are missing.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed takes a number from 0 to {2**32 - 1}, not {seed}")
    started = time.perf_counter()
    with _bar("samples", SAMPLES) as advance:
        made = write_wafer(out, like, pixels, seed, _threads(workers), advance)
    rate = made / (time.perf_counter() - started)
    print(f"{made:,} images made in {out}" + (f", {rate:.1f} images/s" if made else "; all were there"))


def train(
    table: Table,
    out: Annotated[Path, typer.Option(help="File (.safetensors) to write the network to.")],
    network: Annotated[str, typer.Option(help=f"One of {', '.join(PLANS)}.")] = "padnet",
    background: Removed = None,
    slopes: Annotated[Literal["fixed", "trained"], typer.Option(help="Whether the slope filters learn.")] = "fixed",
    composition: Annotated[bool, typer.Option(help="Whether it is told what each sample is made of.")] = True,
    fold: Annotated[
        int | None, typer.Option("--folds", help="Judge by cross-validation in so many parts; keeps no network.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Most epochs.")] = RegionRecipe.epochs,
    patience: Annotated[int, typer.Option(help="Epochs without improvement before it stops.")] = RegionRecipe.patience,
    batch: Annotated[int, typer.Option(help="Samples a step.")] = RegionRecipe.batch,
    size: Annotated[
        int | None, typer.Option(help="Of the background's filters. Default: a tenth of the image.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, the parts and the order.")] = 0,
) -> None:
    """Train a network (PADNet) that tells phase regions from raw images of samples whose region is known."""
    if out.suffix != ".safetensors":
        raise InputError(f"--out takes a file .safetensors, not {out}")
    for name, value in {"epochs": epochs, "patience": patience, "batch": batch, "size": size or 1}.items():
        if not 0 < value < 1e6:
            raise InputError(f"--{name} must be positive, not {value}")
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed takes a number from 0 to {2**32 - 1}, not {seed}")
    listed = read_samples(table)
    known = np.array([n for n, region in enumerate(listed.regions) if region])
    if not len(known):
        raise InputError(f"{table}: no sample with a region to learn from")
    recipe = RegionRecipe(epochs=epochs, patience=patience, batch=batch, seed=seed, trained=slopes == "trained")
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    told = {"background": background or "none", "background_size": size or 0}
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        samples, _ = _stored(listed, known, background, size, Path(folder) / "images.npy", composition)
        if fold:
            _judge(network, samples, out, recipe, fold, seed)
            return
        with TrainingBar(epochs, what="samples") as bar:
            model = fit(network, samples, out, recipe, bar.update, told)
    for name, value in model.card["metrics"].items():
        print(f"{name} {value}")
    need = model.card["training"]["step_bytes"] / 1e9
    say(f"{out} with .json and .history.parquet, in {time.perf_counter() - started:.0f} s; a step keeps {need:.2f} GB")


def classify(
    table: Table,
    model: Annotated[Path, typer.Option(help="Network (.safetensors) that `xrd train` wrote.")],
    out: Annotated[Path, typer.Option(help="Table (.csv or .parquet) to write; the phase map goes beside it.")],
) -> None:
    """Tell the phase region of each sample from its raw images, and draw the phase map of three elements.

    Samples are read a few at a time, however many there are. One whose image cannot be used is told and left out.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out takes a file .csv or .parquet, not {out}")
    network = load_model(model)
    listed = read_samples(table)
    if out.resolve() == table.resolve():
        raise InputError(f"--out would overwrite {table}; give another file")
    views, rows, columns = network.shape
    if listed.views != views:
        raise InputError(f"{network.name} takes {views} images of a sample, {table} names {listed.views}")
    if missing := [name for name in network.elements if name not in listed.elements]:
        raise InputError(f"{table}: no column {', '.join(missing)}, which {network.name} was trained with")
    order = [listed.elements.index(name) for name in network.elements]
    told = network.card["background"]
    background: Method | None = None if told == "none" else told
    found = np.full((len(listed.names), len(network.classes)), np.nan)
    problems: dict[int, str] = {}
    started = time.perf_counter()
    with _bar("samples", len(listed.names)) as advance:
        waiting: list[tuple[int, np.ndarray]] = []

        def ask() -> None:
            if waiting:
                numbers = [number for number, _ in waiting]
                images = np.stack([images for _, images in waiting])
                found[numbers] = network.probabilities(images, listed.compositions[numbers][:, order])
                waiting.clear()

        for sample in load(listed, background, network.card["background_size"]):
            problem = sample.problem
            if not problem and sample.images.shape[1:] != (rows, columns):
                got = " × ".join(map(str, sample.images.shape[1:]))
                problem = f"its images are {got}, {network.name} takes {rows} × {columns}"
            if problem:
                problems[sample.number] = problem
                say(f"{listed.names[sample.number]}: {problem}; left out")
            else:
                waiting.append((sample.number, sample.images))
            if len(waiting) == BATCH:
                ask()
            advance()
        ask()
    rate = (len(listed.names) - len(problems)) * views / (time.perf_counter() - started)
    if len(problems) == len(listed.names):
        raise JobError("none of the samples could be used")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_regions(out, listed, found, network.classes, problems)
    names = ["" if n in problems else network.classes[k] for n, k in enumerate(np.nan_to_num(found).argmax(axis=1))]
    pairs = [(a, b) for a, b in zip(listed.regions, names, strict=True) if a and b]
    if len(listed.elements) == 3:
        phase_map(out.with_suffix(".png"), listed, names, f"phase regions, by {network.name}")
    print(f"{len(names) - len(problems):,} samples in {out}, {len(problems):,} left out, {rate:.1f} images/s")
    if pairs:
        print(f"as told in the table: {sum(a == b for a, b in pairs):,} of {len(pairs):,}")


def _judge(network: str, samples: Samples, out: Path, recipe: RegionRecipe, count: int, seed: int) -> None:
    """Cross-validation: a table beside `out`, a picture of what is taken for what, accuracies on stdout."""
    parts = folds(samples.labels, count, seed)
    found = np.zeros(len(samples), np.int64)
    areas = None
    with TrainingBar(recipe.epochs, what="samples") as bar:
        for number, part in enumerate(parts):
            own = out.with_suffix(f".fold-{number + 1}.safetensors")
            model = fit(
                network,
                samples,
                own,
                recipe,
                lambda state, number=number: bar.update(state, f"part {number + 1}/{count}"),  # type: ignore[misc]
                {"background": "", "background_size": 0},
                part,
                areas,
            )
            if areas is None:
                areas = areas_of(model.network, samples)
            for start in range(0, len(part), BATCH):
                rows = part[start : start + BATCH]
                found[rows] = model.probabilities(samples.images[rows], samples.compositions[rows]).argmax(axis=1)
            for path in (own, own.with_suffix(".json"), own.with_suffix(".history.parquet")):
                path.unlink()
    right = found == samples.labels
    each = [float(right[part].mean()) for part in parts]
    names = np.array(samples.classes)
    lines = [
        (name, str((samples.labels == n).sum()), f"{right[samples.labels == n].mean():.2f}")
        for n, name in enumerate(names)
        if (samples.labels == n).any()
    ]
    title = f"accuracy {np.mean(each):.3f} ± {np.std(each):.3f} over {count} parts"
    print_table(title, ("region", "samples", "right"), lines)
    columns = {"told": names[samples.labels], "found": names[found], "part": _part_of(parts, len(samples))}
    write_table(out.with_suffix(".folds.parquet"), pa.table(columns))
    picture = out.with_suffix(".folds.png")
    confusion(picture, samples.labels, found, samples.classes, f"{count}-fold cross-validation: {np.mean(each):.1%}")
    say(f"{out.with_suffix('.folds.parquet')} and {picture.name}")


def _part_of(parts: list[np.ndarray], count: int) -> np.ndarray:
    found = np.zeros(count, int)
    for number, part in enumerate(parts):
        found[part] = number + 1
    return found


def _stored(
    listed: Listed, known: np.ndarray, background: Method | None, size: int | None, path: Path, composition: bool
) -> tuple[Samples, np.ndarray]:
    """The samples that can be used, their images in a memory map at `path`, and their places in the table."""
    kept: list[int] = []
    images: np.ndarray | None = None
    with _bar("samples", len(known)) as advance:
        for sample in load(listed, background, size or 0, known):
            advance()
            if sample.problem:
                say(f"{listed.names[sample.number]}: {sample.problem}; left out")
                continue
            if images is None:
                shape = (len(known), *sample.images.shape)
                images = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            images[len(kept)] = sample.images
            kept.append(sample.number)
    if images is None:
        raise JobError("none of the samples could be used")
    rows = np.array(kept)
    regions = [listed.regions[n] for n in kept]
    classes = tuple(sorted(set(regions)))
    elements = listed.elements if composition else ()
    labels = np.array([classes.index(region) for region in regions], np.int64)
    compositions = listed.compositions[rows][:, : len(elements)].astype(np.float32)
    return Samples(images[: len(kept)], compositions, labels, classes, elements), rows


def _threads(workers: int | None) -> int:
    if workers is not None and not 1 <= workers <= 1024:
        raise InputError(f"--workers takes a number from 1 to 1024, not {workers}")
    return workers or len(os.sched_getaffinity(0))


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
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
