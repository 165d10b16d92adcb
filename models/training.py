"""One way to train a network: mean absolute error or cross entropy, early stopping, exact resume."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matscreen.models.architecture import DenseNetwork
from matscreen.models.dataset import Dataset
from matscreen.models.device import Place, here
from matscreen.models.encoding import Encoding
from matscreen.models.files import write_atomically
from matscreen.models.recipe import Recipe


@dataclass(frozen=True)
class Progress:
    """State after a step: compositions seen and to see in all, and the latest errors.

    The error of one property is the mean absolute one, in its unit; that of several is in standard deviations of each;
    that of classes is the cross entropy.
    """

    epoch: int
    seen: int
    total: int
    train_error: float
    validation_error: float


def train(
    network: DenseNetwork,
    data: Dataset,
    encoding: Encoding,
    parts: Mapping[str, np.ndarray],
    recipe: Recipe,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda _: None,
    in_units: bool = False,
) -> list[dict[str, float]]:
    """Train `network` in place to its best validation epoch; returns one record an epoch.

    Properties are standardised for training and their scale is folded into the last layer at the end, so that the
    trained network gives their own units; `in_units` says that the first weights do so already. After each epoch the
    whole state goes to `checkpoint`; a run that is killed continues from there and ends with the same weights.

    Started by `torchrun`, every process takes its share of each batch (batch norm sees that share alone).

    ValueError if `checkpoint` is none or belongs to another recipe or data set, if all values of a property are equal,
    or if no epoch ends with a finite error.
    """
    place = here()
    task = _task(data, encoding, parts["train"], recipe.anchors, place)
    if not (task.scale > 0).all():
        raise ValueError(f"all values of {data.target} to learn from are equal")
    network.to(place.device)
    if in_units:
        _unfold_scale(network, task)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    identity = _identity(recipe, task, network)
    history: list[dict[str, float]] = []
    best, best_weights = float("inf"), {}
    if checkpoint.exists():
        state = _read_checkpoint(checkpoint)
        if state["identity"] != identity:
            raise ValueError(f"{checkpoint} belongs to another recipe or data set; remove it or train elsewhere")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, best_weights = state["history"], state["best"], state["best_weights"]
    place.wait()  # nobody writes it before all have read it

    total = recipe.epochs * len(task.rows)
    for epoch in range(len(history), recipe.epochs):
        if epoch - int(np.argmin([h["validation_error"] for h in history] or [0])) > recipe.patience:
            break
        started = time.perf_counter()
        last = history[-1]["validation_error"] if history else float("nan")

        def note(seen: int, error: float, epoch: int = epoch, last: float = last) -> None:
            report(Progress(epoch, epoch * len(task.rows) + seen, total, error, last))

        train_error = _epoch(network, optimizer, task, recipe, epoch, note)
        place.agree(network.buffers())  # each process's batch norm saw its own share
        network.train(recipe.predict_with_dropout)
        error = torch.tensor(_error(network, task, parts["validation"]), device=place.device, dtype=torch.float64)
        place.agree([error])  # dropout draws differ
        validation = float(error)
        seconds = time.perf_counter() - started
        history.append({"epoch": epoch, "train_error": train_error, "validation_error": validation, "seconds": seconds})
        if validation < best:
            best, best_weights = validation, {k: v.clone() for k, v in network.state_dict().items()}
        if place.rank == 0:
            state = {
                "identity": identity,
                "history": history,
                "best": best,
                "best_weights": best_weights,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
            write_atomically(checkpoint, partial(torch.save, state))
        report(Progress(epoch + 1, (epoch + 1) * len(task.rows), total, train_error, validation))

    if not best_weights:
        place.wait()
        checkpoint.unlink(missing_ok=True)
        raise ValueError("the training diverged: no epoch ended with a finite error; lower --learning-rate")
    network.load_state_dict(best_weights)
    _fold_scale(network, task)
    network.cpu().eval()
    return history


def _identity(recipe: Recipe, task: "_Task", network: nn.Module) -> str:
    """What a checkpoint must share with the training that goes on from it: at a constant rate, not how far it goes."""
    learned = hashlib.sha256(task.rows.numpy().tobytes())
    for tensor in (task.inputs, task.target):
        learned.update(np.ascontiguousarray(tensor[task.rows].cpu().numpy()).tobytes())
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    deciding = asdict(recipe) | {"data": learned.hexdigest(), "network": shapes}
    if not recipe.one_cycle:
        del deciding["epochs"], deciding["patience"]
    return json.dumps(deciding, sort_keys=True)


@dataclass(frozen=True)
class _Task:
    """Inputs and standardised values of all compounds, then of the pure elements; the rows to train on.

    Attributes
    ----------
    target : (N, P), NaN where unknown; class numbers where those are to be told
    mean, scale : (P,) float64, of the values that are learnt from
    unit : of the errors that are reported, in standard deviations
    """

    inputs: torch.Tensor
    target: torch.Tensor
    rows: torch.Tensor
    mean: np.ndarray
    scale: np.ndarray
    unit: float
    classes: bool
    place: Place


def _task(data: Dataset, encoding: Encoding, rows: np.ndarray, anchors: int, place: Place) -> _Task:
    elements, energy = data.fractions.shape[1], data.target.energy
    inputs = encoding.before_training(np.concatenate([data.fractions, np.eye(elements, dtype=np.float32)]))
    pure = np.full((elements, data.values.shape[1]), np.nan, np.float32)
    if energy is not None:
        pure[:, energy] = 0
    target = np.concatenate([data.values, pure])
    chosen = torch.from_numpy(rows)
    if energy is not None:
        chosen = torch.cat([chosen, torch.arange(len(data), len(data) + elements).repeat(anchors)])
    known = data.values[rows].astype(np.float64)  # NumPy sums in the same order whatever the number of threads
    classes = bool(data.target.classes)
    mean, scale = np.zeros(1), np.ones(1)
    if not classes:
        mean, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        target = ((target - mean) / np.where(scale > 0, scale, 1)).astype(np.float32)
    unit = float(scale[0]) if len(scale) == 1 else 1.0
    on_device = [torch.from_numpy(array).to(place.device) for array in (inputs, target)]
    return _Task(on_device[0], on_device[1], chosen, mean, scale, unit, classes, place)


def _losses(predicted: torch.Tensor, target: torch.Tensor, classes: bool) -> torch.Tensor:
    """(N,) loss of each composition: cross entropy, or the mean absolute error over the properties known of it."""
    if classes:
        return nn.functional.cross_entropy(predicted, target[:, 0].long(), reduction="none")
    if target.shape[1] == 1:
        return (predicted - target).abs()[:, 0]
    known = ~target.isnan()
    error = (predicted - torch.where(known, target, 0)).abs() * known
    return error.sum(dim=1) / known.sum(dim=1)


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: _Task,
    recipe: Recipe,
    epoch: int,
    note: Callable[[int, float], None],
) -> float:
    """One pass over the rows; returns the mean error met on the way, over all processes."""
    torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # an epoch's draws do not depend on where a run resumed
    order = task.rows[torch.randperm(len(task.rows))]
    # Batch norm needs two rows in every process.
    batches = [part for part in torch.split(order, recipe.batch) if len(part) >= 2 * task.place.ranks]
    if not batches:
        raise ValueError(f"no batch of --batch {recipe.batch} has two compounds for each process; give a larger one")
    network.train()
    error, seen = torch.zeros((), device=task.place.device), 0
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(epoch + step / len(batches))
        mine = task.place.share(batch).to(task.place.device)
        with task.place.precision():
            predicted = network(task.inputs[mine])
        loss = _losses(predicted.float(), task.target[mine], task.classes).sum() / len(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        task.place.add_up(p.grad for p in network.parameters() if p.grad is not None)
        optimizer.step()
        error += loss.detach() * len(batch)
        seen += len(batch)
        if step % 16 == 0:
            note(seen, float(error) * task.place.ranks / seen * task.unit)  # as if the other shares were like this one
    task.place.add_up([error])
    return float(error) / seen * task.unit


def _fold_scale(network: DenseNetwork, task: _Task) -> None:
    """Let the last layer give the properties in their units instead of the standardised ones."""
    scale, mean = (torch.from_numpy(a).float().to(task.place.device) for a in (task.scale, task.mean))
    with torch.no_grad():
        network.last.weight.mul_(scale[:, None])
        network.last.bias.mul_(scale).add_(mean)


def _unfold_scale(network: DenseNetwork, task: _Task) -> None:
    """The inverse of `_fold_scale`."""
    scale, mean = (torch.from_numpy(a).float().to(task.place.device) for a in (task.scale, task.mean))
    with torch.no_grad():
        network.last.weight.div_(scale[:, None])
        network.last.bias.sub_(mean).div_(scale)


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(state, dict) or "identity" not in state:
            raise ValueError
    except Exception:  # the reader raises whatever the bytes lead it to
        raise ValueError(f"{path} is no checkpoint of a training; remove it") from None
    return state


def _error(network: nn.Module, task: _Task, rows: np.ndarray) -> float:
    """Mean error of `network`, in the mode it is in, on `rows`."""
    with torch.no_grad():
        total = sum(
            float(_losses(network(task.inputs[part]), task.target[part], task.classes).sum())
            for part in torch.split(torch.from_numpy(rows).to(task.place.device), 4096)
        )
    return total / len(rows) * task.unit
