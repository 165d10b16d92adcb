"""`matscreen spectra`: what networks of spectra and compositions learn, and which way their property rises."""

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import rich.progress
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import PROGRESS, make_folder, print_table, say
from matscreen.engine.libraries import library
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically

app = typer.Typer(help="Spectra with compositions: learn a property from both, and say why.", no_args_is_help=True)

MOST_SAMPLES = 100_000


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Samples to write, .csv or .parquet.")],
    samples: Annotated[int, typer.Option(help="How many; as many as were published by default.")] = 1379,
    seed: Annotated[int, typer.Option(min=0, max=o.LARGEST_SEED, help="Another seed, other samples.")] = 0,
) -> None:
    """Simulate Raman spectra and a property of Bi-V-Mo-W-Tb-Gd-Dy oxides, whose slopes are known exactly."""
    from matscreen.engine.spectra.data import LEAST_SAMPLES, SpectralData, write_samples
    from matscreen.models.spectra.simulation import ELEMENTS
    from matscreen.models.spectra.simulation import simulate as simulated

    if not LEAST_SAMPLES <= samples <= MOST_SAMPLES:
        raise InputError(f"--samples takes {LEAST_SAMPLES} to {MOST_SAMPLES:,}, not {samples:,}")
    if not out.parent.is_dir():
        raise InputError(f"no such folder: {out.parent}")
    made = simulated(seed, samples)
    write_samples(
        SpectralData(ELEMENTS, "performance", made.wavenumbers, made.spectra, made.fractions, made.values), out
    )
    print(out)


@app.command()
def explain(
    data: Annotated[Path, typer.Argument(help="Samples: CSV, Parquet or HDF5 (see `matscreen spectra simulate`).")],
    out: Annotated[Path, typer.Option(help="Folder for weights, figures and pictures.")],
    value: Annotated[str, typer.Option("--property", help="Column of the property.")] = "performance",
    seeds: Annotated[int, typer.Option(help="Networks, which differ in their first weights.")] = 8,
    folds: Annotated[int, typer.Option(help="Of the cross-validation; 0: none.")] = 5,
    epochs: Annotated[str, typer.Option(help="Of the three stages: spectrum, composition, both.")] = "60,120,90",
) -> None:
    """Train networks of spectrum and composition, and say which way their property rises, with mean and deviation.

    What is finished is kept in --out and not done again: give the same command after an interruption.
    """
    from matscreen.engine.spectra import analysis, pictures
    from matscreen.engine.spectra.data import read_samples
    from matscreen.models.spectra.training import SpectralRecipe

    for needed in ("captum.attr", "sklearn", "matplotlib"):
        library(needed, "spectra")  # now, not after hours
    if not 1 <= seeds <= 1000 or (folds != 0 and not 2 <= folds <= 100):
        raise InputError("--seeds takes 1 to 1000 and --folds 0, or 2 to 100")
    recipe = SpectralRecipe(epochs=_epochs(epochs), seeds=seeds)
    samples = read_samples(data, value)
    if folds > len(samples.values) or len(samples.values) * (folds - 1 if folds else 1) // (folds or 1) < recipe.batch:
        raise InputError(f"{data}: {len(samples.values)} samples are too few for {folds} folds")
    make_folder(out)
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=None),
        rich.progress.TextColumn("{task.completed}/{task.total} epochs · loss {task.fields[loss]}"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=PROGRESS, transient=True) as progress:
        task = progress.add_task("", total=sum(recipe.epochs), loss="–")

        def report(name: str, done: int, total: int, loss: float) -> None:
            progress.update(task, description=name, completed=done, total=total, loss=f"{loss:.3f}")

        scores = {}
        if folds:
            predicted = analysis.crossvalidated(samples, recipe, folds, out, report)
            scores["networks"] = analysis.r2(samples.values, predicted)
        model = analysis.whole_model(samples, recipe, out / "networks.safetensors", report)
    if folds:
        say("kernel ridge and random forest, for comparison")
        others = analysis.baselines(samples, folds)
        scores |= {name: analysis.r2(samples.values, found) for name, found in others.items()}
    found = analysis.slopes(model, samples)
    smooth = analysis.smoothed(model, samples, noise=0.2)
    rows = np.linspace(0, len(samples.values) - 1, min(200, len(samples.values))).astype(int)
    attributed = analysis.attributions(model, samples, rows)
    pictures.element_slopes_picture(samples, found, out / "elements.png")
    pictures.wavenumber_slopes_picture(samples, found, attributed, out / "wavenumbers.png")
    pictures.first_layer_picture(samples.elements, analysis.first_layer(model), out / "first-layer.png")
    pictures.arrows_picture(samples, found, out / "arrows.png")
    mean, smoothed = found.elements.mean(axis=1), smooth.elements.mean(axis=(0, 1))
    spread = mean.std(axis=0, ddof=1) if seeds > 1 else np.full(mean.shape[1], np.nan)
    told = {
        "data_sha256": samples.checksum,
        "samples": len(samples.values),
        "r2": {name: round(score, 4) for name, score in scores.items()},
        "slopes": {
            element: {
                "mean": round(float(mean[:, k].mean()), 4),
                "over_networks": None if seeds == 1 else round(float(spread[k]), 4),
                "over_samples": round(float(found.elements[:, :, k].mean(axis=0).std()), 4),
                "smoothed": round(float(smoothed[k]), 4),
            }
            for k, element in enumerate(samples.elements)
        },
    }
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    write_atomically(out / "explained.json", lambda temporary: temporary.write_text(text))
    lines = [
        (element, f"{own['mean']:+.3g}", "" if own["over_networks"] is None else f"±{own['over_networks']:.2g}",
         f"±{own['over_samples']:.2g}", f"{own['smoothed']:+.3g}")
        for element, own in told["slopes"].items()  # type: ignore[attr-defined]
    ]  # fmt: skip
    title = f"Slope of {value} for all atoms that become it, the spectrum unchanged"
    print_table(title, ("", "mean", "over networks", "over samples", "SmoothGrad"), lines)
    for name, score in scores.items():
        print(f"R² of {name}, {folds} folds: {score:.3f}")
    say(f"pictures, networks and figures in {out}")
    sys.stdout.flush()


def _epochs(told: str) -> tuple[int, int, int]:
    try:
        first, second, third = (int(part) for part in told.split(","))
    except ValueError:
        raise InputError(f"--epochs takes three numbers such as 60,120,90, not {told!r}") from None
    if not all(1 <= one <= 100_000 for one in (first, second, third)):
        raise InputError("--epochs takes numbers from 1 to 100,000")
    return first, second, third
