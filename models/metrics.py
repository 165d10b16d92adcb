"""Errors of predictions, as cards and tables give them."""

import numpy as np

from matscreen.models.tables import ENERGY
from matscreen.models.target import Target


def metrics(target: Target, true: np.ndarray, predicted: np.ndarray, part: str = "test") -> dict[str, float]:
    """Figures by name, five decimals, of `true` (N, P) with NaN where unknown and `predicted` (N, outputs).

    Of each property the mean absolute error, the error that 90% are below, and R²; of classes the accuracy, the cross
    entropy (nats) and, where there are two and both occur, the area under the ROC curve.
    """
    if target.classes:
        label = true[:, 0].astype(np.int64)
        chosen = predicted[np.arange(len(label)), label].astype(np.float64)
        found = {
            f"{part}_accuracy": float((predicted.argmax(axis=1) == label).mean()),
            f"{part}_cross_entropy": float(-np.log(np.maximum(chosen, 1e-12)).mean()),
        }
        if len(target.classes) == 2:
            found[f"{part}_roc_auc"] = roc_auc(label == 1, predicted[:, 1])
        return {name: round(value, 5) for name, value in found.items() if value == value}
    found = {}
    for column, name in enumerate(target.properties):
        known = ~np.isnan(true[:, column])
        values = true[known, column].astype(np.float64)
        error = np.abs(predicted[known, column] - values)
        if not len(values):
            continue
        middle, end = ("", "_ev_atom") if name == ENERGY else (f"_{name}", "")
        found[f"{part}{middle}_mae{end}"] = float(error.mean())
        found[f"{part}{middle}_90th_percentile{end}"] = float(np.quantile(error, 0.9))
        if (spread := float(values.var())) > 0:
            found[f"{part}{middle}_r2"] = 1 - float((error**2).mean()) / spread
    return {name: round(value, 5) for name, value in found.items()}


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Probability that a positive one scores above a negative one, ties counted half: Mann-Whitney's U."""
    number = int(positive.sum())
    others = len(positive) - number
    if not number or not others:
        return float("nan")
    from scipy.stats import rankdata  # takes half a second to load

    ranks = rankdata(score)
    return float((ranks[positive].sum() - number * (number + 1) / 2) / (number * others))
