"""One way to train a network: batches in a seeded order, early stopping, exact resume, one process or several."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from matscreen.models.device import Place
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.recipe import Schedule


@dataclass(frozen=True)
class Progress:
    """State after a step: examples seen and to see in all, and the latest errors, in the task's own measure."""

    epoch: int
    seen: int
    total: int
    train_error: float
    validation_error: float


class Task(Protocol):
    """What is learnt."""

    @property
    def place(self) -> Place:
        """Where."""

    @property
    def rows(self) -> torch.Tensor:
        """(N,) int64, numbers of the examples of an epoch."""

    @property
    def unit(self) -> float:
        """What a loss of 1 is called in reports."""

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """(B,) loss of each of these examples, in training."""

    def validation_error(self, network: nn.Module) -> float:
        """In `unit`, with the network in the mode it is in."""

    def deciding(self) -> Iterable[bytes]:
        """All data that decide what is learnt; a checkpoint serves only a training with the same."""


def run(
    network: nn.Module,
    task: Task,
    schedule: Schedule,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda _: None,
    validate_in_training_mode: bool = False,
) -> list[dict[str, float]]:
    """Train `network` in place, where the task is, to its best validation epoch; returns one record an epoch.

    After each epoch the whole state goes to `checkpoint`; a run that is killed continues from there and ends with the
    same weights. Started by `torchrun`, every process takes its share of each batch (batch norm sees that share
    alone).

    InputError if `checkpoint` is none or belongs to another recipe or data set, or if no epoch ends with a finite
    error.
    """
    place = task.place
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    identity = _identity(schedule, task, network)
    history: list[dict[str, float]] = []
    best, best_weights = float("inf"), {}
    if checkpoint.exists():
        state = _read_checkpoint(checkpoint)
        if state["identity"] != identity:
            raise InputError(f"{checkpoint} belongs to another recipe or data set; remove it or train elsewhere")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, best_weights = state["history"], state["best"], state["best_weights"]
    place.wait()  # nobody writes it before all have read it

    total = schedule.epochs * len(task.rows)
    for epoch in range(len(history), schedule.epochs):
        if epoch - int(np.argmin([h["validation_error"] for h in history] or [0])) > schedule.patience:
            break
        started = time.perf_counter()
        last = history[-1]["validation_error"] if history else float("nan")

        def note(seen: int, error: float, epoch: int = epoch, last: float = last) -> None:
            report(Progress(epoch, epoch * len(task.rows) + seen, total, error, last))

        train_error = _epoch(network, optimizer, task, schedule, epoch, note)
        place.agree(network.buffers())  # each process's batch norm saw its own share
        network.train(validate_in_training_mode)
        error = torch.tensor(task.validation_error(network), device=place.device, dtype=torch.float64)
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
        raise InputError("the training diverged: no epoch ended with a finite error; lower the learning rate")
    network.load_state_dict(best_weights)
    return history


def _identity(schedule: Schedule, task: Task, network: nn.Module) -> str:
    """What a checkpoint must share with the training that goes on from it: at a constant rate, not how far it goes."""
    learned = hashlib.sha256()
    for data in task.deciding():
        learned.update(data)
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    deciding: dict[str, Any] = asdict(schedule) | {"data": learned.hexdigest(), "network": shapes}
    if not schedule.one_cycle:
        del deciding["epochs"], deciding["patience"]
    return json.dumps(deciding, sort_keys=True)


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: Task,
    schedule: Schedule,
    epoch: int,
    note: Callable[[int, float], None],
) -> float:
    """One pass over the rows; returns the mean error met on the way, over all processes."""
    torch.manual_seed(schedule.seed * 1_000_003 + epoch)  # an epoch's draws do not depend on where a run resumed
    order = task.rows[torch.randperm(len(task.rows))]
    # Batch norm needs two rows in every process.
    batches = [part for part in torch.split(order, schedule.batch) if len(part) >= 2 * task.place.ranks]
    if not batches:
        raise InputError(f"no batch of --batch {schedule.batch} has two examples for each process; give a larger one")
    network.train()
    error, seen = torch.zeros((), device=task.place.device), 0
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate_at(epoch + step / len(batches))
        loss = task.losses(network, task.place.share(batch)).sum() / len(batch)
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


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        if not isinstance(state, dict) or "identity" not in state:
            raise ValueError
    except Exception:  # the reader raises whatever the bytes lead it to
        raise InputError(f"{path} is no checkpoint of a training; remove it") from None
    return state
