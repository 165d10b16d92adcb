"""One way to train a network on formation energies: mean absolute error, early stopping, exact resume."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matscreen.models.dataset import Dataset
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
    dropout : drop probability after layers 4, 7, 10 and 13
    anchors : how often an epoch shows each pure element at 0 eV/atom, which is what a formation energy means; without,
        a network that never saw an element alone thinks that compounds mixed with it gain energy
    patience : epochs without a better validation error before stopping
    seed : of the first weights, the order of compositions and dropout
    """

    epochs: int = 60
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    one_cycle: bool = True
    dropout: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    anchors: int = 10
    patience: int = 60
    seed: int = 0


PUBLISHED = Recipe(
    epochs=1000,
    batch=32,
    learning_rate=1e-4,
    weight_decay=0.0,
    one_cycle=False,
    dropout=(0.2, 0.1, 0.3, 0.2),
    anchors=0,
    patience=200,
)
"""Jha 2020, 3.2: Adam at 1e-4, batches of 32, dropout, early stopping."""


@dataclass(frozen=True)
class Progress:
    """State after a step: compositions seen and to see in all, and the latest errors (eV/atom)."""

    epoch: int
    seen: int
    total: int
    train_mae: float
    validation_mae: float


def train(
    network: nn.Module,
    data: Dataset,
    parts: Mapping[str, np.ndarray],
    recipe: Recipe,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> list[dict[str, float]]:
    """Train `network` in place to its best validation epoch; returns one record an epoch.

    The target is standardised for training and the scale is folded into the last layer at the end, so that the trained
    network gives eV/atom. After each epoch the whole state goes to `checkpoint`; a run that is killed continues from
    there and ends with the same weights. ValueError if `checkpoint` belongs to another recipe or data set.
    """
    elements = data.fractions.shape[1]
    inputs = torch.cat([torch.from_numpy(data.fractions), torch.eye(elements)])
    target = torch.cat([torch.from_numpy(data.energies)[:, None], torch.zeros(elements, 1)])
    rows = torch.from_numpy(parts["train"])
    mean, scale = target[rows].mean(), target[rows].std()
    rows = torch.cat([rows, torch.arange(len(data), len(data) + elements).repeat(recipe.anchors)])
    standard = (target - mean) / scale
    steps = -(-len(rows) // recipe.batch)

    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    identity = json.dumps({**asdict(recipe), "rows": len(rows), "mean": float(mean)}, sort_keys=True)
    state: dict[str, Any] = {"identity": identity, "epoch": 0, "history": [], "best": float("inf"), "best_weights": {}}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["identity"] != identity:
            raise ValueError(f"{checkpoint} belongs to another recipe or data set; remove it or train elsewhere")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])

    history: list[dict[str, float]] = state["history"]
    best, best_weights = state["best"], state["best_weights"]
    for epoch in range(state["epoch"], recipe.epochs):
        if epoch - int(np.argmin([h["validation_mae"] for h in history] or [0])) > recipe.patience:
            break
        started = time.perf_counter()
        torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # an epoch's draws do not depend on where a run resumed
        order = rows[torch.randperm(len(rows))]
        network.train()
        total = 0.0
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(recipe, epoch + step / steps)
            batch = order[step * recipe.batch : (step + 1) * recipe.batch]
            loss = nn.functional.l1_loss(network(inputs[batch]), standard[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(batch)
            if step % 16 == 0:
                last = history[-1]["validation_mae"] if history else float("nan")
                seen = epoch * len(rows) + step * recipe.batch
                error = total / ((step + 1) * recipe.batch) * float(scale)
                report(Progress(epoch, seen, recipe.epochs * len(rows), error, last))
        validation = evaluate(network, inputs, standard, parts["validation"]) * float(scale)
        history.append(
            {
                "epoch": epoch,
                "train_mae": total / len(rows) * float(scale),
                "validation_mae": validation,
                "seconds": time.perf_counter() - started,
            }
        )
        if validation < best:
            best, best_weights = validation, {k: v.clone() for k, v in network.state_dict().items()}
        state = {
            "identity": identity,
            "epoch": epoch + 1,
            "history": history,
            "best": best,
            "best_weights": best_weights,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        _write_checkpoint(checkpoint, state)
        report(
            Progress(
                epoch + 1, (epoch + 1) * len(rows), recipe.epochs * len(rows), history[-1]["train_mae"], validation
            )
        )

    network.load_state_dict(best_weights)
    network.eval()
    last_layer = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last_layer.weight.mul_(scale)
        last_layer.bias.mul_(scale).add_(mean)
    return history


def _write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    write_atomically(path, lambda temporary: torch.save(state, temporary))


def evaluate(network: nn.Module, inputs: torch.Tensor, target: torch.Tensor, rows: np.ndarray) -> float:
    """Mean absolute error of `network` on `rows`, in the unit of `target`."""
    network.eval()
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
