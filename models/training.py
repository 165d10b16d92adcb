"""Training on compositions: mean absolute error or cross entropy, properties standardised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from matscreen.models import loop
from matscreen.models.architecture import DenseNetwork
from matscreen.models.dataset import Dataset
from matscreen.models.decomposition import decompositions_of
from matscreen.models.device import Place, here
from matscreen.models.encoding import Encoding
from matscreen.models.errors import InputError
from matscreen.models.loop import Progress
from matscreen.models.recipe import Recipe


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
    """Train `network` in place to its best validation epoch, as `loop.run` does; returns one record an epoch.

    Properties are standardised for training and their scale is folded into the last layer at the end, so that the
    trained network gives their own units; `in_units` says that the first weights do so already. The error of one
    property is the mean absolute one, in its unit; that of several is in standard deviations of each; that of classes
    is the cross entropy. The training error has decomposition energies in it, where the recipe does.

    InputError also if all values of a property are equal.
    """
    place = here()
    task = _task(data, encoding, parts, recipe, place)
    if not (task.scale > 0).all():
        raise InputError(f"all values of {data.target} to learn from are equal")
    network.to(place.device)
    if in_units:
        _unfold_scale(network, task)
    history = loop.run(network, task, recipe, checkpoint, report, recipe.predict_with_dropout)
    _fold_scale(network, task)
    network.cpu().eval()
    return history


@dataclass(frozen=True)
class _Task:
    """Inputs and standardised values of all compounds, then of the pure elements; the rows to train on.

    Attributes
    ----------
    target : (N, P), NaN where unknown; class numbers where those are to be told
    competing : of decomposition energies, if they are learnt; pure elements have no competitors
    mean, scale : (P,) float64, of the values that are learnt from
    unit : of the errors that are reported, in standard deviations
    """

    inputs: torch.Tensor
    target: torch.Tensor
    rows: torch.Tensor
    validation: torch.Tensor
    competing: "_Competing | None"
    mean: np.ndarray
    scale: np.ndarray
    unit: float
    classes: bool
    place: Place

    def losses(self, network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Of these rows; see `loop.Task`."""
        mine = batch.to(self.place.device)
        rows = mine if self.competing is None else torch.cat([mine, self.competing.phases_of(mine)])
        with self.place.precision():
            predicted = network(self.inputs[rows]).float()
        losses = _losses(predicted[: len(mine)], self.target[mine], self.classes)
        if self.competing is None:
            return losses
        return self.competing.added(losses, predicted - self.target[rows], mine)

    def validation_error(self, network: nn.Module) -> float:
        """Mean error of `network`, in the mode it is in, on the validation rows."""
        with torch.no_grad():
            total = sum(
                float(_losses(network(self.inputs[part]), self.target[part], self.classes).sum())
                for part in torch.split(self.validation.to(self.place.device), 4096)
            )
        return total / len(self.validation) * self.unit

    def deciding(self) -> Iterator[bytes]:
        """The rows to train on and to choose by, and what belongs to them."""
        for rows in (self.rows, self.validation):
            yield rows.numpy().tobytes()
            for tensor in (self.inputs, self.target):
                yield np.ascontiguousarray(tensor[rows].cpu().numpy()).tobytes()


@dataclass(frozen=True)
class _Competing:
    """What the first half of each batch would decompose into, and how much that counts.

    Attributes
    ----------
    share : of the loss
    energy : which output is the formation energy
    phases, fractions : as in `Decompositions`, with rows for the pure elements
    """

    share: float
    energy: int
    phases: torch.Tensor
    fractions: torch.Tensor

    def phases_of(self, batch: torch.Tensor) -> torch.Tensor:
        """Rows that must be predicted beside the batch, one after the other."""
        half = batch[: len(batch) // 2]
        return self.phases[half][self.fractions[half] > 0]

    def added(self, losses: torch.Tensor, errors: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        """(B,) losses with those of decomposition energies, from errors of the batch and then of those phases.

        The error of a decomposition energy is that of the compound less those of its phases, each by its fraction.
        """
        half, energy = len(batch) // 2, errors[:, self.energy]
        fractions = self.fractions[batch[:half]]
        of_phases = torch.zeros_like(fractions)
        of_phases[fractions > 0] = energy[len(batch) :]
        decomposition = (energy[:half] - (fractions * of_phases).sum(dim=1)).abs()
        weight = self.share * len(batch) / max(half, 1)  # as if of all of the batch
        added = (1 - self.share) * losses
        return torch.cat([added[:half] + weight * decomposition, added[half:]])


def _task(data: Dataset, encoding: Encoding, parts: Mapping[str, np.ndarray], recipe: Recipe, place: Place) -> _Task:
    rows = parts["train"]
    elements, energy = data.fractions.shape[1], data.target.energy
    inputs = encoding.before_training(np.concatenate([data.fractions, np.eye(elements, dtype=np.float32)]))
    pure = np.full((elements, data.values.shape[1]), np.nan, np.float32)
    if energy is not None:
        pure[:, energy] = 0
    target = np.concatenate([data.values, pure])
    chosen = torch.from_numpy(rows)
    if energy is not None:
        chosen = torch.cat([chosen, torch.arange(len(data), len(data) + elements).repeat(recipe.anchors)])
    known = data.values[rows].astype(np.float64)  # NumPy sums in the same order whatever the number of threads
    classes = bool(data.target.classes)
    mean, scale = np.zeros(1), np.ones(1)
    if not classes:
        mean, scale = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        target = ((target - mean) / np.where(scale > 0, scale, 1)).astype(np.float32)
    unit = float(scale[0]) if len(scale) == 1 else 1.0
    on_device = [torch.from_numpy(array).to(place.device) for array in (inputs, target)]
    validation = torch.from_numpy(parts["validation"])
    competing = None
    if recipe.decomposition and energy is not None:
        found = decompositions_of(data, rows, recipe.seed)
        whole = (torch.from_numpy(np.pad(a, ((0, elements), (0, 0)))).to(place.device) for a in found)
        competing = _Competing(recipe.decomposition, energy, *whole)
    return _Task(on_device[0], on_device[1], chosen, validation, competing, mean, scale, unit, classes, place)


def _losses(predicted: torch.Tensor, target: torch.Tensor, classes: bool) -> torch.Tensor:
    """(N,) loss of each composition: cross entropy, or the mean absolute error over the properties known of it."""
    if classes:
        return nn.functional.cross_entropy(predicted, target[:, 0].long(), reduction="none")
    if target.shape[1] == 1:
        return (predicted - target).abs()[:, 0]
    known = ~target.isnan()
    error = (predicted - torch.where(known, target, 0)).abs() * known
    return error.sum(dim=1) / known.sum(dim=1)


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
