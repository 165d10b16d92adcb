"""Training PADNet on a few hundred samples, and judging it by cross-validation."""

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
from matscreen.models.saved import keep, training
from matscreen.models.xrd.model import ARCHITECTURE, RegionModel, load
from matscreen.models.xrd.network import PLANS, PADNet, filter_size, memory, outputs

CACHED = 4 << 30
"""Bytes of peak areas that are kept; where there are more, they are found anew for each batch."""
VALIDATION = 10
"""One sample in so many decides when to stop."""


@dataclass(frozen=True)
class RegionRecipe(Schedule):
    """How to train a PADNet, as published: Adam at 1e-3, patience 30, L2 1e-4.

    Attributes
    ----------
    l2 : times the sum of the squares of all weights, added to the loss
    trained : whether the slope filters learn too
    """

    epochs: int = 200
    batch: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    one_cycle: bool = False
    patience: int = 30
    l2: float = 1e-4
    trained: bool = False


@dataclass(frozen=True)
class Samples:
    """What is learnt from.

    Attributes
    ----------
    images : (N, V, H, W) float32, V images of each sample; an array in memory or a memory map
    compositions : (N, E) fractions of the elements; E may be 0
    labels : (N,) int64, place in `classes`
    classes : names of the phase regions
    elements : symbols of the columns of `compositions`
    """

    images: np.ndarray
    compositions: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    elements: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Task:
    """See `loop.Task`; errors are of validation, in nats."""

    samples: Samples
    areas: torch.Tensor | None
    learnt: np.ndarray
    judged: np.ndarray
    recipe: RegionRecipe
    place: Place
    unit: float = 1.0

    @property
    def rows(self) -> torch.Tensor:
        return torch.from_numpy(self.learnt)

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Cross-entropy and L2."""
        logits, labels = self._logits(network, batch.numpy())
        squares = torch.stack([(p**2).sum() for p in network.parameters() if p.ndim > 1]).sum()
        return nn.functional.cross_entropy(logits, labels, reduction="none") + self.recipe.l2 * squares

    def validation_error(self, network: nn.Module) -> float:
        """Mean cross-entropy."""
        with torch.no_grad():
            pairs = [self._logits(network, part) for part in _parts(self.judged, self.recipe.batch)]
            losses = [nn.functional.cross_entropy(*pair, reduction="sum") for pair in pairs]
        return float(sum(losses)) / len(self.judged)

    def deciding(self) -> Iterator[bytes]:
        """Images, compositions, labels and which of them are learnt."""
        for row in self.samples.images:
            yield np.ascontiguousarray(row).tobytes()
        yield self.samples.compositions.tobytes() + self.samples.labels.tobytes()
        yield self.learnt.tobytes() + repr(self.samples.classes).encode()

    def _logits(self, network: Any, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.place.device
        compositions = torch.from_numpy(self.samples.compositions[rows]).float().to(device)
        labels = torch.from_numpy(self.samples.labels[rows]).to(device)
        with self.place.precision():
            if self.areas is not None:
                logits = network.classify(self.areas[torch.from_numpy(rows)].to(device), compositions)
            else:
                images = torch.from_numpy(np.ascontiguousarray(self.samples.images[rows])).to(device)
                logits = network(images, compositions)
        return logits.float(), labels


def fit(
    plan: str,
    samples: Samples,
    out: Path,
    recipe: RegionRecipe,
    told: dict[str, Any],
    report: Callable[[Progress], None] = lambda _: None,
    held_out: np.ndarray | None = None,
    areas: torch.Tensor | None = None,
) -> RegionModel:
    """Train the network `plan` (of `PLANS`) on all samples but those `held_out`, and write it with its card.

    A tenth of what is learnt from, of each class at least one where it has two, decides when to stop. The state after
    each epoch is kept beside `out` (.checkpoint), so that the same call goes on after an interruption. `areas` may be
    given where several trainings share them (see `areas_of`); `told`, which background was taken off and by filters of
    what size, goes into the card.

    InputError for samples that cannot be learnt from, or a checkpoint of something else.
    """
    place = here()
    kept = np.setdiff1d(np.arange(len(samples)), held_out if held_out is not None else [])
    learnt, judged = split(samples.labels, kept, recipe.seed)
    if len(np.unique(samples.labels[learnt])) < 2 or not len(judged):
        raise InputError("there must be samples of at least two phase regions, and two of one of them")
    network = untrained(plan, samples, recipe).to(place.device)
    level = float(np.mean([np.abs(samples.images[n]).mean() for n in learnt]))
    network.scale.fill_(1 / max(level, 1e-30))
    if areas is None:
        areas = areas_of(network, samples)
    task = _Task(samples, areas, learnt, judged, recipe, place)
    history = loop.run(network, task, recipe, out.with_suffix(".checkpoint"), report)
    if place.rank == 0:
        (_, views, rows, columns), elements = samples.images.shape, len(samples.elements)
        card = {
            "description": f"{plan}: {views} × {rows} × {columns} pixels to one of {len(samples.classes)} regions",
            "plan": plan,
            "parameters": sum(tensor.numel() for tensor in network.parameters()),
            "shape": [rows, columns],
            "views": views,
            "elements": list(samples.elements),
            "classes": list(samples.classes),
            "filter": network.size,
            "training": training(recipe, history, place.device)
            | {
                "samples": len(learnt) + len(judged),
                "step_bytes": memory(network, views, (rows, columns), elements, min(recipe.batch, len(learnt))),
            },
            "metrics": {"validation_cross_entropy": round(min(epoch["validation_error"] for epoch in history), 4)},
            **told,
        }
        keep(out, network, ARCHITECTURE, card, history)
    place.wait()
    return load(out)


def untrained(plan: str, samples: Samples, recipe: RegionRecipe) -> PADNet:
    """The network for these samples, with its first weights; InputError for an unknown plan, or too small images."""
    if plan not in PLANS:
        raise InputError(f"no network {plan!r}: give one of {', '.join(PLANS)}")
    _, views, rows, columns = samples.images.shape
    if not outputs(PLANS[plan], views, (rows, columns)):
        raise InputError(f"images of {rows} × {columns} pixels are too small for {plan}: nothing is left of them")
    size, elements, classes = filter_size(max(rows, columns)), len(samples.elements), len(samples.classes)
    return PADNet(PLANS[plan], views, (rows, columns), elements, classes, size, recipe.trained, recipe.seed)


def areas_of(network: PADNet, samples: Samples) -> torch.Tensor | None:
    """(N, V, 4, h, w) float32 peak areas of all samples; None if they change as the filters learn, or are too many."""
    count, views = samples.images.shape[:2]
    rows, columns = (-(-side // network.every) for side in samples.images.shape[2:])
    if network.trained or count * views * 4 * rows * columns * 4 > CACHED:
        return None
    kept = torch.empty(count, views, 4, rows, columns)
    for n, images in enumerate(samples.images):
        kept[n] = network.areas(torch.from_numpy(np.array(images))[None])[0]
    return kept


def split(labels: np.ndarray, kept: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the samples `kept`, those to learn from and those to judge by: a tenth of each class, one at least of two."""
    rng = np.random.default_rng(seed)
    judged: list[int] = []
    for name in np.unique(labels[kept]):
        own = kept[labels[kept] == name]
        if len(own) > 1:
            judged += rng.choice(own, max(1, len(own) // VALIDATION), replace=False).tolist()
    return np.setdiff1d(kept, judged), np.sort(np.array(judged, np.int64))


def folds(labels: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """The samples of each of so many parts, each class spread over all; InputError for more parts than samples."""
    if not 2 <= count <= len(labels):
        raise InputError(f"--folds takes a number from 2 to the {len(labels)} samples, not {count}")
    rng = np.random.default_rng(seed)
    dealt = np.concatenate([rng.permutation(np.flatnonzero(labels == name)) for name in np.unique(labels)])
    return [np.sort(dealt[part::count]) for part in range(count)]


def _parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
