"""From a table of properties to a model file, its card, its pictures and what it predicted for what was held out."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch

from matscreen.models import dataset
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.calibration import calibration
from matscreen.models.catalogue import load, student_file, systems_file
from matscreen.models.dataset import Dataset
from matscreen.models.device import here
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import Encoding, fit_encoding
from matscreen.models.errors import InputError
from matscreen.models.files import checksum, write_atomically
from matscreen.models.loop import Progress
from matscreen.models.member import Member, trained
from matscreen.models.metrics import metrics
from matscreen.models.model import Model, save
from matscreen.models.pictures import training_picture
from matscreen.models.recipe import Recipe
from matscreen.models.split import Split, parts, split_of
from matscreen.models.tables import ENERGY
from matscreen.models.training import train
from matscreen.models.transfer import network_of

HALF_PRECISION_COST = 0.001
"""Weights are kept in half precision if that moves what is predicted for the test part by less on average: of the
standard deviation of every property, or of a probability."""

Report = Callable[[int, Progress], None]


@dataclass(frozen=True)
class Trained:
    """One member of a model, as it came out of its training."""

    network: DenseNetwork
    encoding: Encoding
    history: list[dict[str, float]]


def fit(
    architecture: str,
    data_path: Path,
    out: Path,
    recipe: Recipe,
    report: Report = lambda _member, _progress: None,
    start: Model | None = None,
    properties: tuple[str, ...] = (ENERGY,),
    split: Split = Split(),  # noqa: B008
    members: int = 1,
) -> Model:
    """Train the network `architecture` (of `ARCHITECTURES`) on `data_path`, from fresh weights or those of `start`.

    Several members are an ensemble: they differ by their seeds. Writes the model `out` (.safetensors), its card
    (.json), picture (.png), curves (.history.parquet) and predictions of the test part (.held_out.parquet).

    The state after each epoch is kept beside `out` (.checkpoint); calling again after an interruption goes on from
    there and ends with the same weights. The test part is looked at once, at the end.

    Raises
    ------
    InputError
        Data that cannot be used, or a checkpoint of another recipe or data set.
    """
    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise InputError(f"--out must be a .safetensors file in a folder that exists, not {out}")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("training draws its curves, which needs matplotlib: pip install 'matscreen[train]'")
    data, cleaning = dataset.load_clean(data_path, properties)
    chosen = parts(data, split)
    if min(len(rows) for rows in chosen.values()) == 0:
        empty = ", ".join(name for name, rows in chosen.items() if not len(rows))
        raise InputError(f"{data_path}: of {len(data)} compounds none are left for: {empty}")
    for name, rows in chosen.items():
        for column, known in zip(properties, (~np.isnan(data.values[rows])).any(axis=0), strict=True):
            if not known:
                raise InputError(f"{data_path}: {column} is unknown of all {len(rows)} compounds for {name}")
    if start:
        if (own := start.card.get("network", "elemnet")) != architecture:
            raise InputError(f"{start.name} is of the network {own}, not {architecture}")
        told = start.card.get("data", {})
        if told.get("sha256") == checksum(data_path) and split_of(start.card) != split:
            raise InputError(
                f"{start.name} learnt from {data_path.name} with another split: it knows some of what would be held out"
            )
        recipe = replace(recipe, start=start.checksum)
    checkpoints = [out.with_suffix(f".{n}.checkpoint" if members > 1 else ".checkpoint") for n in range(members)]
    done = [
        train_member(
            architecture,
            data,
            chosen,
            replace(recipe, seed=recipe.seed + number),
            checkpoint,
            partial(report, number),
            start,
            number,
        )
        for number, checkpoint in enumerate(checkpoints)
    ]
    if here().rank == 0:
        card: dict[str, Any] = {
            "network": architecture,
            "data": {
                "file": data_path.name,
                "sha256": checksum(data_path),
                "cleaning": cleaning,
                "split": {name: len(rows) for name, rows in chosen.items()} | {"by": str(split)} | asdict(split),
            },
            "training": asdict(recipe) | ({"start_name": start.name} if start else {}),
        }
        write_model(out, data, chosen, done, recipe, card)
        for checkpoint in checkpoints:
            checkpoint.unlink()
    here().wait()
    return load(out)


def train_member(
    architecture: str,
    data: Dataset,
    chosen: dict[str, np.ndarray],
    recipe: Recipe,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda _: None,
    start: Model | None = None,
    number: int = 0,
) -> Trained:
    """One network, trained on rows `chosen["train"]`; InputError if that cannot be done."""
    plan, kept = ARCHITECTURES[architecture], False
    if start:
        network, encoding = network_of(start, data.target, number, recipe.dropout, recipe.seed)
        kept = start.target == data.target
    else:
        encoding = fit_encoding(plan.inputs, data.fractions[chosen["train"]])
        width = encoding.before_training(data.fractions[:1]).shape[1]
        network = DenseNetwork(plan, width, recipe.dropout, recipe.seed, data.target.outputs, len(encoding.known))
    history = train(network, data, encoding, chosen, recipe, checkpoint, report, kept)
    return Trained(network, encoding, history)


def write_model(
    out: Path,
    data: Dataset,
    chosen: dict[str, np.ndarray],
    done: Sequence[Trained],
    recipe: Recipe,
    card: dict[str, Any],
) -> None:
    """Save the trained networks as one model, with its card and pictures, and what it says of the rows held out."""
    target, rows = data.target, chosen["test"]
    true = data.values[rows]
    whole = [trained(one.network, one.encoding) for one in done]
    full = predictions(whole, data, rows)
    try:
        half = [trained(one.network, one.encoding, np.float16) for one in done]
        halved = predictions(half, data, rows)
    except ValueError:  # a weight that is too large for it
        half, halved = whole, np.full_like(full, np.inf)
    spread = np.float64(1) if target.classes else np.nanstd(data.values, axis=0)
    use_half = bool((np.abs(halved - full).mean(axis=(0, 1)) < HALF_PRECISION_COST * spread).all())
    shipped = halved if use_half else full
    history = [one.history for one in done]
    best = [min(member, key=lambda epoch: epoch["validation_error"]) for member in history]
    plan = ARCHITECTURES[card["network"]]
    figures = metrics(target, true, shipped.mean(axis=0))
    if len(done) > 1:
        first = next(iter(figures))
        figures[f"{first}_of_one_member"] = round(
            float(np.mean([metrics(target, true, one)[first] for one in shipped])), 5
        )
    if recipe.predict_with_dropout and target.energy is not None:
        figures |= with_dropout(done[0], data, rows)
    figures |= {
        f"{name}_error": round(float(np.mean([epoch[f"{name}_error"] for epoch in best])), 5)
        for name in ("validation", "train")
    }
    full_card = {
        "description": f"{card['network']}: {len(plan.widths) + 1} dense layers, {plan.inputs} to {target}",
        **card,
        "training": card["training"]
        | {
            "epochs_run": [len(member) for member in history],
            "best_epoch": [int(epoch["epoch"]) + 1 for epoch in best],
            "seconds": round(sum(epoch["seconds"] for member in history for epoch in member)),
            "torch": torch.__version__,
        },
        "metrics": figures,
    }
    if target.energy is not None:
        validated = predictions(half if use_half else whole, data, chosen["validation"])
        both = {"test": shipped[:, :, target.energy], "validation": validated[:, :, target.energy]}
        full_card["calibration"] = calibration(data, chosen, both)
    dtype = np.float16 if use_half else np.float32
    for file in (student_file(out), systems_file(out)):  # of the model that was here before
        file.unlink(missing_ok=True)
    save(out, half if use_half else whole, ELEMNET_ELEMENTS, target, full_card, dtype)
    write_table(out.with_suffix(".history.parquet"), _history_table(history))
    write_table(out.with_suffix(".held_out.parquet"), held_out_table(data, rows, shipped))
    title = f"{out.stem}: {len(rows):,} compounds held out"
    training_picture(target, true, shipped.mean(axis=0), history, out.with_suffix(".png"), title)


def predictions(members: Sequence[Member], data: Dataset, rows: np.ndarray) -> np.ndarray:
    """(members, N, outputs) of the kernels for these rows."""
    model = Model("", Path(), "", {}, tuple(members), np.array(ELEMNET_ELEMENTS), data.target)
    return model.outputs(*dataset.sparse_rows(data.fractions[rows]))


def held_out_table(data: Dataset, rows: np.ndarray, outputs: np.ndarray) -> pa.Table:
    """What was held out: formula, true value, prediction and, of an ensemble, its standard deviation."""
    columns: dict[str, Any] = {"formula": [data.formulas[i] for i in rows]}
    mean = outputs.mean(axis=0)
    names = [f"probability_{c}" for c in data.target.classes] or data.target.properties
    for number, name in enumerate(data.target.properties):
        true = data.values[rows, number]
        columns[name] = np.array(data.target.classes)[true.astype(int)] if data.target.classes else true
    for number, name in enumerate(names):
        columns[name if data.target.classes else f"predicted_{name}"] = mean[:, number]
        if len(outputs) > 1:
            columns[f"spread_{name}"] = outputs[:, :, number].std(axis=0, ddof=1)
    return pa.table(columns)


def write_table(path: Path, table: pa.Table) -> None:
    """Parquet, whole or not at all."""
    write_atomically(path, lambda temporary: pa.parquet.write_table(table, temporary, compression="zstd"))


def _history_table(history: Sequence[Sequence[dict[str, float]]]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"member": number, **epoch} for number, member in enumerate(history) for epoch in member]
    )


def with_dropout(one: Trained, data: Dataset, rows: np.ndarray) -> dict[str, float]:
    """Errors on `rows` with dropout in prediction, as published: each compound predicted ten times (Jha 2020, 5.2)."""
    one.network.train()
    torch.manual_seed(0)
    compounds = torch.from_numpy(one.encoding.before_training(data.fractions[rows]))
    with torch.no_grad():
        passes = np.stack([one.network(compounds).numpy() for _ in range(10)])
    one.network.eval()
    once = np.mean([metrics(data.target, data.values[rows], p)["test_mae_ev_atom"] for p in passes])
    mean = metrics(data.target, data.values[rows], passes.mean(axis=0))
    return {
        "test_mae_with_dropout_ev_atom": round(float(once), 5),
        "test_mae_mean_of_ten_with_dropout_ev_atom": mean["test_mae_ev_atom"],
        "test_90th_percentile_mean_of_ten_with_dropout_ev_atom": mean["test_90th_percentile_ev_atom"],
    }
