"""Spectra with compositions: do networks predict better than others, and do their slopes point where they should?

Simulated photoanodes (`models.spectra.simulation`), as many as were published, whose slopes are known exactly. A change
of composition changes the spectrum too, so that what is compared is the slope along both: of the prediction by
fractions and, through the spectrum's own derivative, by spectrum; and along what only the spectrum shows.

    python -m bench.accuracy.spectra [--quick]         some 20 minutes on a core
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.accuracy.common import job, show
from matscreen.engine.spectra import analysis, pictures
from matscreen.engine.spectra.data import SpectralData
from matscreen.models.spectra.network import Plan, SpectralEnsemble, SpectralNetwork
from matscreen.models.spectra.simulation import ELEMENTS, Simulated, exact_slopes, simulate, spectral_slopes
from matscreen.models.spectra.training import SpectralModel, SpectralRecipe

FRESH = 500
"""Samples of another seed, at which slopes are compared."""


def data_of(made: Simulated) -> SpectralData:
    """As a file of them would be read."""
    return SpectralData(ELEMENTS, "performance", made.wavenumbers, made.spectra, made.fractions, made.values)


def agreement(model: SpectralModel, made: Simulated) -> dict[str, Any]:
    """Slopes of the members' mean, and of each, against the exact ones."""
    by_points, by_fractions = model.gradients(made.spectra, made.fractions)
    exact, exact_made = exact_slopes(made.fractions, made.made)
    moves, moves_made = spectral_slopes(made.fractions, made.made)
    along = by_fractions + np.einsum("mnl,nkl->mnk", by_points, moves)
    found_made = np.einsum("mnl,nl->mn", by_points, moves_made)

    def towards(gradient: np.ndarray) -> np.ndarray:
        """On the simplex, towards each element."""
        slopes: np.ndarray = gradient - (gradient * made.fractions).sum(axis=-1, keepdims=True)
        return slopes

    found, true = towards(along), towards(exact)
    mean = found.mean(axis=0)
    cosine = (mean * true).sum(axis=1) / np.sqrt((mean**2).sum(axis=1) * (true**2).sum(axis=1))
    return {
        "towards": {
            element: {
                "exact, mean": float(true[:, k].mean()),
                "found, mean": float(mean[:, k].mean()),
                "found, s.d. over networks": float(found[:, :, k].mean(axis=1).std(ddof=1)),
                "correlation over samples": float(np.corrcoef(mean[:, k], true[:, k])[0, 1]),
            }
            for k, element in enumerate(ELEMENTS)
        },
        "cosine of the directions, median": float(np.median(cosine)),
        "a tenth is below": float(np.quantile(cosine, 0.1)),
        "by what only the spectrum shows": {
            "exact, mean": float(exact_made.mean()),
            "found, mean": float(found_made.mean()),
            "found, s.d. over networks": float(found_made.mean(axis=1).std(ddof=1)),
        },
    }


def together(seeds: int, points: int) -> dict[str, float]:
    """Seconds of a training step of all networks: one after another, and as one."""
    inputs = torch.randn(seeds, 32, points), torch.randn(seeds, 32, len(ELEMENTS))
    ensemble = SpectralEnsemble(Plan(), points, len(ELEMENTS), tuple(range(seeds))).train()
    networks = [SpectralNetwork(Plan(), points, len(ELEMENTS), seed).train() for seed in range(seeds)]

    def as_one() -> None:
        (ensemble(*inputs) ** 2).mean(dim=1).sum().backward()

    def one_by_one() -> None:
        for network, s, x in zip(networks, *inputs, strict=True):
            (network(s, x) ** 2).mean().backward()

    found = {}
    for name, step in (("as one (vmap), s", as_one), ("one after another, s", one_by_one)):
        times = []
        for _ in range(13):
            started = time.perf_counter()
            step()
            times.append(time.perf_counter() - started)
        found[name] = float(np.median(times[3:]))
    return found


def main() -> None:
    task, _ = job("spectra")
    recipe = SpectralRecipe()
    if task.quick:
        recipe = replace(recipe, epochs=(6, 12, 9), seeds=3)
    known = data_of(simulate(0))
    fresh = simulate(1, FRESH)

    def report(name: str, done: int, total: int, loss: float) -> None:
        if done % 30 == 0:
            print(f"{name}: {done} of {total} epochs, loss {loss:.4f}", flush=True)

    predicted = {"networks": analysis.crossvalidated(known, recipe, 5, task.work, report)}
    predicted |= analysis.baselines(known, 5)
    scores = {name: analysis.r2(known.values, values) for name, values in predicted.items()}
    show("R² of 5 folds", [{"of": name, "r2": score} for name, score in scores.items()])
    model = analysis.whole_model(known, recipe, task.work / "networks.safetensors", report)
    found = agreement(model, fresh)
    show("slopes", [{"towards": element, **own} for element, own in found["towards"].items()])
    slopes = analysis.slopes(model, known)
    attributed = analysis.attributions(model, known, np.arange(0, len(known.values), 7))
    pictures.element_slopes_picture(known, slopes, task.results / "spectra-elements.png")
    pictures.wavenumber_slopes_picture(known, slopes, attributed, task.results / "spectra-wavenumbers.png")
    pictures.first_layer_picture(ELEMENTS, analysis.first_layer(model), task.results / "spectra-first-layer.png")
    pictures.arrows_picture(known, slopes, task.results / "spectra-arrows.png")
    task.publish(
        {
            "samples": len(known.values),
            "networks": recipe.seeds,
            "epochs": recipe.epochs,
            "r2 of 5 folds": scores,
            "published r2 on real samples": {"network": 0.764, "kernel ridge": 0.732, "random forest": 0.741},
            "slopes at samples of another seed": found,
            "a training step": together(recipe.seeds, len(known.wavenumbers)),
        }
    )


if __name__ == "__main__":
    main()
