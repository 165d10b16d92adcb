"""From a table of formation energies to a model file, its card and its parity plot."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matscreen.kernels import mlp
from matscreen.models import dataset, elemnet
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.errors import InputError
from matscreen.models.model import Model, load, save
from matscreen.models.parity import parity_plot
from matscreen.models.training import Progress, Recipe, train

HALF_PRECISION_COST = 0.001
"""eV/atom; weights are kept in half precision if the test error moves by less."""


def fit_elemnet(data_path: Path, out: Path, recipe: Recipe, report: Callable[[Progress], None]) -> Model:
    """Train ElemNet on `data_path` and write the model `out` (.safetensors), its card (.json) and parity plot (.png).

    The state after each epoch is kept in `out` with the suffix .checkpoint; calling again after an interruption goes on
    from there and ends with the same weights. The test part (10% by formula hash) is looked at once, at the end.

    Raises
    ------
    InputError
        Data that cannot be used, or a checkpoint of another recipe or data set.
    """
    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise InputError(f"--out must be a .safetensors file in a folder that exists, not {out}")
    data, cleaning = dataset.load_clean(data_path)
    parts = dataset.split(data, recipe.seed)
    if min(len(rows) for rows in parts.values()) == 0:
        raise InputError(f"{data_path}: {len(data)} compounds are too few to train, validate and test on")
    network = elemnet.elemnet(recipe.dropout, recipe.seed)
    checkpoint = out.with_suffix(".checkpoint")
    try:
        history = train(network, data, parts, recipe, checkpoint, report)
    except ValueError as error:
        raise InputError(str(error)) from None

    layers = [(weight.numpy(), bias.numpy()) for weight, bias in elemnet.dense_layers(network)]
    half = [(weight.astype(np.float16), bias.astype(np.float16)) for weight, bias in layers]
    full, halved = (held_out_error(chosen, data, parts["test"]) for chosen in (layers, half))
    use_half = abs(np.abs(halved).mean() - np.abs(full).mean()) < HALF_PRECISION_COST
    shipped = halved if use_half else full
    best = min(history, key=lambda epoch: epoch["validation_mae"])
    card: dict[str, Any] = {
        "description": "ElemNet (Jha 2020, table 3.1): 17 dense layers from element fractions to formation energy",
        "data": {
            "file": data_path.name,
            "sha256": hashlib.sha256(data_path.read_bytes()).hexdigest(),
            "cleaning": cleaning,
            "split": {name: len(rows) for name, rows in parts.items()} | {"by": "hash of formula and seed"},
        },
        "training": asdict(recipe)
        | {
            "epochs_run": len(history),
            "best_epoch": int(best["epoch"]) + 1,
            "seconds": round(sum(epoch["seconds"] for epoch in history)),
            "torch": torch.__version__,
        },
        "weights_dtype": "float16" if use_half else "float32",
        "metrics": {
            "test_mae_ev_atom": round(float(np.abs(shipped).mean()), 5),
            "test_mae_float32_ev_atom": round(float(np.abs(full).mean()), 5),
            "test_90th_percentile_ev_atom": round(float(np.quantile(np.abs(shipped), 0.9)), 5),
            "validation_mae_ev_atom": round(best["validation_mae"], 5),
            "train_mae_ev_atom": round(best["train_mae"], 5),
        },
        "history": [{key: round(value, 5) for key, value in epoch.items()} for epoch in history],
    }
    if recipe.predict_with_dropout:
        card["metrics"] |= with_dropout(network, data, parts["test"])
    save(out, half if use_half else layers, ELEMNET_ELEMENTS, card)
    true = data.energies[parts["test"]]
    parity_plot(true, true + shipped, out.with_suffix(".png"), f"{out.stem}: {len(true):,} compounds held out")
    checkpoint.unlink()
    return load(out)


def held_out_error(layers: list[tuple[np.ndarray, np.ndarray]], data: dataset.Dataset, rows: np.ndarray) -> np.ndarray:
    """Predicted less true formation energy (N,) of `rows`, through the kernel that a scan uses."""
    fractions = data.fractions[rows]
    width = int((fractions > 0).sum(axis=1).max())
    places = np.argsort(-fractions, axis=1, kind="stable")[:, :width]
    chosen = np.take_along_axis(fractions, places, axis=1)
    predicted = mlp.forward(places, chosen, mlp.pack(layers))
    error: np.ndarray = predicted - data.energies[rows]
    return error


def with_dropout(network: torch.nn.Module, data: dataset.Dataset, rows: np.ndarray) -> dict[str, float]:
    """Errors on `rows` with dropout in prediction, as published: each compound predicted ten times (Jha 2020, 5.2)."""
    network.train()
    torch.manual_seed(0)
    inputs = torch.from_numpy(data.fractions[rows])
    with torch.no_grad():
        passes = np.stack([network(inputs)[:, 0].numpy() for _ in range(10)])
    errors = passes - data.energies[rows]
    return {
        "test_mae_with_dropout_ev_atom": round(float(np.abs(errors).mean()), 5),
        "test_mae_mean_of_ten_with_dropout_ev_atom": round(float(np.abs(errors.mean(axis=0)).mean()), 5),
        "test_90th_percentile_mean_of_ten_with_dropout_ev_atom": round(
            float(np.quantile(np.abs(errors.mean(axis=0)), 0.9)), 5
        ),
    }
