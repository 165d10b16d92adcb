"""Space groups told from powder patterns by a convolutional network (Korolev et al. 2020, table S1)."""

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
from matscreen.models.loop import Progress
from matscreen.models.recipe import Schedule
from matscreen.models.saved import keep, read, training, usable, weights_file

ARCHITECTURE = "powder-net"
SHIPPED = Path(__file__).parent / "weights"
POINTS = 1601
SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""The last space group of each crystal system."""
ROWS = 256
"""Patterns told at a time."""
WIDEST, UNEVEN, NOISE = 5, 0.3, 0.02
"""Of disturbed patterns: standard deviation of the Gaussian that widens peaks, at most, points of 0.05 degrees; of the
logarithm of the factor on intensities; of the noise, at most, over the highest peak."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the network.

    Attributes
    ----------
    convolutions : (filters, kernel, stride) of each, all followed by the maximum of `pool` points
    dense : widths of the layers after them
    dropout : drop probabilities after convolutions and after dense layers
    """

    convolutions: tuple[tuple[int, int, int], ...]
    dense: tuple[int, ...]
    pool: int
    dropout: tuple[float, float]


PLANS = {
    "powder": Plan(((104, 34, 2), (51, 37, 1), (117, 13, 2)), (2047, 943), 3, (0.498, 0.675)),
    "powder-small": Plan(((32, 34, 2), (48, 13, 1), (64, 7, 1)), (256,), 3, (0.1, 0.3)),
}
"""As published, and what a CPU learns in minutes."""


@dataclass(frozen=True)
class PowderRecipe(Schedule):
    """How to train one. Patterns are learnt as the root of their intensities, which shows weak peaks."""

    epochs: int = 20
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    patience: int = 20


class PowderNet(nn.Module):
    """Patterns (N, 1601), the highest point 1, in; (N, groups) logits out."""

    def __init__(self, plan: Plan, groups: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        before = 1
        for filters, kernel, stride in plan.convolutions:
            layers += [nn.Conv1d(before, filters, kernel, stride, kernel // 2), nn.ReLU(), nn.MaxPool1d(plan.pool)]
            layers.append(nn.Dropout(plan.dropout[0]))
            before = filters
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            width = self.trunk(torch.zeros(1, 1, POINTS)).shape[1]
        dense: list[nn.Module] = []
        for wide in plan.dense:
            dense += [nn.Linear(width, wide), nn.ReLU(), nn.Dropout(plan.dropout[1])]
            width = wide
        self.head = nn.Sequential(*dense, nn.Linear(width, groups))

    def forward(self, patterns: torch.Tensor) -> torch.Tensor:
        """See the class."""
        logits: torch.Tensor = self.head(self.trunk(patterns.float().clamp(min=0).sqrt()[:, None]))
        return logits


def disturbed(patterns: torch.Tensor) -> torch.Tensor:
    """Patterns (N, 1601) as instruments measure them, from PyTorch's generator: the highest point 1 again.

    Peaks of up to three times the width, intensities off by a smooth factor, a shift of up to 0.1 degrees, noise of up
    to 2% of the highest peak.
    """
    count, device = len(patterns), patterns.device
    wider = float(torch.rand(()) * WIDEST)
    steps = torch.arange(-4 * WIDEST, 4 * WIDEST + 1, device=device)
    kernel = torch.exp(-(steps**2) / (2 * max(wider, 0.1) ** 2))
    found = nn.functional.conv1d(patterns[:, None], (kernel / kernel.sum())[None, None], padding="same")
    factors = torch.exp(UNEVEN * torch.randn(count, 1, 9, device=device))
    found = found * nn.functional.interpolate(factors, POINTS, mode="linear", align_corners=True)
    found = found.roll(int(torch.randint(-2, 3, ())), dims=2)[:, 0]
    found = found / found.amax(dim=1, keepdim=True).clamp(min=1e-6)
    noise = NOISE * torch.rand(count, 1, device=device) * torch.randn(found.shape, device=device)
    return (found + noise).clamp(min=0)


@dataclass(frozen=True)
class _Task:
    """See `loop.Task`; errors are of validation: the share that is wrong."""

    patterns: torch.Tensor
    labels: torch.Tensor
    learnt: torch.Tensor
    judged: torch.Tensor
    place: Place
    unit: float = 1.0

    @property
    def rows(self) -> torch.Tensor:
        return self.learnt

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Cross-entropy."""
        with self.place.precision():
            logits = network(disturbed(self.patterns[batch].to(self.place.device).float()))
        return nn.functional.cross_entropy(logits.float(), self.labels[batch].to(self.place.device), reduction="none")

    def validation_error(self, network: nn.Module) -> float:
        """Share of wrong space groups."""
        with torch.no_grad():
            found = [network(self.patterns[part].to(self.place.device)) for part in torch.split(self.judged, ROWS)]
        return float((torch.cat(found).argmax(dim=1).cpu() != self.labels[self.judged]).float().mean())

    def deciding(self) -> Iterator[bytes]:
        """All of it."""
        for tensor in (self.patterns, self.labels, self.learnt, self.judged):
            yield tensor.numpy().tobytes()


@dataclass(frozen=True)
class PowderModel:
    """A network that tells space groups, ready for patterns.

    Attributes
    ----------
    card : what it was trained on and how
    network : in evaluation mode
    """

    card: dict[str, Any]
    network: PowderNet

    @property
    def groups(self) -> np.ndarray:
        """(G,) numbers of the space groups that it knows."""
        return np.array(self.card["groups"])

    def probabilities(self, patterns: np.ndarray) -> np.ndarray:
        """(N, G) float32 of patterns (N, 1601) as `powder_vector` makes them; ValueError for others."""
        if patterns.ndim != 2 or patterns.shape[1] != POINTS:
            raise ValueError(f"patterns must be (N, {POINTS}), not {patterns.shape}")
        device = next(self.network.parameters()).device
        given = torch.from_numpy(np.ascontiguousarray(patterns, np.float32))
        with torch.no_grad():
            parts = [torch.softmax(self.network(part.to(device)), dim=1).cpu() for part in torch.split(given, ROWS)]
        return torch.cat(parts).numpy() if parts else np.empty((0, len(self.groups)), np.float32)


def system_of(group: np.ndarray | int) -> np.ndarray:
    """Place in `SYSTEMS` of space groups by number."""
    return np.searchsorted(list(SYSTEMS.values()), group)


def system_probabilities(probabilities: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(N, 7) of crystal systems: those of their space groups (N, G) added up, as published."""
    belongs = system_of(groups)[:, None] == np.arange(len(SYSTEMS))
    return np.asarray(probabilities @ belongs)


def fit(
    plan: str,
    patterns: np.ndarray,
    groups: np.ndarray,
    validation: np.ndarray,
    out: Path,
    recipe: PowderRecipe,
    report: Callable[[Progress], None] = lambda _: None,
    told: dict[str, Any] | None = None,
) -> PowderModel:
    """Train the network `plan` (of `PLANS`) on patterns (N, 1601) of space groups (N,) and write it with its card.

    Rows where `validation` (N,) is true are not learnt; they choose the epoch. The state after each epoch is kept
    beside `out` (.checkpoint). InputError for what cannot be learnt, or a checkpoint of something else.
    """
    if plan not in PLANS:
        raise InputError(f"no network {plan!r}: give one of {', '.join(PLANS)}")
    known = np.unique(groups)
    if len(known) < 2 or not validation.any() or validation.all():
        raise InputError("there must be patterns of two space groups, some to learn from and some to judge by")
    place = here()
    network = PowderNet(PLANS[plan], len(known), recipe.seed).to(place.device)
    task = _Task(
        torch.from_numpy(patterns),
        torch.from_numpy(np.searchsorted(known, groups)),
        torch.from_numpy(np.flatnonzero(~validation)),
        torch.from_numpy(np.flatnonzero(validation)),
        place,
    )
    history = loop.run(network, task, recipe, out.with_suffix(".checkpoint"), report)
    if place.rank == 0:
        card = {
            "description": f"{plan}: powder patterns, Cu Kα, 10 to 90 degrees, to one of {len(known)} space groups",
            "plan": plan,
            "parameters": sum(tensor.numel() for tensor in network.parameters()),
            "groups": known.tolist(),
            "training": training(recipe, history, place.device)
            | {
                "patterns": int((~validation).sum()),
            },
            "metrics": {"validation_wrong": round(min(epoch["validation_error"] for epoch in history), 4)},
            **(told or {}),
        }
        keep(out, network, ARCHITECTURE, card, history)
    place.wait()
    return load(out)


def load(name: str | Path) -> PowderModel:
    """The model `name`: one that ships, or a .safetensors file. InputError for none such, or a damaged one."""
    path = weights_file(name, SHIPPED, "model of powder patterns")
    card, tensors = read(path, ARCHITECTURE)
    with usable(path):
        network = PowderNet(PLANS[card["plan"]], len(card["groups"]), 0)
        network.load_state_dict(tensors)
    return PowderModel(card, network.eval().to(here().device))
