"""From a table of formation energies to a model file, its card and its parity plot."""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matscreen.kernels import mlp
from matscreen.models import dataset
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork, folded, in_dtype
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import Encoding, fit_encoding, inputs
from matscreen.models.errors import InputError
from matscreen.models.model import Model, load, save
from matscreen.models.parity import parity_plot
from matscreen.models.training import Progress, Recipe, train
from matscreen.models.transfer import network_of

HALF_PRECISION_COST = 0.001
"""eV/atom; weights are kept in half precision if the test error moves by less."""


def fit(
    architecture: str,
    data_path: Path,
    out: Path,
    recipe: Recipe,
    report: Callable[[Progress], None],
    start: Model | None = None,
) -> Model:
    """Train the network `architecture` (of `ARCHITECTURES`) on `data_path`, from fresh weights or those of `start`.

    Writes the model `out` (.safetensors), its card (.json) and parity plot (.png).

    The state after each epoch is kept in `out` with the suffix .checkpoint; calling again after an interruption goes on
    from there and ends with the same weights. The test part (10% by formula hash) is looked at once, at the end.

    Raises
    ------
    InputError
        Data that cannot be used, or a checkpoint of another recipe or data set.
    """
    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise InputError(f"--out must be a .safetensors file in a folder that exists, not {out}")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("training draws a parity plot, which needs matplotlib: pip install 'matscreen[train]'")
    data, cleaning = dataset.load_clean(data_path)
    parts = dataset.split(data, recipe.seed)
    if min(len(rows) for rows in parts.values()) == 0:
        raise InputError(f"{data_path}: {len(data)} compounds are too few to train, validate and test on")
    plan = ARCHITECTURES[architecture]
    if start:
        if (own := start.card.get("network", "elemnet")) != architecture:
            raise InputError(f"{start.name} is of the network {own}, not {architecture}")
        recipe = replace(recipe, start=start.checksum)
        encoding, network = start.encoding, network_of(start, recipe.dropout)
    else:
        encoding = fit_encoding(plan.inputs, data.fractions[parts["train"]])
        network = DenseNetwork(plan, inputs(encoding, len(ELEMNET_ELEMENTS)), recipe.dropout, recipe.seed)
    checkpoint = out.with_suffix(".checkpoint")
    try:
        history = train(network, data, encoding, parts, recipe, checkpoint, report)
    except ValueError as error:
        raise InputError(str(error)) from None

    whole, half = (in_dtype(*folded(network), dtype) for dtype in (np.float32, np.float16))
    full, halved = (held_out_error(mlp.pack(*chosen), encoding, data, parts["test"]) for chosen in (whole, half))
    use_half = abs(np.abs(halved).mean() - np.abs(full).mean()) < HALF_PRECISION_COST
    shipped = halved if use_half else full
    best = min(history, key=lambda epoch: epoch["validation_mae"])
    card: dict[str, Any] = {
        "description": f"{architecture} (Jha 2020): {len(plan.widths)} dense layers, {plan.inputs} to formation energy",
        "network": architecture,
        "data": {
            "file": data_path.name,
            "sha256": hashlib.sha256(data_path.read_bytes()).hexdigest(),
            "cleaning": cleaning,
            "split": {name: len(rows) for name, rows in parts.items()} | {"by": "hash of formula and seed"},
        },
        "training": asdict(recipe)
        | ({"start_name": start.name} if start else {})
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
        card["metrics"] |= with_dropout(network, encoding, data, parts["test"])
    save(out, *(half if use_half else whole), encoding, ELEMNET_ELEMENTS, card)
    true = data.energies[parts["test"]]
    parity_plot(true, true + shipped, out.with_suffix(".png"), f"{out.stem}: {len(true):,} compounds held out")
    checkpoint.unlink()
    return load(out)


def held_out_error(layers: mlp.Layers, encoding: Encoding, data: dataset.Dataset, rows: np.ndarray) -> np.ndarray:
    """Predicted less true formation energy (N,) of `rows`, eV/atom, by the kernel's layers on the encoded inputs."""
    error: np.ndarray = mlp.forward_dense(encoding.dense(data.fractions[rows]), layers) - data.energies[rows]
    return error


def with_dropout(
    network: DenseNetwork, encoding: Encoding, data: dataset.Dataset, rows: np.ndarray
) -> dict[str, float]:
    """Errors on `rows` with dropout in prediction, as published: each compound predicted ten times (Jha 2020, 5.2)."""
    network.train()
    torch.manual_seed(0)
    compounds = torch.from_numpy(encoding.dense(data.fractions[rows]))
    with torch.no_grad():
        passes = np.stack([network(compounds)[:, 0].numpy() for _ in range(10)])
    errors = passes - data.energies[rows]
    return {
        "test_mae_with_dropout_ev_atom": round(float(np.abs(errors).mean()), 5),
        "test_mae_mean_of_ten_with_dropout_ev_atom": round(float(np.abs(errors.mean(axis=0)).mean()), 5),
        "test_90th_percentile_mean_of_ten_with_dropout_ev_atom": round(
            float(np.quantile(np.abs(errors.mean(axis=0)), 0.9)), 5
        ),
    }
