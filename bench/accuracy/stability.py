"""The stability test of Bartel et al., npj Comput. Mater. 6, 97 (2020), on Materials Project compounds.

Five-fold predictions of all formation energies; then each compound against the hull of all the others at their
predicted energies. It is called stable where that distance is at most 0. Also for models that predict the distance.

`--models` takes some of `NETWORK:MEMBERS`, a baseline's name, each of them with `distance=` before it, and networks
with `decomposition=`, half of whose loss is of decomposition energies; figures of others stay as they were measured.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.accuracy.common import Job, job, progress, show
from bench.harness import commit
from matscreen.kernels.hull import decomposition_energies
from matscreen.models import load
from matscreen.models.baselines import BASELINES, fitted
from matscreen.models.crossvalidation import crossvalidate
from matscreen.models.dataset import Dataset, load_clean, sparse_rows
from matscreen.models.fit import write_table
from matscreen.models.formula import composition_arrays
from matscreen.models.recipe import DEFAULTS, Recipe
from matscreen.models.split import Split, parts
from matscreen.models.tables import ENERGY

DISTANCE = "decomposition_energy_ev_atom"
FOLDS = 5
SHARE = 0.5
"""Of the loss, that decomposition energies have with `decomposition=`."""

MODELS = (
    "random-forest-fractions,random-forest-attributes,xgboost-attributes,elemnet:1,pairnet:3,decomposition=pairnet:2,"
    "distance=random-forest-fractions,distance=random-forest-attributes,distance=xgboost-attributes,distance=pairnet:1"
)

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


def out_of_fold(job: Job, network: str, members: int, target: str, share: float, table: Dataset) -> np.ndarray:
    """(members, N) predictions for the table by networks trained on the other folds; `share` as in the recipe."""
    recipe = DEFAULTS.get(network, Recipe())
    recipe = replace(recipe, epochs=job.epochs(recipe.epochs), decomposition=share)
    name = f"{network}-{members}-{target.partition('_')[0]}" + (f"-{share:g}" if share else "")
    out = job.work / f"{name}.safetensors"
    path = job.data("mp_formation_energy.parquet")
    crossvalidate(network, path, out, recipe, FOLDS, progress(name), None, (target,), members)
    found = np.empty((members, len(table)), np.float32)
    for fold in range(FOLDS):
        rows = parts(table, Split(recipe.seed, FOLDS, fold))["test"]
        model = load(out.with_suffix(f".fold{fold + 1}.safetensors"))
        found[:, rows] = model.outputs(*sparse_rows(table.fractions[rows]))[:, :, 0]
    return found


def by_baseline(job: Job, baseline: str, target: str, table: Dataset) -> np.ndarray:
    """(1, N) predictions of a baseline fitted on the other folds; kept."""
    kept = job.work / f"{baseline}-{target.partition('_')[0]}.parquet"
    if not kept.is_file():
        found = np.empty(len(table), np.float32)
        for fold in range(FOLDS):
            chosen = parts(table, Split(0, FOLDS, fold))
            predict = fitted(baseline, table, np.concatenate([chosen["train"], chosen["validation"]]))
            found[chosen["test"]] = predict(table.fractions[chosen["test"]])
            print(f"{baseline}, {target}: fold {fold + 1} of {FOLDS}", flush=True)
        write_table(kept, pa.table({"formula": table.formulas, "predicted": found}))
    predicted: np.ndarray = pq.read_table(kept)["predicted"].to_numpy()
    return predicted[None]


def main() -> None:
    run, given = job("stability", "models")
    path = run.data("mp_formation_energy.parquet")
    tables = {target: load_clean(path, (target,))[0] for target in (ENERGY, DISTANCE)}
    table = tables[ENERGY]
    of = dict(zip(tables[DISTANCE].formulas, tables[DISTANCE].energies.tolist(), strict=True))
    true = np.array([of[f] for f in table.formulas])
    rows = [row("DFT energies of the other compounds", table, table.energies, true)]
    for named in (given.models or MODELS).split(","):
        kind, _, spelt = named.rpartition("=")
        target, share = DISTANCE if kind == "distance" else ENERGY, SHARE if kind == "decomposition" else 0.0
        model, _, members = spelt.partition(":")
        if model in BASELINES:
            found = by_baseline(run, model, target, tables[target])
        else:
            found = out_of_fold(run, model, int(members or 1), target, share, tables[target])
        first = model + (", decomposition energies learnt too" if share else "")
        several = {f"{first}, mean of {len(found)}": found.mean(axis=0)} if len(found) > 1 else {}
        for name, one in ({first: found[0]} | several).items():
            if target == ENERGY:
                rows.append(row(name, table, one, true))
            else:
                own = tables[DISTANCE].energies
                error = float(np.abs(one - own).mean())
                rows.append({"model": f"{name}, of distances", "MAE E_f": None, "MAE E_d": error, **judged(own, one)})
    measured = {one["model"]: one | {"commit": commit()} for one in rows}
    kept = run.results / "stability.json"
    if kept.is_file():
        measured = {one["model"]: one for one in json.loads(kept.read_text())["figures"]["rows"]} | measured
    show(f"Stability of {len(table):,} compounds", list(measured.values()))
    show("Published, 85,014 compounds", PUBLISHED)
    figures = {"compounds": len(table), "stable": int((true <= 0).sum())}
    run.publish(figures | {"rows": list(measured.values()), "published": PUBLISHED})


if __name__ == "__main__":
    main()
