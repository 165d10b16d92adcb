"""ElemNet and the pair network against Random Forests (Jha 2020, 3.3.4–3.3.6 and fig. 3.3), and the other baselines.

Errors on one test set, their distribution, the time of 10,000 predictions, and learning curves from 464 compounds.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from bench.accuracy.common import Job, job, learned, show
from matscreen.models import load
from matscreen.models.baselines import BASELINES, fitted
from matscreen.models.dataset import Dataset, load_clean, sparse_rows
from matscreen.models.pictures import figure, save_figure
from matscreen.models.recipe import DEFAULTS, Recipe
from matscreen.models.split import Split, parts

SIZES = (464, 1000, 2000, 4000, 8000, 16_000, 32_000)
"""Compounds of the learning curve, before all of them."""

THESIS = {
    "elemnet": (0.050, 0.120),
    "random-forest-attributes": (0.071, None),
    "random-forest-fractions": (0.157, None),
}
"""Mean and 90% below, eV/atom, from 230,960 training compounds."""

STEPS = 3000
"""Least optimiser steps of a network: small training sets are seen more often."""


def recipe_for(network: str, rows: int, run: Job) -> Recipe:
    """The network's own, with as many epochs as few compounds need."""
    recipe = DEFAULTS.get(network, Recipe())
    epochs = max(recipe.epochs, min(400, STEPS * recipe.batch // rows))
    # Anchors are 860 rows an epoch: at most a twentieth of what is learnt from.
    return replace(recipe, epochs=run.epochs(epochs), anchors=min(recipe.anchors, rows // 1720))


def seconds(predict: Any) -> float:
    """Of a call, the second time."""
    predict()
    started = time.perf_counter()
    predict()
    return time.perf_counter() - started


def errors_of(run: Job, data: Dataset, chosen: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """By model: errors (N,) on the test part and seconds for 10,000 predictions, all learnt from the same part."""
    fractions, true = data.fractions[chosen["test"]], data.energies[chosen["test"]]
    ten_thousand = np.resize(fractions, (10_000, fractions.shape[1]))
    found: dict[str, dict[str, Any]] = {}
    for name in BASELINES:
        started = time.perf_counter()
        predict = fitted(name, data, chosen["train"])
        fitting = time.perf_counter() - started
        took = seconds(lambda predict=predict: predict(ten_thousand))
        found[name] = {"error": predict(fractions) - true, "seconds": took, "training_seconds": fitting}
        print(f"{name}: {np.abs(found[name]['error']).mean():.4f}", flush=True)
    for name in ("elemnet-oqmd", "pairnet-oqmd"):
        model = load(name)
        sparse = sparse_rows(ten_thousand)
        if run.quick:
            network = model.card.get("network", "elemnet")
            error = learned(run, network, network, data, chosen, recipe_for(network, len(chosen["train"]), run)) - true
        else:  # what ships learnt from the very same part
            error = model.energies(*sparse_rows(fractions)) - true
        found[name.partition("-")[0]] = {
            "error": error,
            "seconds": seconds(lambda model=model, sparse=sparse: model.energies(*sparse)),
            "training_seconds": model.card["training"]["seconds"],
        }
    return found


def curves(run: Job, data: Dataset, chosen: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Mean error on the test part by training set size."""
    order = np.random.default_rng(0).permutation(chosen["train"])
    true = data.energies[chosen["test"]]
    rows = []
    for size in [size for size in SIZES if size < len(order)]:
        part = {**chosen, "train": np.sort(order[:size])}
        row: dict[str, Any] = {"training compounds": size}
        for name in ("random-forest-fractions", "random-forest-attributes"):
            error = fitted(name, data, part["train"])(data.fractions[chosen["test"]]) - true
            row[name] = float(np.abs(error).mean())
        for network in ("elemnet", "pairnet"):
            predicted = learned(run, f"{network}-{size}", network, data, part, recipe_for(network, size, run))
            row[network] = float(np.abs(predicted - true).mean())
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    run, _ = job("forests")
    data, _ = load_clean(run.data("oqmd_formation_energy.parquet"))
    chosen = parts(data, Split())
    found = errors_of(run, data, chosen)
    rows = [
        {
            "model": name,
            "MAE": float(np.abs(one["error"]).mean()),
            "90% below": float(np.quantile(np.abs(one["error"]), 0.9)),
            "thesis MAE": THESIS.get(name, (None, None))[0],
            "10,000 predictions, s": one["seconds"],
            "training, s": float(one["training_seconds"]),
        }
        for name, one in sorted(found.items(), key=lambda item: float(np.abs(item[1]["error"]).mean()))
    ]
    show(f"{len(chosen['test']):,} compounds held out, {len(chosen['train']):,} learnt from (eV/atom)", rows)
    learning = curves(run, data, chosen)
    whole = {row["model"]: row["MAE"] for row in rows}
    last = {"training compounds": len(chosen["train"]), **{n: whole[n] for n in list(learning[0])[1:]}}
    if not run.quick:  # a single network there too, not the ensemble
        one = load("pairnet-oqmd").outputs(*sparse_rows(data.fractions[chosen["test"]]))[0, :, 0]
        last["pairnet"] = float(np.abs(one - data.energies[chosen["test"]]).mean())
    learning.append(last)
    show("Learning curves, mean error on the same test part (eV/atom)", learning)
    drawn = figure(11, 4.2)
    distribution, curve = drawn.subplots(1, 2)
    for name in ("random-forest-fractions", "random-forest-attributes", "elemnet", "pairnet"):
        magnitude = np.sort(np.abs(found[name]["error"]))
        distribution.plot(magnitude, np.arange(1, len(magnitude) + 1) / len(magnitude), label=name)
        curve.plot([r["training compounds"] for r in learning], [r[name] for r in learning], "o-", ms=4, label=name)
    distribution.set(xlabel="absolute error (eV/atom)", ylabel="fraction of compounds", xlim=(0, 0.5), ylim=(0, 1))
    curve.set(xlabel="training compounds", ylabel="mean error (eV/atom)", xscale="log", yscale="log")
    distribution.legend(frameon=False)
    drawn.suptitle("Errors on what was held out, and how they fall with the training set (thesis: fig. 3.3)")
    save_figure(drawn, run.results / "forests.png")
    run.publish({"test compounds": len(chosen["test"]), "rows": rows, "learning curves": learning})


if __name__ == "__main__":
    main()
