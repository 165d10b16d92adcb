"""Training of the autoencoders, and the trained ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matscreen.models import loop
from matscreen.models.device import Place, here
from matscreen.models.errors import InputError
from matscreen.models.latent.network import PLANS, Autoencoder
from matscreen.models.loop import Progress
from matscreen.models.recipe import Schedule
from matscreen.models.saved import keep, read, training, usable, weights_file

ARCHITECTURE = "variational-autoencoder"
SHIPPED = Path(__file__).parent / "weights"
ROWS = 4096
"""Inputs at a time."""


@dataclass(frozen=True)
class LatentRecipe(Schedule):
    """How to train an autoencoder.

    Attributes
    ----------
    l1, l2 : what each weight's size and square add to the loss
    """

    epochs: int = 100
    batch: int = 128
    weight_decay: float = 0.0
    patience: int = 100
    l1: float = 0.0
    l2: float = 0.0


RECIPES = {
    "composition": LatentRecipe(epochs=80, batch=256, learning_rate=3e-3, l1=1.94e-7, l2=1.09e-6),
    "pattern": LatentRecipe(epochs=60, batch=64, learning_rate=3e-4, l1=1.46e-6, l2=6.42e-7),
}
"""Penalties as published (table S1). AdamW of one cycle takes the place of Nadam and Adamax."""


@dataclass(frozen=True)
class _Task:
    """See `loop.Task`; errors are losses."""

    inputs: torch.Tensor
    learnt: torch.Tensor
    judged: torch.Tensor
    recipe: LatentRecipe
    place: Place
    unit: float = 1.0

    @property
    def rows(self) -> torch.Tensor:
        return self.learnt

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Reconstruction, divergence and penalties."""
        assert isinstance(network, Autoencoder)
        lost, divergence = network.losses(self.inputs[batch].to(self.place.device).float())
        weights = [parameter for name, parameter in network.named_parameters() if name.endswith("weight")]
        penalty = sum(self.recipe.l1 * w.abs().sum() + self.recipe.l2 * (w**2).sum() for w in weights)
        return lost + divergence + penalty

    def validation_error(self, network: nn.Module) -> float:
        """Mean loss without penalties, of the same draws every time."""
        assert isinstance(network, Autoencoder)
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            total = 0.0
            for part in torch.split(self.judged, ROWS):
                lost, divergence = network.losses(self.inputs[part].to(self.place.device).float())
                total += float((lost + divergence).sum())
        return total / len(self.judged)

    def deciding(self) -> Iterator[bytes]:
        """All of it."""
        for tensor in (self.inputs, self.learnt, self.judged):
            yield tensor.numpy().tobytes()


@dataclass(frozen=True)
class Latent:
    """A trained autoencoder.

    Attributes
    ----------
    card : what it was trained on and how
    network : in evaluation mode
    """

    card: dict[str, Any]
    network: Autoencoder

    def codes(self, inputs: np.ndarray) -> np.ndarray:
        """(N, latent) float32: the mean code of inputs (N, inputs) between 0 and 1; ValueError for other shapes."""
        return self._parts(inputs, self.network.plan.inputs, lambda part: self.network.encode(part)[0])

    def spread(self, inputs: np.ndarray) -> np.ndarray:
        """(N, latent) float32: the standard deviation of each code."""
        return self._parts(inputs, self.network.plan.inputs, lambda part: (self.network.encode(part)[1] / 2).exp())

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """(N, inputs) float32, between 0 and 1, of codes (N, latent)."""
        return self._parts(codes, self.network.plan.latent, self.network.decode)

    def _parts(self, given: np.ndarray, width: int, run: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        if given.ndim != 2 or given.shape[1] != width:
            raise ValueError(f"expected (N, {width}), not {given.shape}")
        device = next(self.network.parameters()).device
        whole = torch.from_numpy(np.ascontiguousarray(given, np.float32))
        with torch.no_grad():
            found: np.ndarray = torch.cat([run(part.to(device)).cpu() for part in torch.split(whole, ROWS)]).numpy()
        return found


def fit(
    plan: str,
    inputs: np.ndarray,
    validation: np.ndarray,
    out: Path,
    recipe: LatentRecipe,
    report: Callable[[Progress], None] = lambda _: None,
    told: dict[str, Any] | None = None,
) -> Latent:
    """Train the autoencoder `plan` (of `PLANS`) on inputs (N, inputs) between 0 and 1 and write it with its card.

    Rows where `validation` (N,) is true are not learnt; they choose the epoch. The state after each epoch is kept
    beside `out` (.checkpoint). InputError for what cannot be learnt, or a checkpoint of something else.
    """
    if plan not in PLANS:
        raise InputError(f"no autoencoder {plan!r}: give one of {', '.join(PLANS)}")
    if inputs.shape[1:] != (PLANS[plan].inputs,) or not ((inputs >= 0) & (inputs <= 1)).all():
        raise InputError(f"{plan} learns from (N, {PLANS[plan].inputs}) numbers between 0 and 1, not {inputs.shape}")
    if validation.shape != inputs.shape[:1] or not validation.any() or validation.all():
        raise InputError("there must be some to learn from and some to judge by")
    place = here()
    network = Autoencoder(PLANS[plan], recipe.seed).to(place.device)
    learnt, judged = (torch.from_numpy(np.flatnonzero(rows)) for rows in (~validation, validation))
    task = _Task(torch.from_numpy(inputs), learnt, judged, recipe, place)
    history = loop.run(network, task, recipe, out.with_suffix(".checkpoint"), report)
    if place.rank == 0:
        card = {
            "plan": plan,
            "parameters": sum(tensor.numel() for tensor in network.parameters()),
            "training": training(recipe, history, place.device) | {"inputs": len(learnt)},
            "metrics": {"validation_loss": round(min(epoch["validation_error"] for epoch in history), 4)},
            **(told or {}),
        }
        keep(out, network, ARCHITECTURE, card, history)
    place.wait()
    return load(out)


def load(name: str | Path) -> Latent:
    """The autoencoder `name`: one that ships, or a .safetensors file. InputError for none such, or a damaged one."""
    path = weights_file(name, SHIPPED, "autoencoder")
    card, tensors = read(path, ARCHITECTURE)
    with usable(path):
        network = Autoencoder(PLANS[card["plan"]], 0)
        network.load_state_dict(tensors)
    return Latent(card, network.eval().to(here().device))
