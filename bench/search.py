"""The Parzen estimator against Optuna's: suggestions/s in 88 dimensions, and what it finds (Korolev et al., fig. S8).

What it finds: the least of five functions of two variables, and in the latent space of compositions a large bulk
modulus less a price for lying above the hull, of all 446,597,140 compositions.

    python -m bench.search [--quick]        writes bench/results/search.json, search.png and search-compositions.png
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
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable
from matscreen.engine.cluster import Job
from matscreen.engine.merge import KEY
from matscreen.engine.properties import parse
from matscreen.engine.rundir import NO_THRESHOLD
from matscreen.engine.search import parzen
from matscreen.engine.search.goal import Goal, look
from matscreen.engine.search.run import suggested
from matscreen.engine.search.sampler import ParzenSampler
from matscreen.models.latent.training import load

DIMENSIONS, SEEN = 88, 500
"""24 latent variables of a composition and 64 of a pattern; trials seen."""

SEEDS, EVALUATIONS = 20, 100
SLOW_SEEDS = 5
"""Of the Gaussian process, which takes a tenth of a second a suggestion and more."""

PRICE = 1000.0
"""GPa that an eV/atom above the hull costs."""

FEW, MANY, PLANNED_SEEDS = 200, 3000, 10
"""Compositions that the Gaussian process looks at, and the others; seeds of the others."""

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


def compositions(quick: bool) -> dict[str, np.ndarray]:
    """Of each search in the latent space the largest value after each composition, (seeds, evaluations)."""
    space, model, phases = CompositionSpace("all"), models.load(), PhaseTable.load("oqmd-legacy")
    job = Job(space, model, phases, NO_THRESHOLD, False, True, (parse("bulk_modulus"),))
    goal = Goal(job, load("composition"), (("bulk_modulus_gpa", -1),))
    names = [f"z{i}" for i in range(goal.dimensions)]

    def worth(points: np.ndarray) -> np.ndarray:
        seen = look(goal, points, 0, set(), set())
        above = np.maximum(seen[KEY].to_numpy(), 0)
        value: np.ndarray = seen["bulk_modulus_gpa"].to_numpy() - PRICE * above
        return value

    def one_by_one(sampler: BaseSampler, count: int) -> np.ndarray:
        study = optuna.create_study(sampler=sampler, direction="maximize")
        study.optimize(lambda t: float(worth(np.array([[t.suggest_float(n, 0, 1) for n in names]]))[0]), count)
        return np.array([trial.value for trial in study.trials])

    def planned(seed: int, count: int) -> np.ndarray:
        points, values, found = np.empty((0, goal.dimensions)), np.empty(0), set[int]()
        while len(points) < count:
            rng = np.random.default_rng([seed, len(points)])
            asked = suggested(goal, 50, points, -values, np.zeros(len(points)), found, rng)
            found |= set(look(goal, asked, 0, set(), set())["id"].to_pylist())
            points, values = np.concatenate([points, asked]), np.concatenate([values, worth(asked)])
        return values[:count]

    few, many, seeds, slow = (20, 200, 2, 1) if quick else (FEW, MANY, PLANNED_SEEDS, 3)
    runs: dict[str, list[np.ndarray]] = {
        "random": [worth(np.random.default_rng(seed).random((many, goal.dimensions))) for seed in range(seeds)],
        "Gaussian process (Optuna)": [one_by_one(GPSampler(seed=seed), few) for seed in range(slow)],
        "Parzen (Optuna)": [one_by_one(TPESampler(seed=seed, multivariate=True), 3 * few) for seed in range(slow)],
        "matscreen search, batches of 50": [planned(seed, many) for seed in range(seeds)],
    }
    return {kind: np.maximum.accumulate(np.array(values), axis=1) for kind, values in runs.items()}


def drawn_compositions(found: dict[str, np.ndarray]) -> None:
    """Medians and ranges."""
    figure, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for kind, curves in found.items():
        numbers = np.arange(1, curves.shape[1] + 1)
        (line,) = axis.plot(numbers, np.median(curves, axis=0), label=f"{kind} ({len(curves)} seeds)")
        axis.fill_between(numbers, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.12, lw=0)
    axis.set(xscale="log", xlabel="compositions looked at", ylabel="bulk modulus − price above the hull (GPa)")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    figure.savefig(RESULTS / "search-compositions.png", dpi=110)


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
    often = {"Gaussian process (Optuna)": SLOW_SEEDS}
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, (function, x, y, least) in FUNCTIONS.items():
        found[name] = {
            kind: np.array([curve(make(s), function, x, y) for s in range(min(seeds, often.get(kind, seeds)))]) - least
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
    best = compositions(quick)
    figures["bulk modulus − price above the hull (GPa): least, median, most"] = {
        kind: {
            f"after {n}": [float(x) for x in np.quantile(curves[:, n - 1], (0, 0.5, 1))]
            for n in (FEW, 3 * FEW, 1000, MANY)
            if n <= curves.shape[1]
        }
        for kind, curves in best.items()
    }
    print(figures["bulk modulus − price above the hull (GPa): least, median, most"], flush=True)
    if not quick:
        drawn(found)
        drawn_compositions(best)
        publish("search", figures)


if __name__ == "__main__":
    main()
