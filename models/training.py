"""One way to train a network on formation energies: mean absolute error, early stopping, exact resume."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matscreen.models.architecture import DenseNetwork
from matscreen.models.dataset import Dataset
from matscreen.models.encoding import Encoding
from matscreen.models.files import write_atomically


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the recipe behind the shipped weights; `PUBLISHED` is the thesis' own.

    Attributes
    ----------
    epochs : most epochs to run
    batch : compositions a step
    learning_rate : the peak with `one_cycle`, else constant
    weight_decay : decoupled (AdamW)
    one_cycle : warm up over the first tenth, then anneal by a cosine to nothing
    dropout : drop probability after each of the first stacks of layers
    predict_with_dropout : whether validation drops too, as predictions then must: a network that has learnt with much
        dropout between its ReLU layers is worse without (its mean activations shift)
    anchors : how often an epoch shows each pure element at 0 eV/atom, which is what a formation energy means; without,
        a network that never saw an element alone thinks that compounds mixed with it gain energy
    patience : epochs without a better validation error before stopping
    seed : of the first weights, the order of compositions and dropout
    start : SHA-256 of the model whose weights are the first ones; empty for fresh ones
    """

    epochs: int = 60
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    one_cycle: bool = True
    dropout: tuple[float, ...] = ()
    predict_with_dropout: bool = False
    anchors: int = 10
    patience: int = 60
    seed: int = 0
    start: str = ""


_CONSTANT = Recipe(epochs=1000, learning_rate=1e-4, weight_decay=0.0, one_cycle=False, anchors=0, patience=200)

PUBLISHED: dict[str, Recipe] = {
    "elemnet": replace(_CONSTANT, batch=32, dropout=(0.2, 0.1, 0.3, 0.2), predict_with_dropout=True),
    "plain": replace(_CONSTANT, batch=64),
    "srnet": replace(_CONSTANT, batch=64),
    "irnet": replace(_CONSTANT, batch=64),
}
"""Jha 2020: ElemNet 3.2 and 5.2 (dropout in training and in prediction), the others 4.2; all Adam at 1e-4."""


@dataclass(frozen=True)
class Progress:
    """State after a step: compositions seen and to see in all, and the latest errors (eV/atom)."""

    epoch: int
    seen: int
    total: int
    train_mae: float
    validation_mae: float


def train(
    network: DenseNetwork,
    data: Dataset,
    encoding: Encoding,
    parts: Mapping[str, np.ndarray],
    recipe: Recipe,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> list[dict[str, float]]:
    """Train `network` in place to its best validation epoch; returns one record an epoch.

    The target is standardised for training and the scale is folded into the last layer at the end, so that the trained
    network gives eV/atom, as one that training starts from does. After each epoch the whole state goes to `checkpoint`;
    a run that is killed continues from there and ends with the same weights. ValueError if `checkpoint` is none or
    belongs to another recipe or data set, if all energies are equal, or if no epoch ends with a finite error.
    """
    task = _task(data, encoding, parts["train"], recipe.anchors)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    identity = _identity(recipe, task)
    history: list[dict[str, float]] = []
    best, best_weights = float("inf"), {}
    if not task.scale > 0:
        raise ValueError("all energies to learn from are equal")
    if recipe.start:
        _unfold_scale(network, task)
    if checkpoint.exists():
        state = _read_checkpoint(checkpoint)
        if state["identity"] != identity:
            raise ValueError(f"{checkpoint} belongs to another recipe or data set; remove it or train elsewhere")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, best_weights = state["history"], state["best"], state["best_weights"]

    total = recipe.epochs * len(task.rows)
    for epoch in range(len(history), recipe.epochs):
        if epoch - int(np.argmin([h["validation_mae"] for h in history] or [0])) > recipe.patience:
            break
        started = time.perf_counter()
        last = history[-1]["validation_mae"] if history else float("nan")

        def note(seen: int, error: float, epoch: int = epoch, last: float = last) -> None:
            report(Progress(epoch, epoch * len(task.rows) + seen, total, error, last))

        train_mae = _epoch(network, optimizer, task, recipe, epoch, note)
        network.train(recipe.predict_with_dropout)
        validation = _mean_absolute_error(network, task.inputs, task.target, parts["validation"]) * task.scale
        seconds = time.perf_counter() - started
        history.append({"epoch": epoch, "train_mae": train_mae, "validation_mae": validation, "seconds": seconds})
        if validation < best:
            best, best_weights = validation, {k: v.clone() for k, v in network.state_dict().items()}
        _write_checkpoint(
            checkpoint,
            {
                "identity": identity,
                "history": history,
                "best": best,
                "best_weights": best_weights,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
        )
        report(Progress(epoch + 1, (epoch + 1) * len(task.rows), total, train_mae, validation))

    if not best_weights:
        checkpoint.unlink()
        raise ValueError("the training diverged: no epoch ended with a finite error; lower --learning-rate")
    network.load_state_dict(best_weights)
    network.eval()
    _fold_scale(network, task)
    return history


def _identity(recipe: Recipe, task: "_Task") -> str:
    """What a checkpoint must share with the training that goes on from it: at a constant rate, not how far it goes."""
    deciding = asdict(recipe) | {"rows": len(task.rows), "mean": task.mean}
    if not recipe.one_cycle:
        del deciding["epochs"], deciding["patience"]
    return json.dumps(deciding, sort_keys=True)


@dataclass(frozen=True)
class _Task:
    """Inputs and standardised energies of all compounds, then of the pure elements; the rows to train on."""

    inputs: torch.Tensor
    target: torch.Tensor
    rows: torch.Tensor
    mean: float
    scale: float


def _task(data: Dataset, encoding: Encoding, rows: np.ndarray, anchors: int) -> _Task:
    elements = data.fractions.shape[1]
    inputs = torch.from_numpy(encoding.dense(np.concatenate([data.fractions, np.eye(elements, dtype=np.float32)])))
    target = torch.cat([torch.from_numpy(data.energies)[:, None], torch.zeros(elements, 1)])
    chosen = torch.from_numpy(rows)
    known = data.energies[rows].astype(np.float64)  # NumPy sums in the same order whatever the number of threads
    mean, scale = float(known.mean()), float(known.std())
    pure = torch.arange(len(data), len(data) + elements).repeat(anchors)
    return _Task(inputs, (target - mean) / scale, torch.cat([chosen, pure]), mean, scale)


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: _Task,
    recipe: Recipe,
    epoch: int,
    note: Callable[[int, float], None],
) -> float:
    """One pass over the rows; returns the mean absolute error met on the way, eV/atom."""
    torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # an epoch's draws do not depend on where a run resumed
    order = task.rows[torch.randperm(len(task.rows))]
    batches = [part for part in torch.split(order, recipe.batch) if len(part) > 1]  # batch norm can't do with one
    network.train()
    error, seen = 0.0, 0
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(recipe, epoch + step / len(batches))
        loss = nn.functional.l1_loss(network(task.inputs[batch]), task.target[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        error += float(loss.detach()) * len(batch)
        seen += len(batch)
        if step % 16 == 0:
            note(seen, error / seen * task.scale)
    return error / seen * task.scale


def _fold_scale(network: DenseNetwork, task: _Task) -> None:
    """Let the last layer give eV/atom instead of the standardised target."""
    with torch.no_grad():
        network.last.weight.mul_(task.scale)
        network.last.bias.mul_(task.scale).add_(task.mean)


def _unfold_scale(network: DenseNetwork, task: _Task) -> None:
    """The inverse of `_fold_scale`."""
    with torch.no_grad():
        network.last.weight.div_(task.scale)
        network.last.bias.sub_(task.mean).div_(task.scale)


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, weights_only=True)
        if not isinstance(state, dict) or "identity" not in state:
            raise ValueError
    except Exception:  # the reader raises whatever the bytes lead it to
        raise ValueError(f"{path} is no checkpoint of a training; remove it") from None
    return state


def _write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def _mean_absolute_error(network: nn.Module, inputs: torch.Tensor, target: torch.Tensor, rows: np.ndarray) -> float:
    """Mean absolute error of `network`, in the mode it is in, on `rows`, in the unit of `target`."""
    with torch.no_grad():
        error = sum(
            float((network(inputs[part]) - target[part]).abs().sum())
            for part in torch.split(torch.from_numpy(rows), 4096)
        )
    return error / len(rows)


def _learning_rate(recipe: Recipe, epoch: float) -> float:
    if not recipe.one_cycle:
        return recipe.learning_rate
    warm = 0.1 * recipe.epochs
    if epoch < warm:
        return recipe.learning_rate * (0.04 + 0.96 * epoch / warm)
    return recipe.learning_rate * 0.5 * (1 + float(np.cos(np.pi * (epoch - warm) / (recipe.epochs - warm))))
