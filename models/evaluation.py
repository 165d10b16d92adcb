"""How well a model predicts a table, and where it does not."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from matscreen.models import dataset
from matscreen.models.dataset import Dataset
from matscreen.models.elements import ATOMIC_NUMBERS, ELEMNET_ELEMENTS
from matscreen.models.metrics import roc_auc
from matscreen.models.model import Model
from matscreen.models.split import Split, parts

Part = Literal["all", "train", "validation", "test"]

GROUPS: dict[str, frozenset[int]] = {
    name: frozenset(ATOMIC_NUMBERS[symbol] for symbol in symbols.split())
    for name, symbols in {
        "oxides": "O",
        "chalcogenides": "S Se Te",
        "halides": "F Cl Br I",
        "pnictides": "N P As Sb Bi",
        "hydrides": "H",
    }.items()
}
"""Kinds of compound by an element that they hold; a compound may be of several."""


def predictions(model: Model, path: Path, part: Part, split: Split) -> tuple[Dataset, np.ndarray]:
    """Compounds of a table, cleaned as for training, and what `model` predicts for them, (N, outputs).

    `part` and `split` choose those that a training with this split did not see, or did.
    """
    data, _ = dataset.load_clean(path, model.target.properties, model.target.classes)
    if part != "all":
        data = data.take(parts(data, split)[part])
    return data, model.outputs(*dataset.sparse_rows(data.fractions)).mean(axis=0)


def kinds(fractions: np.ndarray) -> dict[str, np.ndarray]:
    """Which compounds (N, 86) are of each kind, (N,) bool by name: all of them, by number of elements, by `GROUPS`."""
    present = fractions > 0
    number = present.sum(axis=1)
    found: dict[str, np.ndarray] = {"all": np.ones(len(fractions), bool)}
    found |= {f"{n} elements": number == n for n in np.unique(number).tolist()}
    for name, symbols in GROUPS.items():
        found[name] = np.asarray(present[:, np.isin(ELEMNET_ELEMENTS, list(symbols))].any(axis=1))
    found["none of these"] = ~np.any([found[name] for name in GROUPS], axis=0)
    return {name: chosen for name, chosen in found.items() if chosen.any()}


def report(data: Dataset, predicted: np.ndarray, output: int = 0) -> list[dict[str, Any]]:
    """A row for all compounds and one a kind: how many, and their errors.

    Of a property, number `output`: errors in its unit, the mean error being predicted − known. Of classes: the
    accuracy, the cross entropy (nats) and, for two classes, the area under the ROC curve.
    """
    known = ~np.isnan(data.values[:, output])
    rows = []
    for name, chosen in kinds(data.fractions).items():
        if (some := chosen & known).any():
            errors = _of_classes if data.target.classes else _of_numbers
            rows.append(
                {"compounds": name, "number": int(some.sum()), **errors(data.values[some], predicted[some], output)}
            )
    return rows


def _of_numbers(true: np.ndarray, predicted: np.ndarray, output: int) -> dict[str, float]:
    error = predicted[:, output].astype(np.float64) - true[:, output]
    magnitude = np.abs(error)
    return {
        "mae": float(magnitude.mean()),
        "median": float(np.median(magnitude)),
        "percentile_90": float(np.quantile(magnitude, 0.9)),
        "rmse": float(np.sqrt((magnitude**2).mean())),
        "mean_error": float(error.mean()),
    }


def _of_classes(true: np.ndarray, predicted: np.ndarray, _: int) -> dict[str, float]:
    label = true[:, 0].astype(int)
    chosen = predicted[np.arange(len(label)), label].astype(np.float64)
    found = {
        "accuracy": float((predicted.argmax(axis=1) == label).mean()),
        "cross_entropy": float(-np.log(np.maximum(chosen, 1e-12)).mean()),
    }
    if predicted.shape[1] == 2:
        found["roc_auc"] = roc_auc(label == 1, predicted[:, 1])
    return found
