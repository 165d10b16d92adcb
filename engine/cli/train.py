"""`matscreen train`: networks on one's own formation energies."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import rich.progress
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import PROGRESS, say
from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.errors import InputError
from matscreen.models.fit import fit
from matscreen.models.training import PUBLISHED, Progress, Recipe


def train(
    network: Annotated[str, typer.Argument(help=f"One of {', '.join(ARCHITECTURES)}.", metavar="NETWORK")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet with columns formula and formation_energy_ev_atom.")],
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors; card and parity plot go beside them.")],
    recipe: Annotated[
        Literal["default", "published"],
        typer.Option(help="default: the recipe of the shipped weights; published: that of the thesis."),
    ] = "default",
    start: Annotated[
        str | None,
        typer.Option("--from", help="Model whose weights to start from (transfer learning): a name or .safetensors."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs, instead of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Compositions a step, instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, the split and the order of compositions.")] = 0,
) -> None:
    """Train a network on a table of formation energies.

    Interrupt it at any time; the same command goes on after the last whole epoch.
    """
    if network not in ARCHITECTURES:
        raise InputError(f"no network {network!r}: give one of {', '.join(ARCHITECTURES)}")
    given = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "weight_decay": weight_decay}
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key, value in changed.items():
        if not 0 < value < 1e6 and not (key == "weight_decay" and value == 0):
            raise InputError(f"--{key.replace('_', '-')} must be positive, not {value}")
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed takes a number from 0 to {2**32 - 1}, not {seed}")
    chosen = PUBLISHED[network.partition("-")[0]] if recipe == "published" else Recipe()
    plan = replace(chosen, **changed, seed=seed)
    first_weights = o.open_model(start) if start else None
    started = time.perf_counter()
    with rich.progress.Progress(
        rich.progress.TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        rich.progress.BarColumn(bar_width=None),
        rich.progress.TextColumn("{task.fields[rate]} compositions/s · MAE {task.fields[error]}"),
        rich.progress.TimeRemainingColumn(),
        console=PROGRESS,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None, epoch=0, epochs=plan.epochs, rate="–", error="–")
        first: list[int] = []

        def report(state: Progress) -> None:
            first[:] = first or [state.seen]
            rate = (state.seen - first[0]) / (time.perf_counter() - started)
            error = f"{state.train_mae:.4f} (validation {state.validation_mae:.4f}) eV/atom"
            bar.update(
                task, total=state.total, completed=state.seen, epoch=state.epoch, rate=f"{rate:,.0f}", error=error
            )

        model = fit(network, data, out, plan, report, first_weights)
    for name, value in model.card["metrics"].items():
        print(f"{name} {value}")
    say(f"{out} with card {out.with_suffix('.json').name} and picture {out.with_suffix('.png').name}")
