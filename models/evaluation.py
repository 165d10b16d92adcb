"""How well a model predicts a table of formation energies, and where it does not."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from matscreen.models import dataset
from matscreen.models.elements import ATOMIC_NUMBERS, ELEMNET_ELEMENTS
from matscreen.models.model import Model

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


def predictions(model: Model, path: Path, part: Part, seed: int) -> tuple[dataset.Dataset, np.ndarray]:
    """Compounds of a table, cleaned as for training, and what `model` predicts for them, (N,) eV/atom.

    `part` and `seed` choose those that a training with this seed did not see, or did.
    """
    data, _ = dataset.load_clean(path)
    if part != "all":
        rows = dataset.split(data, seed)[part]
        data = dataset.Dataset([data.formulas[i] for i in rows], data.fractions[rows], data.energies[rows])
    return data, model.energies(*dataset.sparse_rows(data.fractions))


def report(data: dataset.Dataset, predicted: np.ndarray) -> list[dict[str, Any]]:
    """A row for all compounds and one a kind: how many, and their errors in eV/atom (mean error: predicted − known)."""
    error = predicted.astype(np.float64) - data.energies
    present = data.fractions > 0
    number = present.sum(axis=1)
    kinds: dict[str, np.ndarray] = {"all": np.ones(len(data), bool)}
    kinds |= {f"{n} elements": number == n for n in np.unique(number).tolist()}
    for name, symbols in GROUPS.items():
        kinds[name] = np.asarray(present[:, np.isin(ELEMNET_ELEMENTS, list(symbols))].any(axis=1))
    kinds["none of these"] = ~np.any([kinds[name] for name in GROUPS], axis=0)
    rows = []
    for name, chosen in kinds.items():
        if chosen.any():
            magnitude = np.abs(error[chosen])
            rows.append(
                {
                    "compounds": name,
                    "number": int(chosen.sum()),
                    "mae_ev_atom": float(magnitude.mean()),
                    "median_ev_atom": float(np.median(magnitude)),
                    "percentile_90_ev_atom": float(np.quantile(magnitude, 0.9)),
                    "rmse_ev_atom": float(np.sqrt((magnitude**2).mean())),
                    "mean_error_ev_atom": float(error[chosen].mean()),
                }
            )
    return rows
