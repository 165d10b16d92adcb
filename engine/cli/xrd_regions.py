"""`matscreen xrd simulate | train | classify`: phase regions from raw diffraction images."""

import math
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import make_folder, print_table, rate_bar, say
from matscreen.engine.cli.training_bar import TrainingBar
from matscreen.engine.xrd.background import Removal
from matscreen.engine.xrd.crossvalidation import BATCH, crossvalidate
from matscreen.engine.xrd.frames import read_mask
from matscreen.engine.xrd.regions import confusion, phase_map, write_regions
from matscreen.engine.xrd.samples import Listed, load, read_samples, usual_shape
from matscreen.engine.xrd.wafer import SAMPLES
from matscreen.engine.xrd.wafer_files import write_wafer
from matscreen.models.device import here
from matscreen.models.errors import InputError, JobError
from matscreen.models.xrd.model import load as load_model
from matscreen.models.xrd.network import PLANS
from matscreen.models.xrd.training import RegionRecipe, Samples, fit

Table = Annotated[Path, typer.Argument(help="CSV or Parquet: frame (or frame_1 …), elements, region if known.")]
Masked = Annotated[Path | None, typer.Option(help="An image that is not 0 where pixels do not count: a beam stop.")]
Removed = Annotated[Removal | None, typer.Option(help="What is left of an image once its background is off.")]


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write images, geometries and samples.csv to.")],
    like: Annotated[
        Literal["slac", "nist"], typer.Option(help="A beamline's frame, or two of a laboratory's.")
    ] = "slac",
    pixels: Annotated[int, typer.Option(help="Of a side of each image; published: 2048.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, max=o.LARGEST_SEED, help="Of all that is drawn.")] = 0,
    workers: o.Workers = None,
) -> None:
    """Simulate a wafer of Sn-Ti-Zn-O: 177 samples in eight phase regions.

    Interrupt it at any time; the same command goes on with the images that are missing.
    """
    make_folder(out)
    started = time.perf_counter()
    with rate_bar("samples", SAMPLES) as advance:
        made = write_wafer(out, like, pixels, seed, o.threads(workers), advance)
    rate = made / (time.perf_counter() - started)
    print(f"{made:,} images made in {out}" + (f", {rate:.1f} images/s" if made else "; all were there"))


def train(
    table: Table,
    out: Annotated[Path, typer.Option(help="File (.safetensors) to write the network to.")],
    network: Annotated[str, typer.Option(help=f"One of {', '.join(PLANS)}.")] = "padnet",
    background: Removed = None,
    mask: Masked = None,
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
    seed: Annotated[
        int, typer.Option(min=0, max=o.LARGEST_SEED, help="Of the first weights, the parts and the order.")
    ] = 0,
) -> None:
    """Train a network (PADNet) that tells phase regions from raw images of samples whose region is known."""
    if out.suffix != ".safetensors" or out.is_dir():
        raise InputError(f"--out takes a file .safetensors, not {out}")
    if network not in PLANS:
        raise InputError(f"no network {network!r}: give one of {', '.join(PLANS)}")
    given = {"epochs": epochs, "patience": patience, "batch": batch, "size": size, "folds": fold}
    for name, value in given.items():
        if value is not None and not 0 < value < 1e6:
            raise InputError(f"--{name} must be positive, not {value}")
    if fold and here().ranks > 1:
        raise InputError("--folds works in one process; start it without torchrun")
    listed = read_samples(table)
    known = np.array([n for n, region in enumerate(listed.regions) if region])
    if not len(known):
        raise InputError(f"{table}: no sample with a region to learn from")
    if len({tuple(listed.frames[n]) for n in known}) < len(known):
        raise InputError(f"{table}: two samples have the same images")
    if composition:
        say(f"compositions of {', '.join(listed.elements)}" if listed.elements else "no compositions are told")
    recipe = RegionRecipe(epochs=epochs, patience=patience, batch=batch, seed=seed, trained=slopes == "trained")
    make_folder(out.parent)
    started = time.perf_counter()
    hidden = read_mask(mask) if mask else None
    told = {"background": background or "none", "background_size": size or 0, "masked_pixels": _count(hidden)}
    samples, rows = _stored(listed, known, background, size or 0, out, composition, hidden)
    names = [listed.names[n] for n in rows]
    if fold:
        kept = out.with_suffix(".folds.parquet")
        with TrainingBar(epochs, what="samples") as bar:
            found = crossvalidate(
                network, samples, names, kept, recipe, fold, told,
                lambda part, state: bar.update(state, f"part {part + 1}/{fold}"),
            )  # fmt: skip
        _tell(found, samples.classes, kept)
        return
    with TrainingBar(epochs, hidden=here().rank > 0, what="samples") as bar:
        model = fit(network, samples, out, recipe, told, bar.update)
    if here().rank > 0:
        return
    for name, value in model.card["metrics"].items():
        print(f"{name} {value}")
    need = model.card["training"]["step_bytes"] / 1e9
    say(f"{out} with .json and .history.parquet, in {time.perf_counter() - started:.0f} s; a step keeps {need:.2f} GB")


def classify(
    table: Table,
    model: Annotated[Path, typer.Option(help="Network (.safetensors) that `xrd train` wrote.")],
    out: Annotated[Path, typer.Option(help="Table (.csv or .parquet) to write; the phase map goes beside it.")],
    mask: Masked = None,
) -> None:
    """Tell the phase region of each sample from its raw images, and draw the phase map of three elements.

    Samples are read a few at a time, however many there are. One whose image cannot be used is told and left out; the
    exit code is 1 then.
    """
    if out.suffix not in (".csv", ".parquet") or out.is_dir():
        raise InputError(f"--out takes a file .csv or .parquet, not {out}")
    network = load_model(model)
    listed = read_samples(table)
    if out.resolve() == table.resolve():
        raise InputError(f"--out would overwrite {table}; give another file")
    make_folder(out.parent)
    views, rows, columns = network.shape
    if listed.views != views:
        raise InputError(f"{network.name} takes {views} images of a sample, {table} names {listed.views}")
    fractions = listed.fractions(network.elements)
    hidden = read_mask(mask) if mask else None
    learnt, masked = network.card["masked_pixels"], _count(hidden)
    if learnt != masked:
        say(f"careful: {network.name} learnt with {learnt:,} pixels masked, here {masked:,} are")
    told = network.card["background"]
    background: Removal | None = None if told == "none" else told
    found = np.full((len(listed.names), len(network.classes)), np.nan)
    problems: dict[int, str] = {}
    started = time.perf_counter()
    with rate_bar("samples", len(listed.names)) as advance:
        waiting: list[tuple[int, np.ndarray]] = []

        def ask() -> None:
            if waiting:
                numbers = [number for number, _ in waiting]
                images = np.stack([images for _, images in waiting])
                found[numbers] = network.probabilities(images, fractions[numbers])
                waiting.clear()

        for sample in load(listed, background, (rows, columns), network.card["background_size"], None, hidden):
            problem = sample.problem
            if problem:
                problems[sample.number] = problem
                say(f"{listed.names[sample.number]}: {problem}; left out")
            else:
                waiting.append((sample.number, sample.images))
            if len(waiting) == BATCH:
                ask()
            advance()
        ask()
    for number in np.flatnonzero(~np.isfinite(found).all(axis=1)):
        problems.setdefault(int(number), "the network makes nothing of it: its numbers are too large")
    found[sorted(problems)] = np.nan
    rate = (len(listed.names) - len(problems)) * views / (time.perf_counter() - started)
    if len(problems) == len(listed.names):
        raise JobError("none of the samples could be used")
    write_regions(out, listed, found, network.classes, problems)
    names = ["" if n in problems else network.classes[k] for n, k in enumerate(np.nan_to_num(found).argmax(axis=1))]
    pairs = [(a, b) for a, b in zip(listed.regions, names, strict=True) if a and b]
    if len(listed.elements) == 3:
        phase_map(out.with_suffix(".png"), listed, names, f"phase regions, by {network.name}")
    print(f"{len(names) - len(problems):,} samples in {out}, {rate:.1f} images/s")
    if pairs:
        print(f"as told in the table: {sum(a == b for a, b in pairs):,} of {len(pairs):,}")
    if problems:
        raise JobError(f"{len(problems):,} of {len(names):,} samples were left out")


def _tell(found: pa.Table, classes: tuple[str, ...], kept: Path) -> None:
    """Accuracies of a cross-validation on stdout, and a picture of what was taken for what."""
    told, answered, part = (found[name].to_numpy(zero_copy_only=False) for name in ("told", "found", "part"))
    right = told == answered
    each = [float(right[part == number].mean()) for number in np.unique(part)]
    lines = [
        (name, str((told == name).sum()), f"{right[told == name].mean():.2f}")
        for name in classes
        if (told == name).any()
    ]
    title = f"accuracy {np.mean(each):.3f} ± {np.std(each):.3f} over {len(each)} parts"
    print_table(title, ("region", "samples", "right"), lines)
    rows, columns = (np.array([classes.index(name) for name in names]) for names in (told, answered))
    confusion(kept.with_suffix(".png"), rows, columns, classes, f"{len(each)} parts: {np.mean(each):.1%}")
    say(f"{kept} and {kept.with_suffix('.png').name}")


def _count(mask: np.ndarray | None) -> int:
    return 0 if mask is None else int(np.count_nonzero(mask))


def _stored(
    listed: Listed,
    known: np.ndarray,
    background: Removal | None,
    size: int,
    out: Path,
    composition: bool,
    mask: np.ndarray | None,
) -> tuple[Samples, list[int]]:
    """The samples that can be used, and their places in the table. Their images are in a file that has no name.

    It lies beside `out`, as large as all images, and goes with the process.
    """
    kept: list[int] = []
    shape = usual_shape(listed, known)
    whole = (len(known), listed.views, *shape)
    with tempfile.TemporaryFile(dir=out.parent) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, 4 * math.prod(whole))
        except OSError as error:
            raise JobError(f"cannot keep {4 * math.prod(whole) / 1e9:.1f} GB of images: {error.strerror}") from None
        images = np.memmap(file, np.float32, "r+", shape=whole)
    with rate_bar("samples", len(known)) as advance:
        for sample in load(listed, background, shape, size, known, mask):
            advance()
            if sample.problem:
                say(f"{listed.names[sample.number]}: {sample.problem}; left out")
                continue
            images[len(kept)] = sample.images
            kept.append(sample.number)
    if not kept:
        raise JobError("none of the samples could be used")
    regions = [listed.regions[n] for n in kept]
    classes = tuple(sorted(set(regions)))
    elements = listed.elements if composition else ()
    labels = np.array([classes.index(region) for region in regions], np.int64)
    compositions = listed.compositions[kept][:, : len(elements)].astype(np.float32)
    return Samples(images[: len(kept)], compositions, labels, classes, elements), kept
