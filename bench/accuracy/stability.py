"""The stability test of Bartel et al., npj Comput. Mater. 6, 97 (2020), on Materials Project compounds.

Five-fold predictions of all formation energies; then each compound against the hull of all the others at their
predicted energies. It is called stable where that distance is at most 0. Also for a model of the distance itself.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.accuracy.common import Job, job, progress, show
from matscreen.kernels.hull import decomposition_energies
from matscreen.models import load
from matscreen.models.baselines import fitted
from matscreen.models.crossvalidation import crossvalidate
from matscreen.models.dataset import Dataset, load_clean, sparse_rows
from matscreen.models.fit import write_table
from matscreen.models.formula import composition_arrays
from matscreen.models.recipe import DEFAULTS, Recipe
from matscreen.models.split import Split, parts
from matscreen.models.tables import ENERGY

DISTANCE = "decomposition_energy_ev_atom"
FOLDS = 5

COLUMNS = ("model", "MAE E_f", "MAE E_d", "F1", "FPR", "precision", "direct F1", "direct FPR")

PUBLISHED: list[dict[str, Any]] = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("element fractions", 0.231, 0.143, 0.50, 0.38, 0.48, 0.42, 0.09),
        ("Meredig", 0.169, 0.138, 0.55, 0.38, 0.51, 0.47, 0.12),
        ("Magpie", 0.133, 0.119, 0.57, 0.35, 0.54, 0.53, 0.17),
        ("AutoMatminer", 0.124, 0.129, 0.54, 0.25, 0.58, 0.64, 0.15),
        ("ElemNet", 0.097, 0.098, 0.60, 0.37, 0.55, 0.69, 0.21),
        ("Roost", 0.056, 0.065, 0.72, 0.25, 0.67, 0.73, 0.18),
        ("CGCNN (given the structure)", 0.034, 0.039, 0.75, 0.17, 0.75, None, None),
    )
]
"""Rows of that paper, recomputed from its published predictions over 85,014 compounds."""


def judged(true_distance: np.ndarray, distance: np.ndarray) -> dict[str, float]:
    """F1, false-positive rate and precision of "stable", for predicted distances to the hull."""
    stable, called = true_distance <= 0, distance <= 0
    hit, false = int((stable & called).sum()), int((~stable & called).sum())
    precision, recall = hit / max(int(called.sum()), 1), hit / max(int(stable.sum()), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"F1": f1, "FPR": false / max(int((~stable).sum()), 1), "precision": precision, "recall": recall}


def row(model: str, table: Dataset, energies: np.ndarray, true_distance: np.ndarray) -> dict[str, Any]:
    """Figures of formation energies predicted for all of the table."""
    elements, amounts = composition_arrays(table.formulas)
    distance = decomposition_energies(elements, amounts, energies.astype(np.float64), threads=2)
    return {
        "model": model,
        "MAE E_f": float(np.abs(energies - table.energies).mean()),
        "MAE E_d": float(np.abs(distance - true_distance).mean()),
        **judged(true_distance, distance),
    }


def out_of_fold(job: Job, network: str, recipe: Recipe, members: int, target: str, table: Dataset) -> np.ndarray:
    """(members, N) predictions for the table by networks trained on the other folds."""
    name = f"{network}-{members}-{target.partition('_')[0]}"
    out = job.work / f"{name}.safetensors"
    path = job.data("mp_formation_energy.parquet")
    crossvalidate(network, path, out, recipe, FOLDS, progress(name), None, (target,), members)
    found = np.empty((members, len(table)), np.float32)
    for fold in range(FOLDS):
        rows = parts(table, Split(recipe.seed, FOLDS, fold))["test"]
        model = load(out.with_suffix(f".fold{fold + 1}.safetensors"))
        found[:, rows] = model.outputs(*sparse_rows(table.fractions[rows]))[:, :, 0]
    return found


def forests(job: Job, table: Dataset, baseline: str) -> np.ndarray:
    """(N,) predictions of a baseline fitted on the other folds; kept."""
    kept = job.work / f"{baseline}.parquet"
    if not kept.is_file():
        energies = np.empty(len(table), np.float32)
        for fold in range(FOLDS):
            chosen = parts(table, Split(0, FOLDS, fold))
            predict = fitted(baseline, table, np.concatenate([chosen["train"], chosen["validation"]]))
            energies[chosen["test"]] = predict(table.fractions[chosen["test"]])
        write_table(kept, pa.table({"formula": table.formulas, "predicted": energies}))
    found: np.ndarray = pq.read_table(kept)["predicted"].to_numpy()
    return found


def main() -> None:
    run, given = job("stability", "models", flags=("energies-only", "no-forests"))
    path = run.data("mp_formation_energy.parquet")
    table, _ = load_clean(path)
    distances = load_clean(path, (DISTANCE,))[0]
    by_formula = dict(zip(distances.formulas, distances.energies.tolist(), strict=True))
    true = np.array([by_formula[f] for f in table.formulas])
    rows = [row("DFT energies of the other compounds", table, table.energies, true)]
    rows += [
        row(baseline, table, forests(run, table, baseline), true)
        for baseline in (() if given.no_forests else ("random-forest-fractions", "random-forest-attributes"))
    ]
    for named in (given.models or "elemnet:1,pairnet:3").split(","):
        network, members = named.partition(":")[0], int(named.partition(":")[2] or 1)
        recipe = DEFAULTS.get(network, Recipe())
        recipe = replace(recipe, epochs=run.epochs(recipe.epochs))
        energies = out_of_fold(run, network, recipe, members, ENERGY, table)
        if members > 1:
            rows.append(row(f"{network}, one member", table, energies[0], true))
        rows.append(row(f"{network}, mean of {members}", table, energies.mean(axis=0), true))
        if not given.energies_only:
            direct = out_of_fold(run, network, recipe, 1, DISTANCE, table)[0]
            told = judged(true, direct)
            rows[-1] |= {"direct F1": told["F1"], "direct FPR": told["FPR"]}
    show(f"Stability of {len(table):,} compounds", rows)
    show("Published, 85,014 compounds", PUBLISHED)
    run.publish({"compounds": len(table), "stable": int((true <= 0).sum()), "rows": rows, "published": PUBLISHED})


if __name__ == "__main__":
    main()
