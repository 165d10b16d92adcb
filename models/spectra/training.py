"""Training of spectral networks in three stages, all members at once, and the trained ones."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matscreen.models.device import here
from matscreen.models.errors import InputError
from matscreen.models.saved import read, save, usable
from matscreen.models.spectra.network import Part, Plan, SpectralEnsemble

ARCHITECTURE = "spectrum-composition"

ROWS = 512
"""Samples asked about at a time."""


@dataclass(frozen=True)
class SpectralRecipe:
    """How to train.

    Attributes
    ----------
    epochs : of the three stages: the spectrum alone, the composition alone, both from what these have learnt (published
        200, 700 and 400, in batches of 10)
    batch : samples a step
    learning_rate : of Adam at the beginning of a stage; it falls by a cosine to nothing
    weight_decay : decoupled
    seeds : members, one a seed (published 8, and 24 to compare)
    """

    epochs: tuple[int, int, int] = (60, 120, 90)
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seeds: int = 8


@dataclass(frozen=True)
class SpectralModel:
    """A trained ensemble.

    Attributes
    ----------
    card : what it was trained on and how
    ensemble : in evaluation mode
    scales : of the inputs and of the property: what is taken off and what divided by
    """

    card: dict[str, Any]
    ensemble: SpectralEnsemble
    scales: "Scales"

    def members(self, spectra: np.ndarray, fractions: np.ndarray) -> np.ndarray:
        """(M, N) float32, the property by each member, of spectra (N, L) and fractions (N, E)."""
        mean, scale = self.scales.value
        parts = []
        with torch.no_grad():
            for s, x in self._parts(spectra, fractions):
                given = (self.scales.spectra(s), self.scales.fractions(x))
                predicted = self.ensemble(*(t.expand(self.card["members"], *t.shape) for t in given))
                parts.append((predicted * scale + mean).cpu().numpy())
        return np.concatenate(parts, axis=1)

    def gradients(self, spectra: np.ndarray, fractions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of what each member predicts: by points of the spectrum (M, N, L), by fractions (M, N, E).

        float32. By a fraction as if it could change alone: only differences between elements mean something.
        """
        by_spectrum, by_fractions = [], []
        for s, x in self._parts(spectra, fractions):
            members = self.card["members"]
            given = [t.expand(members, *t.shape).clone().requires_grad_() for t in (s, x)]
            predicted = self.ensemble(self.scales.spectra(given[0]), self.scales.fractions(given[1]))
            found = torch.autograd.grad(predicted.sum() * self.scales.value[1], given)
            by_spectrum.append(found[0].cpu().numpy())
            by_fractions.append(found[1].cpu().numpy())
        return np.concatenate(by_spectrum, axis=1), np.concatenate(by_fractions, axis=1)

    def _parts(self, spectra: np.ndarray, fractions: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
        points, elements = self.card["points"], len(self.card["elements"])
        if spectra.shape != (len(fractions), points) or fractions.shape[1] != elements:
            raise ValueError(f"expected (N, {points}) and (N, {elements}), not {spectra.shape} and {fractions.shape}")
        device = here().device
        whole = [torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(device) for a in (spectra, fractions)]
        return list(zip(*(torch.split(a, ROWS) for a in whole), strict=True))


@dataclass(frozen=True)
class Scales:
    """Mean and spread of the property, of the spectra (one for all points) and of each fraction."""

    value: tuple[float, float]
    spectrum: tuple[float, float]
    fraction: tuple[list[float], list[float]]

    def spectra(self, given: torch.Tensor) -> torch.Tensor:
        """As the networks see them."""
        mean, scale = self.spectrum
        return (given - mean) / scale

    def fractions(self, given: torch.Tensor) -> torch.Tensor:
        """As the networks see them."""
        mean, scale = (torch.tensor(a, dtype=given.dtype, device=given.device) for a in self.fraction)
        return (given - mean) / scale


def scales_of(spectra: np.ndarray, fractions: np.ndarray, values: np.ndarray) -> Scales:
    """Of what is learnt from."""
    spread = fractions.std(axis=0)
    return Scales(
        (float(values.mean()), float(values.std()) or 1.0),
        (float(spectra.mean()), float(spectra.std()) or 1.0),
        (fractions.mean(axis=0).tolist(), np.where(spread > 1e-9, spread, 1).tolist()),
    )


def _scales(told: dict[str, Any], elements: int) -> Scales:
    """Of a card; TypeError, KeyError or ValueError if there are none in it."""
    value, spectrum = (tuple(float(number) for number in told[name]) for name in ("value", "spectrum"))
    mean, spread = ([float(number) for number in side] for side in told["fraction"])
    if [len(side) for side in (value, spectrum, mean, spread)] != [2, 2, elements, elements]:
        raise ValueError("its card tells of other inputs")
    return Scales((value[0], value[1]), (spectrum[0], spectrum[1]), (mean, spread))


def fit(
    spectra: np.ndarray,
    fractions: np.ndarray,
    values: np.ndarray,
    learnt: np.ndarray,
    recipe: SpectralRecipe,
    plan: Plan = Plan(),  # noqa: B008
    report: Callable[[int, int, float], None] = lambda *_: None,
    told: dict[str, Any] | None = None,
) -> SpectralModel:
    """Train as many networks as `learnt` has rows, each on samples of its own, together.

    Umehara et al., note 4: the spectrum's branch by itself, the composition's by itself, then both, their layers going
    on from there and the head anew.

    Parameters
    ----------
    spectra : (N, L)
    fractions : (N, E) of atoms
    values : (N,) of the property
    learnt : (M, N) bool: the samples that each member learns from, as many for each member; its seed is its number
    report : called after each epoch: how many are done, of how many, mean loss (of a property of variance 1)

    Returns
    -------
    SpectralModel. InputError for shapes that do not fit or members of different sizes
    """
    counts = learnt.sum(axis=1)
    if (
        len({len(spectra), len(fractions), len(values), learnt.shape[1]}) > 1
        or np.ptp(counts)
        or counts[0] < recipe.batch
    ):
        raise InputError(f"every network must learn from as many samples, at least a batch ({recipe.batch}) of them")
    seen = learnt.any(axis=0)
    scales = scales_of(spectra[seen], fractions[seen], values[seen])
    device = here().device
    s = scales.spectra(torch.from_numpy(np.ascontiguousarray(spectra, np.float32))).to(device)
    x = scales.fractions(torch.from_numpy(np.ascontiguousarray(fractions, np.float32))).to(device)
    y = ((torch.from_numpy(np.ascontiguousarray(values, np.float32)) - scales.value[0]) / scales.value[1]).to(device)
    ensemble = SpectralEnsemble(plan, s.shape[1], x.shape[1], tuple(range(len(learnt)))).to(device)
    rows = torch.from_numpy(np.stack([np.flatnonzero(own) for own in learnt])).to(device)
    done, total = 0, sum(recipe.epochs)
    stages: tuple[tuple[Part, tuple[str, ...]], ...] = (
        ("spectrum", ("convolution", "of_spectrum")),
        ("composition", ("dense", "of_composition")),
        ("both", ("convolution", "dense", "of_both")),
    )
    for stage, ((part, layers), epochs) in enumerate(zip(stages, recipe.epochs, strict=True)):
        for loss in _stage(ensemble, ensemble.of(*layers), part, epochs, stage, (s, x, y, rows), recipe):
            done += 1
            report(done, total, loss)
    card = {
        "members": len(learnt),
        "points": s.shape[1],
        "plan": asdict(plan),
        "scales": asdict(scales),
        "training": asdict(recipe) | {"samples": int(counts[0]), "torch": torch.__version__, "device": str(device)},
        **(told or {}),
    }
    card.setdefault("elements", [str(number) for number in range(fractions.shape[1])])
    return SpectralModel(card, ensemble.eval(), scales)


def _stage(
    ensemble: SpectralEnsemble,
    weights: list[torch.nn.Parameter],
    part: Part,
    epochs: int,
    stage: int,
    data: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    recipe: SpectralRecipe,
) -> Iterator[float]:
    """Mean loss after each epoch."""
    s, x, y, rows = data
    members, count = rows.shape
    steps = count // recipe.batch
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    torch.manual_seed(1000 * stage)  # of dropout; the order of samples is drawn by itself
    order = torch.Generator().manual_seed(stage)
    ensemble.train()
    for _ in range(epochs):
        drawn = torch.stack([torch.randperm(count, generator=order) for _ in range(members)]).to(rows.device)
        mixed = rows.gather(1, drawn)
        total = 0.0
        for step in range(steps):
            batch = mixed[:, step * recipe.batch : (step + 1) * recipe.batch]
            predicted = ensemble(s[batch], x[batch], part)
            losses = ((predicted - y[batch]) ** 2).mean(dim=1)
            optimizer.zero_grad()
            losses.sum().backward()
            optimizer.step()
            schedule.step()
            total += float(losses.detach().mean())
        yield total / steps


def write(model: SpectralModel, out: Path) -> None:
    """Weights (.safetensors) and the card beside them."""
    save(out, model.ensemble, ARCHITECTURE, model.card)


def load(path: Path) -> SpectralModel:
    """What `write` wrote; InputError for none such, or one that is damaged."""
    card, tensors = read(path, ARCHITECTURE)
    with usable(path):
        told = {key: tuple(v) if isinstance(v, list) else v for key, v in dict(card["plan"]).items()}
        plan = Plan(**told)  # type: ignore[arg-type]
        if {len(tensor) for tensor in tensors.values()} != {card["members"]}:
            raise ValueError(f"its card tells of {card['members']!r:.20} members")
        ensemble = SpectralEnsemble(plan, card["points"], len(card["elements"]), tuple(range(card["members"])))
        ensemble.load_state_dict(tensors)
        scales = _scales(card["scales"], len(card["elements"]))
        if not isinstance(card["training"], dict):
            raise TypeError("its card tells of no training")
    return SpectralModel(card, ensemble.eval().to(here().device), scales)
