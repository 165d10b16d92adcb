"""Training an OMNet on patterns that are simulated as they are needed, each of them disturbed anew."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matscreen.kernels.disorientation.differentiable import torch_angle
from matscreen.models import loop
from matscreen.models.device import Place, here
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.losses import LOSSES, losses
from matscreen.models.ebsd.model import ARCHITECTURE, ROWS, OrientationModel, load
from matscreen.models.ebsd.network import PLANS, OMNet
from matscreen.models.ebsd.representation import REPRESENTATIONS, Representation, fundamental
from matscreen.models.ebsd.simulation import CLEAN, Crystal, Disturbance, disturbed, turned
from matscreen.models.errors import InputError
from matscreen.models.loop import Progress
from matscreen.models.recipe import Schedule
from matscreen.models.saved import keep, training

SMALLEST = 16
"""Pixels of a side that leave something after strides and pooling."""
VALIDATION = 1000
"""Random orientations that a training is judged by."""


@dataclass(frozen=True)
class OrientationRecipe(Schedule):
    """How to train an OMNet; published: batch 64, Adam, 100 epochs, patience 10, nothing disturbed.

    Attributes
    ----------
    loss : of `LOSSES`
    representation : of `REPRESENTATIONS`
    disturbance : of the patterns that are learnt from
    start : SHA-256 of the weights that were the first ones; empty for fresh ones
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    loss: str = "mse"
    representation: str = "cubic"
    disturbance: Disturbance = Disturbance()  # noqa: RUF009
    start: str = ""


@dataclass(frozen=True)
class _Task:
    """See `loop.Task`: the orientations of a grid, one pattern each an epoch; errors are of validation, in degrees."""

    crystal: Crystal
    geometry: Geometry
    grid: torch.Tensor
    known: torch.Tensor
    patterns: torch.Tensor
    recipe: OrientationRecipe
    representation: Representation
    place: Place
    unit: float = 1.0

    @property
    def rows(self) -> torch.Tensor:
        return torch.arange(len(self.grid))

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Of patterns simulated now."""
        how = self.recipe.disturbance
        orientations = turned(self.grid[batch].to(self.place.device), how.orientation)
        patterns = disturbed(self.crystal, self.geometry, orientations, how)
        with self.place.precision():
            outputs = network(patterns)
        labels = fundamental(orientations, self.crystal.symmetry).float()
        return losses(outputs.float(), labels, self.recipe.loss, self.representation, self.crystal.symmetry)

    def validation_error(self, network: nn.Module) -> float:
        """Mean disorientation in degrees."""
        with torch.no_grad():
            outputs = [network(part).float() for part in torch.split(self.patterns, ROWS)]
            found = self.representation.decode(torch.cat(outputs))
        return float(torch.rad2deg(torch_angle(found, self.known.float(), self.crystal.symmetry)).mean())

    def deciding(self) -> Iterator[bytes]:
        """Grid and simulation."""
        yield self.grid.numpy().tobytes()
        yield self.crystal.master.tobytes()
        yield repr((self.geometry, self.crystal.symmetry)).encode()


def random_orientations(count: int, symmetry: str, seed: int) -> torch.Tensor:
    """(N, 4) float64 unit quaternions, even over all rotations, each in the fundamental zone."""
    q = np.random.default_rng(seed).normal(size=(count, 4))
    return fundamental(torch.from_numpy(q / np.linalg.norm(q, axis=1, keepdims=True)), symmetry)


def fit(
    plan: str,
    crystal: Crystal,
    geometry: Geometry,
    grid: np.ndarray,
    out: Path,
    recipe: OrientationRecipe,
    report: Callable[[Progress], None] = lambda _: None,
    told: dict[str, Any] | None = None,
    start: OrientationModel | None = None,
) -> OrientationModel:
    """Train the network `plan` (of `PLANS`) on patterns of `grid` (N, 4) and write it with its card and its curves.

    The state after each epoch is kept beside `out` (.checkpoint); calling again after an interruption goes on from
    there and ends with the same weights. `told` goes into the card. From the weights of `start` all go on learning: for
    another geometry, or for patterns that are disturbed otherwise.

    InputError for what cannot be trained, or a checkpoint of something else.
    """
    if plan not in PLANS:
        raise InputError(f"no network {plan!r}: give one of {', '.join(PLANS)}")
    if recipe.representation not in REPRESENTATIONS:
        raise InputError(f"no representation {recipe.representation!r}: give one of {', '.join(REPRESENTATIONS)}")
    representation = REPRESENTATIONS[recipe.representation]
    if recipe.loss not in LOSSES:
        raise InputError(f"no loss {recipe.loss!r}: give one of {', '.join(LOSSES)}")
    if representation.symmetry not in (None, crystal.symmetry):
        raise InputError(
            f"orientations of {crystal.name} ({crystal.symmetry}) have no {recipe.representation} representation: that "
            f"is for {representation.symmetry}; take quaternion"
        )
    if "mde" in recipe.loss and not representation.differentiable:
        raise InputError(f"the loss {recipe.loss} needs a representation other than {recipe.representation}; take mse")
    place = here()
    if min(geometry.shape) < SMALLEST:
        raise InputError(f"{plan} takes patterns of at least {SMALLEST} × {SMALLEST} pixels, not {geometry.shape}")
    network = OMNet(PLANS[plan], geometry.shape, representation.branches, recipe.seed).to(place.device)
    if start:
        if start.card["plan"] != plan or start.card["training"]["representation"] != recipe.representation:
            raise InputError(f"{start.name} is another network than {plan} with {recipe.representation}")
        try:
            network.load_state_dict(start.network.state_dict())
        except RuntimeError:
            raise InputError(f"{start.name} reads patterns of another size than {geometry.shape}") from None
        recipe = replace(recipe, start=start.card["weights_sha256"])
    known = random_orientations(VALIDATION, crystal.symmetry, recipe.seed + 1).to(place.device)
    torch.manual_seed(recipe.seed)
    patterns = disturbed(crystal, geometry, known, recipe.disturbance)
    task = _Task(crystal, geometry, torch.from_numpy(grid), known, patterns, recipe, representation, place)
    history = loop.run(network, task, recipe, out.with_suffix(".checkpoint"), report)
    network.eval()
    clean = disturbed(crystal, geometry, known, CLEAN)
    figures = {
        "validation_mean_disorientation_deg": min(epoch["validation_error"] for epoch in history),
        "clean_mean_disorientation_deg": replace(task, patterns=clean).validation_error(network),
    }
    if place.rank == 0:
        card = {
            "description": f"{plan}: patterns of {crystal.name} to orientations ({recipe.representation})",
            "plan": plan,
            "parameters": sum(tensor.numel() for tensor in network.parameters()),
            "phase": {
                **{name: getattr(crystal, name) for name in ("name", "symmetry", "point_group", "lattice")},
                "energy_kev": crystal.energy_kev,
                "master_sha256": hashlib.sha256(crystal.master.tobytes()).hexdigest(),
            },
            "geometry": asdict(geometry),
            "training": training(recipe, history, place.device)
            | {
                "orientations": len(grid),
            },
            "metrics": {name: round(value, 4) for name, value in figures.items()},
            **(told or {}),
        }
        keep(out, network, ARCHITECTURE, card, history)
    place.wait()
    return load(out)
