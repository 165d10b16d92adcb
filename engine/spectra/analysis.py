"""What the networks have learnt: how well they predict, which way the property rises, and what the first layer sees."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from matscreen.engine.libraries import library
from matscreen.engine.spectra.data import SpectralData
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.spectra.training import SpectralModel, SpectralRecipe, fit, load, write

Report = Callable[[str, int, int, float], None]


class Slopes(NamedTuple):
    """Which way the property rises, by member and sample.

    Attributes
    ----------
    elements : (M, N, E) as atoms become this element and the spectrum stays: g_k − Σ x_j g_j, for all atoms
    points : (M, N, L) as the spectrum rises at this wavenumber alone
    """

    elements: np.ndarray
    points: np.ndarray


def folds_of(count: int, folds: int, seed: int = 0) -> np.ndarray:
    """(count,) number of the fold that each sample is held out in; sizes differ by one at most."""
    numbers: np.ndarray = np.random.default_rng(seed).permutation(np.arange(count) % folds)
    return numbers


def crossvalidated(
    data: SpectralData, recipe: SpectralRecipe, folds: int, work: Path, report: Report = lambda *_: None
) -> np.ndarray:
    """(N,) the property of each sample as the mean of networks that did not learn from it.

    What a fold gave is kept in `work`, and taken from there if it was the same data and recipe.
    """
    fold = folds_of(len(data.values), folds)
    found = np.empty(len(data.values))
    for number in range(folds):
        held_out = fold == number
        kept = work / f"fold-{number + 1}-of-{folds}.json"
        identity = {"data": data.checksum, **json.loads(json.dumps(asdict(recipe)))}
        predicted = _read(kept, identity, int(held_out.sum()))
        if predicted is None:
            learnt = np.repeat(~held_out[None], recipe.seeds, axis=0)
            model = _trained(data, learnt, recipe, partial(report, f"fold {number + 1} of {folds}"))
            predicted = model.members(data.spectra[held_out], data.fractions[held_out]).mean(axis=0)
            text = json.dumps({"identity": identity, "predicted": predicted.tolist()})
            write_atomically(kept, partial(_write_text, text))
        found[held_out] = predicted
    return found


def _write_text(text: str, temporary: Path) -> None:
    temporary.write_text(text)


def _read(kept: Path, identity: dict[str, Any], count: int) -> np.ndarray | None:
    try:
        told = json.loads(kept.read_text())
        predicted = np.array(told["predicted"], float)
        sound = told["identity"] == identity and predicted.shape == (count,) and np.isfinite(predicted).all()
        return predicted if sound else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _trained(
    data: SpectralData, learnt: np.ndarray, recipe: SpectralRecipe, report: Callable[[int, int, float], None]
) -> SpectralModel:
    told = {"elements": list(data.elements), "property": data.value, "data_sha256": data.checksum}
    told["wavenumbers"] = data.wavenumbers.tolist()
    return fit(data.spectra, data.fractions, data.values, learnt, recipe, report=report, told=told)


def whole_model(
    data: SpectralData, recipe: SpectralRecipe, out: Path, report: Report = lambda *_: None
) -> SpectralModel:
    """Networks that learnt from all samples, in `out`; those that are there if they did, by the same recipe."""
    with suppress(InputError):  # none there, or one that was interrupted as it was written
        there = load(out)
        trained = {key: tuple(v) if isinstance(v, list) else v for key, v in there.card["training"].items()}
        if there.card.get("data_sha256") == data.checksum and all(
            trained.get(k) == v for k, v in asdict(recipe).items()
        ):
            return there
    learnt = np.ones((recipe.seeds, len(data.values)), bool)
    write(_trained(data, learnt, recipe, partial(report, "all samples")), out)
    return load(out)


def baselines(data: SpectralData, folds: int) -> dict[str, np.ndarray]:
    """What kernel ridge regression and a random forest say of each sample from the others, as `crossvalidated`.

    Of spectrum and composition side by side, each scaled to count as much; kernel ridge chooses its width and penalty
    by a cross-validation of its own among what it learns from.
    """
    forest, ridge, search = (
        library(f"sklearn.{name}", "spectra") for name in ("ensemble", "kernel_ridge", "model_selection")
    )
    fold = folds_of(len(data.values), folds)
    grid = {"alpha": [0.003, 0.03, 0.3], "gamma": [0.03, 0.1, 0.3, 1.0]}
    machines: dict[str, Callable[[], Any]] = {
        "kernel ridge": lambda: search.GridSearchCV(ridge.KernelRidge(kernel="rbf"), grid, cv=3),
        "random forest": lambda: forest.RandomForestRegressor(200, max_features=1 / 3, random_state=0, n_jobs=-1),
    }
    found = {name: np.empty(len(data.values)) for name in machines}
    for number in range(folds):
        held_out = fold == number
        known = ~held_out
        sides = []
        for side in (data.spectra.astype(np.float64), data.fractions):
            spread = side[known].std(axis=0)
            sides.append((side - side[known].mean(axis=0)) / np.where(spread > 0, spread, 1) / side.shape[1] ** 0.5)
        inputs, mean = np.hstack(sides), data.values[known].mean()
        for name, machine in machines.items():
            fitted = machine().fit(inputs[known], data.values[known] - mean)
            found[name][held_out] = fitted.predict(inputs[held_out]) + mean
    return found


def slopes(model: SpectralModel, data: SpectralData) -> Slopes:
    """Slopes at every sample."""
    by_points, by_fractions = model.gradients(data.spectra, data.fractions)
    middle = (by_fractions * data.fractions).sum(axis=2, keepdims=True)
    return Slopes((by_fractions - middle).astype(np.float32), by_points)


def attributions(model: SpectralModel, data: SpectralData, rows: np.ndarray, steps: int = 64) -> Slopes:
    """Integrated gradients (Captum) of each member from the mean sample to each of `rows`, as (M, R, …).

    What all points and elements get adds up to the difference of the predictions.
    """
    captum = library("captum.attr", "spectra")

    def predicted(spectra: torch.Tensor, fractions: torch.Tensor, number: int) -> torch.Tensor:
        found = model.ensemble.member(number, model.scales.spectra(spectra), model.scales.fractions(fractions))
        return found * model.scales.value[1]

    device = next(model.ensemble.parameters()).device
    both = [torch.from_numpy(a.astype(np.float32)).to(device) for a in (data.spectra, data.fractions)]
    inputs = tuple(t[torch.from_numpy(rows).to(device)] for t in both)
    start = tuple(t.mean(dim=0, keepdim=True) for t in both)
    members = range(model.card["members"])
    ways = captum.IntegratedGradients(predicted)
    found = [
        ways.attribute(inputs, start, additional_forward_args=number, n_steps=steps, internal_batch_size=512)
        for number in members
    ]
    points, fractions = (torch.stack(t).detach().cpu().numpy() for t in zip(*found, strict=True))
    return Slopes(fractions, points)


def smoothed(model: SpectralModel, data: SpectralData, noise: float, draws: int = 16, seed: int = 0) -> Slopes:
    """SmoothGrad: slopes at spectra with noise of so many of their standard deviations, the mean of some draws."""
    rng = np.random.default_rng(seed)
    spread = noise * data.spectra.std()
    total: list[np.ndarray] = []
    for _ in range(draws):
        shaken = data.spectra + rng.normal(0, spread, data.spectra.shape).astype(np.float32)
        own = slopes(model, replace(data, spectra=shaken))
        total = [a + b / draws for a, b in zip(total, own, strict=True)] if total else [part / draws for part in own]
    return Slopes(*total)


def aligned(weights: np.ndarray) -> np.ndarray:
    """First-layer weights (M, E, U) of several networks, units permuted so that they are most alike.

    Units of a layer have no order; each network's are put in that of the mean so far (Umehara et al., fig. S2).
    """
    ordered = weights.copy()
    for number in range(1, len(weights)):
        mean = ordered[:number].mean(axis=0)
        apart = ((mean[:, :, None] - weights[number][:, None, :]) ** 2).sum(axis=0)
        ordered[number] = weights[number][:, linear_sum_assignment(apart)[1]]
    return ordered


def first_layer(model: SpectralModel) -> np.ndarray:
    """(M, E, U) weights of the composition's first layer (e), for fractions of atoms."""
    weight = model.ensemble.weights["dense:0:weight"].detach().cpu().numpy()
    _, scale = model.scales.fraction
    found: np.ndarray = (weight / np.array(scale, np.float32)).transpose(0, 2, 1)
    return found


def r2(values: np.ndarray, predicted: np.ndarray) -> float:
    """Coefficient of determination."""
    return float(1 - ((predicted - values) ** 2).mean() / values.var())
