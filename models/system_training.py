"""Training of a student of chemical systems: of each a few ratios are known, of the many that it predicts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from matscreen.kernels.systems import MOST_ELEMENTS
from matscreen.models import loop
from matscreen.models.architecture import OF_SYSTEMS, DenseNetwork
from matscreen.models.device import Place, here
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import Encoding
from matscreen.models.loop import Progress
from matscreen.models.member import Member, trained
from matscreen.models.recipe import Schedule

VALIDATED = 50
"""One draw in so many decides which epoch was the best. Other ratios of its system may have been learnt: how far the
student errs is measured on compositions drawn anew."""


def learn_systems(
    systems: np.ndarray,
    ratio: np.ndarray,
    energies: np.ndarray,
    ratios: int,
    recipe: Schedule,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda _: None,
) -> tuple[Member, list[dict[str, float]]]:
    """The network, its weights in half precision, and a record of each epoch.

    systems (S, K) uint8, atomic numbers in the order of `kernels.systems.by_system`; of each the energies (S, E),
    eV/atom, of as many of its `ratios`, whose outputs are `ratio` (S, E). Interrupted, the same call goes on.
    """
    place = here()
    elements = len(ELEMNET_ELEMENTS)
    column = np.zeros(256, np.int64)
    column[list(ELEMNET_ELEMENTS)] = np.arange(elements)
    slots = column[systems] + elements * np.arange(systems.shape[1])
    rows = np.random.default_rng(recipe.seed).permutation(len(systems))
    cut = max(len(rows) // VALIDATED, 1)
    learnt = energies[rows[cut:]].astype(np.float64)
    mean, scale = float(learnt.mean()), float(learnt.std())
    present = (systems > 0).astype(np.float32)
    target = ((energies - mean) / scale).astype(np.float32)

    def there(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(place.device)

    task = _Task(
        there(slots),
        there(present / present.sum(axis=1, keepdims=True)),
        there(ratio.astype(np.int64)),
        there(target),
        torch.from_numpy(np.sort(rows[cut:])),
        torch.from_numpy(np.sort(rows[:cut])),
        scale,
        place,
    )
    network = DenseNetwork(OF_SYSTEMS, MOST_ELEMENTS * elements, (), recipe.seed, ratios).to(place.device)
    history = loop.run(network, task, recipe, checkpoint, report)
    with torch.no_grad():
        network.last.weight.mul_(scale)
        network.last.bias.mul_(scale).add_(mean)
    return trained(network.cpu().eval(), Encoding("systems"), np.float16), history


@dataclass(frozen=True)
class _Task:
    """Rows in the tables (S, K) and weights (S, K) of systems, outputs (S, E) and their standardised energies (S, E).

    Attributes
    ----------
    unit : of the errors that are reported, in standard deviations
    """

    slots: torch.Tensor
    weights: torch.Tensor
    outputs: torch.Tensor
    target: torch.Tensor
    rows: torch.Tensor
    validation: torch.Tensor
    unit: float
    place: Place

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """The mean absolute error over the ratios known of each system; see `loop.Task`."""
        mine = batch.to(self.place.device)
        inputs = torch.zeros(len(mine), MOST_ELEMENTS * len(ELEMNET_ELEMENTS), device=self.place.device)
        inputs.scatter_(1, self.slots[mine], self.weights[mine])
        with self.place.precision():
            predicted = network(inputs).float()
        losses: torch.Tensor = (predicted.gather(1, self.outputs[mine]) - self.target[mine]).abs().mean(dim=1)
        return losses

    def validation_error(self, network: nn.Module) -> float:
        """See `loop.Task`."""
        with torch.no_grad():
            total = sum(float(self.losses(network, part).sum()) for part in torch.split(self.validation, 4096))
        return total / len(self.validation) * self.unit

    def deciding(self) -> Iterator[bytes]:
        """See `loop.Task`."""
        for rows in (self.rows, self.validation):
            for tensor in (rows, *(t[rows] for t in (self.slots, self.outputs, self.target))):
                yield np.ascontiguousarray(tensor.cpu().numpy()).tobytes()
