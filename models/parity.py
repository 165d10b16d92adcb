"""Predicted against true energies, as a picture."""

from pathlib import Path

import numpy as np

from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically


def parity_plot(true: np.ndarray, predicted: np.ndarray, path: Path, title: str) -> None:
    """Write a PNG: density of (true, predicted) formation energies, eV/atom, with the distribution of errors.

    InputError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("the parity plot needs matplotlib: pip install 'matscreen[train]'") from None
    error = predicted - true
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    scatter, errors = figure.subplots(1, 2, width_ratios=(1.1, 1))
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    density = scatter.hexbin(true, predicted, gridsize=90, bins="log", mincnt=1, cmap="viridis", linewidths=0)
    scatter.plot([low, high], [low, high], color="0.3", linewidth=0.8)
    scatter.set(xlabel="DFT formation energy (eV/atom)", ylabel="predicted (eV/atom)", aspect="equal")
    figure.colorbar(density, ax=scatter, label="compounds", shrink=0.8)
    magnitude = np.sort(np.abs(error))
    errors.plot(magnitude, np.arange(1, len(error) + 1) / len(error), color="C0")
    mae, ninety = magnitude.mean(), np.quantile(magnitude, 0.9)
    errors.axvline(mae, color="C1", label=f"mean {mae:.3f}")
    errors.axvline(ninety, color="C3", linestyle="--", label=f"90% below {ninety:.3f}")
    errors.set(xlabel="absolute error (eV/atom)", ylabel="fraction of compounds", xlim=(0, 4 * ninety), ylim=(0, 1))
    errors.legend(frameon=False, loc="lower right")
    figure.suptitle(title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=130, format="png"))
