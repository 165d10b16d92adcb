"""What a training looks like: its curves, and predicted against true values."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.tables import ENERGY
from matscreen.models.target import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(width: float, height: float) -> "Figure":
    """An empty figure; InputError if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'matscreen[train]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(drawn: "Figure", path: Path) -> None:
    """Write a PNG."""
    write_atomically(path, lambda temporary: drawn.savefig(temporary, dpi=130, format="png"))


def training_picture(
    target: Target,
    true: np.ndarray,
    predicted: np.ndarray,
    history: Sequence[Sequence[dict[str, float]]],
    path: Path,
    title: str,
) -> None:
    """Parity and errors of the first property (or the confusion of classes) on what was held out, and the curves."""
    drawn = figure(13, 4)
    left, middle, right = drawn.subplots(1, 3)
    if target.classes:
        _confusion(left, middle, target, true[:, 0].astype(int), predicted)
    else:
        known = ~np.isnan(true[:, 0])
        _parity(left, middle, true[known, 0], predicted[known, 0], _label(target.properties[0]))
    for number, member in enumerate(history):
        for name, colour in (("train_error", "C0"), ("validation_error", "C1")):
            label = name.removesuffix("_error").replace("train", "training") if number == 0 else None
            right.plot([e["epoch"] + 1 for e in member], [e[name] for e in member], color=colour, label=label, lw=1)
    right.set(xlabel="epoch", ylabel="mean error", yscale="log")
    right.legend(frameon=False)
    drawn.suptitle(title)
    save_figure(drawn, path)


def parity_picture(true: np.ndarray, predicted: np.ndarray, path: Path, title: str, column: str = ENERGY) -> None:
    """Density of (true, predicted), and the distribution of errors."""
    drawn = figure(9, 4.2)
    scatter, errors = drawn.subplots(1, 2, width_ratios=(1.1, 1))
    _parity(scatter, errors, true, predicted, _label(column))
    drawn.suptitle(title)
    save_figure(drawn, path)


def _parity(scatter: "Axes", errors: "Axes", true: np.ndarray, predicted: np.ndarray, label: str) -> None:
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    density = scatter.hexbin(true, predicted, gridsize=90, bins="log", mincnt=1, cmap="viridis", linewidths=0)
    scatter.plot([low, high], [low, high], color="0.3", linewidth=0.8)
    scatter.set(xlabel=label, ylabel="predicted", aspect="equal")
    scatter.figure.colorbar(density, ax=scatter, label="compounds", shrink=0.8)
    magnitude = np.sort(np.abs(predicted - true))
    errors.plot(magnitude, np.arange(1, len(true) + 1) / len(true), color="C0")
    mae, ninety = magnitude.mean(), np.quantile(magnitude, 0.9)
    errors.axvline(mae, color="C1", label=f"mean {mae:.3g}")
    errors.axvline(ninety, color="C3", linestyle="--", label=f"90% below {ninety:.3g}")
    errors.set(xlabel="absolute error", ylabel="fraction of compounds", xlim=(0, 4 * ninety or 1), ylim=(0, 1))
    errors.legend(frameon=False, loc="lower right")


def _confusion(table: "Axes", curve: "Axes", target: Target, label: np.ndarray, predicted: np.ndarray) -> None:
    classes = len(target.classes)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (label, predicted.argmax(axis=1)), 1)
    table.imshow(counts, cmap="viridis")
    table.set(xlabel="predicted", ylabel=target.properties[0])
    table.set_xticks(range(classes), target.classes, rotation=45)
    table.set_yticks(range(classes), target.classes)
    for row, column in np.ndindex(classes, classes) if classes <= 10 else ():
        table.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color="w")
    sure = np.sort(predicted.max(axis=1))
    right = (predicted.argmax(axis=1) == label)[np.argsort(predicted.max(axis=1), kind="stable")]
    at_least = np.cumsum(right[::-1])[::-1] / np.arange(len(right), 0, -1)
    curve.plot(sure, at_least)
    curve.set(xlabel="probability of the class named, at least", ylabel="share that is right")


def _label(column: str) -> str:
    return "formation energy (eV/atom)" if column == ENERGY else column
