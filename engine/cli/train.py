"""`matscreen train`: networks on one's own data."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import say
from matscreen.engine.cli.training_bar import TrainingBar
from matscreen.engine.element_sets import parse_elements
from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.crossvalidation import crossvalidate
from matscreen.models.device import here
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.fit import fit
from matscreen.models.loop import Progress
from matscreen.models.recipe import DEFAULTS, PUBLISHED, Recipe
from matscreen.models.split import Split
from matscreen.models.tables import ENERGY


def train(
    network: Annotated[str, typer.Argument(help=f"One of {', '.join(ARCHITECTURES)}.", metavar="NETWORK")],
    data: Annotated[Path, typer.Option(help="CSV or Parquet with a column formula and what to learn.")],
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors; card, picture and tables go beside them.")],
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            help="Column to learn, eV/atom if it is formation_energy_ev_atom (the default); several for a network of "
            "several outputs. A column of text or of true and false holds classes.",
        ),
    ] = None,
    recipe: Annotated[
        Literal["default", "published"],
        typer.Option(help="default: the recipe of the shipped weights; published: that of the thesis."),
    ] = "default",
    start: Annotated[
        str | None,
        typer.Option("--from", help="Model whose weights to start from (transfer learning): a name or .safetensors."),
    ] = None,
    members: Annotated[int, typer.Option(help="Networks to train, for a deep ensemble that knows how sure it is.")] = 1,
    folds: Annotated[int | None, typer.Option(help="Cross-validate with so many folds, a model each.")] = None,
    hold_out_system: Annotated[
        str | None, typer.Option(help="Test on all compounds of a chemical system, such as Na-Fe-Mn-O.")
    ] = None,
    hold_out_elements: Annotated[
        str | None, typer.Option(help="Test on all compounds that hold all of these elements, such as Ti-O.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs, instead of the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Compositions a step, instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    decomposition: Annotated[
        float | None,
        typer.Option(
            help="Share of the loss that is of decomposition energies, instead of the recipe's: 0.5 makes it call "
            "fewer compounds stable that are not."
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=o.LARGEST_SEED, help="Of the first weights, the split and the order of compositions."),
    ] = 0,
) -> None:
    """Train a network on a table of formation energies, or of anything else.

    Interrupt it at any time; the same command goes on after the last whole epoch. `torchrun -m matscreen.engine.cli
    train …` trains on several GPUs.
    """
    if network not in ARCHITECTURES:
        raise InputError(f"no network {network!r}: give one of {', '.join(ARCHITECTURES)}")
    if sum(given is not None for given in (folds, hold_out_system, hold_out_elements)) > 1:
        raise InputError("give one of --folds, --hold-out-system and --hold-out-elements")
    if not 1 <= members <= 100:
        raise InputError(f"--members takes a number from 1 to 100, not {members}")
    learned = tuple(properties or (ENERGY,))
    plan = _recipe(network, recipe, epochs, batch, learning_rate, weight_decay, seed)
    if decomposition is not None:
        plan = _with_decomposition(plan, decomposition, learned)
    if len(set(learned)) < len(learned):
        raise InputError("--property names a column twice")
    first_weights = o.open_model(start) if start else None
    started = time.perf_counter()
    with TrainingBar(plan.epochs, hidden=here().rank > 0) as bar:

        def report(fold: int, member: int, state: Progress) -> None:
            parts = [f"fold {fold + 1}/{folds}"] if folds else []
            parts += [f"member {member + 1}/{members}"] if members > 1 else []
            bar.update(state, " ".join(parts))

        if folds is not None:
            summary = crossvalidate(network, data, out, plan, folds, report, first_weights, learned, members)
            spread = summary["standard_deviation"]
            figures = {name: f"{value} ± {spread[name]}" for name, value in summary["mean"].items()}
        else:
            model = fit(
                network,
                data,
                out,
                plan,
                lambda member, state: report(0, member, state),
                first_weights,
                learned,
                Split(seed, system=_elements(hold_out_system), elements=_elements(hold_out_elements)),
                members,
            )
            figures = model.card["metrics"]
            _say_what_was_left_out(model.card["data"]["cleaning"])
    if here().rank > 0:
        return
    for name, value in figures.items():
        print(f"{name} {value}")
    say(f"{_made(out, folds)}, in {time.perf_counter() - started:.0f} s")


def _made(out: Path, folds: int | None) -> str:
    """The files that were written."""
    if folds is None:
        return f"{out} with .json, .png, .history.parquet and .held_out.parquet"
    return f"{out.with_suffix('')}.fold1 to .fold{folds}.safetensors with .folds.json and .held_out.parquet"


def _with_decomposition(plan: Recipe, share: float, learned: tuple[str, ...]) -> Recipe:
    if not 0 <= share <= 1 or ENERGY not in learned:
        raise InputError(f"--decomposition takes a share from 0 to 1, and a network that learns {ENERGY}")
    return replace(plan, decomposition=share)


def _say_what_was_left_out(counts: dict[str, int]) -> None:
    dropped = {name: number for name, number in counts.items() if name not in ("rows", "kept") and number}
    if dropped and here().rank == 0:
        listed = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in dropped.items())
        say(f"left out of {counts['rows']:,} rows: {listed}")


def _elements(given: str | None) -> tuple[int, ...]:
    """Atomic numbers of what is held out; InputError for an element that no network here knows."""
    named = () if given is None else parse_elements(given)
    if unknown := [SYMBOLS[z] for z in named if z not in ELEMNET_ELEMENTS]:
        raise InputError(f"{', '.join(unknown)}: not among the 86 elements of ElemNet")
    return named


def _recipe(
    network: str,
    kind: str,
    epochs: int | None,
    batch: int | None,
    learning_rate: float | None,
    weight_decay: float | None,
    seed: int,
) -> Recipe:
    """The recipe that the options describe; InputError in their terms."""
    given = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "weight_decay": weight_decay}
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key, value in changed.items():
        if not 0 < value < 1e6 and not (key == "weight_decay" and value == 0):
            raise InputError(f"--{key.replace('_', '-')} must be positive, not {value}")
    family = network.partition("-")[0]
    if kind == "published" and family not in PUBLISHED:
        raise InputError(f"{network} is our own: no recipe of it was published")
    chosen = PUBLISHED[family] if kind == "published" else DEFAULTS.get(family, Recipe())
    return replace(chosen, **changed, seed=seed)
