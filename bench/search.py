"""The Parzen estimator against Optuna's: suggestions/s in 88 dimensions, and what it finds (Korolev et al., fig. S8).

python -m bench.search [--quick]        writes bench/results/search.json and search.png
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import torch
from matplotlib import pyplot as plt
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from bench.harness import RESULTS, median_seconds, publish
from matscreen.engine.search import parzen
from matscreen.engine.search.sampler import ParzenSampler

DIMENSIONS, SEEN = 88, 500
"""24 latent variables of a composition and 64 of a pattern; trials seen."""

SEEDS, EVALUATIONS = 20, 100

Function = Callable[[np.ndarray, np.ndarray], np.ndarray]

FUNCTIONS: dict[str, tuple[Function, tuple[float, float], tuple[float, float], float]] = {
    "Ackley": (
        lambda x, y: (
            -20 * np.exp(-0.2 * np.sqrt((x**2 + y**2) / 2))
            - np.exp((np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)) / 2)
            + np.e
            + 20
        ),
        (-5, 4),
        (-4, 5),
        0.0,
    ),
    "Branin": (
        lambda x, y: (
            (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10
        ),
        (-5, 10),
        (0, 15),
        0.397887,
    ),
    "Himmelblau": (lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2, (-5, 5), (-5, 5), 0.0),
    "Rosenbrock": (lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2, (-2, 2), (-1, 3), 0.0),
    "six-hump camel": (
        lambda x, y: (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2,
        (-2, 2),
        (-1, 1),
        -1.031628,
    ),
}
"""Two-dimensional functions: bounds and least value."""


def asked(sampler: BaseSampler, points: np.ndarray, losses: np.ndarray, count: int) -> float:
    """Suggestions a second of a study that has seen the points."""
    space = {f"z{i}": optuna.distributions.FloatDistribution(0, 1) for i in range(points.shape[1])}
    study = optuna.create_study(sampler=sampler)
    study.add_trials(
        [
            optuna.trial.create_trial(params=dict(zip(space, point, strict=True)), distributions=space, value=loss)
            for point, loss in zip(points.tolist(), losses.tolist(), strict=True)
        ]
    )
    study.ask(space)
    started = time.perf_counter()
    for _ in range(count):
        study.ask(space)
    return count / (time.perf_counter() - started)


def speed(quick: bool) -> dict[str, float]:
    """Suggestions a second."""
    rng = np.random.default_rng(0)
    points = rng.random((SEEN, DIMENSIONS))
    losses = ((points - 0.3) ** 2).sum(axis=1)
    figures = {
        f"batches of {count}": count / median_seconds(lambda n=count: parzen.suggest(points, losses, n, rng), 5)
        for count in (1, 10, 100, 1000)
    }
    few = 2 if quick else 10
    return figures | {
        "one by one through Optuna": asked(ParzenSampler(0), points, losses, 3 * few),
        "Optuna, multivariate": asked(TPESampler(seed=0, multivariate=True), points, losses, few),
        "Optuna, univariate": asked(TPESampler(seed=0, multivariate=False), points, losses, few),
    }


def curve(sampler: BaseSampler, function: Function, x: tuple[float, float], y: tuple[float, float]) -> np.ndarray:
    """The lowest value after each evaluation."""
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda t: float(function(t.suggest_float("x", *x), t.suggest_float("y", *y))),  # type: ignore[arg-type]
        EVALUATIONS,
    )
    return np.minimum.accumulate([trial.value for trial in study.trials])


def batched(seed: int, function: Function, x: tuple[float, float], y: tuple[float, float], size: int) -> np.ndarray:
    """The same of suggestions made in batches."""
    rng = np.random.default_rng(seed)
    points, losses = np.empty((0, 2)), np.empty(0)
    (x0, x1), (y0, y1) = x, y
    while len(points) < EVALUATIONS:
        found = parzen.suggest(points, losses, size, rng)
        values = function(x0 + found[:, 0] * (x1 - x0), y0 + found[:, 1] * (y1 - y0))
        points, losses = np.vstack([points, found]), np.append(losses, values)
    lowest: np.ndarray = np.minimum.accumulate(losses)
    return lowest


def searches(seeds: int) -> dict[str, dict[str, np.ndarray]]:
    """Of each function and sampler: (seeds, evaluations), how far the lowest value is from the least."""
    samplers: dict[str, Callable[[int], BaseSampler]] = {
        "random": RandomSampler,
        "Gaussian process (Optuna)": lambda seed: GPSampler(seed=seed),
        "Parzen (Optuna)": lambda seed: TPESampler(seed=seed, multivariate=True),
        "Parzen": ParzenSampler,
    }
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, (function, x, y, least) in FUNCTIONS.items():
        found[name] = {
            kind: np.array([curve(make(seed), function, x, y) for seed in range(seeds)]) - least
            for kind, make in samplers.items()
        }
        found[name]["Parzen, batches of 10"] = (
            np.array([batched(seed, function, x, y, 10) for seed in range(seeds)]) - least
        )
        print(name, {kind: f"{np.median(curves[:, -1]):.2g}" for kind, curves in found[name].items()}, flush=True)
    return found


def drawn(found: dict[str, dict[str, np.ndarray]]) -> None:
    """Medians and quartiles of the searches."""
    figure, axes = plt.subplots(1, len(found), figsize=(3.4 * len(found), 3.4), layout="constrained")
    for axis, (name, kinds) in zip(axes, found.items(), strict=True):
        for kind, curves in kinds.items():
            low, middle, high = np.maximum(np.quantile(curves, (0.25, 0.5, 0.75), axis=0), 1e-6)
            (line,) = axis.plot(np.arange(1, EVALUATIONS + 1), middle, label=kind)
            axis.fill_between(np.arange(1, EVALUATIONS + 1), low, high, color=line.get_color(), alpha=0.12, lw=0)
        axis.set(title=name, yscale="log", xlabel="evaluations")
    axes[0].set_ylabel("lowest value found − least value")
    axes[0].legend(fontsize=7)
    figure.savefig(RESULTS / "search.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three seeds; nothing is written")
    quick = parser.parse_args().quick
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    figures: dict[str, Any] = {f"suggestions/s, {DIMENSIONS} dimensions, {SEEN} seen": speed(quick)}
    print(figures, flush=True)
    found = searches(3 if quick else SEEDS)
    figures[f"median distance from the least value after {EVALUATIONS} evaluations, {SEEDS} seeds"] = {
        name: {kind: float(np.median(curves[:, -1])) for kind, curves in kinds.items()} for name, kinds in found.items()
    }
    if not quick:
        drawn(found)
        publish("search", figures)


if __name__ == "__main__":
    main()
