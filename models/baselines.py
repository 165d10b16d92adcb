"""What networks have to beat: the usual regressors of scikit-learn and XGBoost, on fractions or on attributes."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from matscreen.kernels.features import ward_features
from matscreen.models.dataset import Dataset
from matscreen.models.errors import InputError

KERNEL_RIDGE_ROWS = 10_000
"""Kernel ridge solves for as many unknowns as it has rows; it learns from so many at most, drawn by seed."""

_REGRESSORS: dict[str, Callable[[int], Any]] = {
    "random-forest": lambda seed: _of("sklearn.ensemble", "RandomForestRegressor")(
        n_estimators=100, n_jobs=-1, random_state=seed, max_features=1 / 3
    ),
    "xgboost": lambda seed: _of("xgboost", "XGBRegressor")(
        n_estimators=1000, learning_rate=0.1, max_depth=8, subsample=0.8, colsample_bytree=0.5, random_state=seed
    ),
    "adaboost": lambda seed: _of("sklearn.ensemble", "AdaBoostRegressor")(
        _of("sklearn.tree", "DecisionTreeRegressor")(max_depth=12, random_state=seed),
        n_estimators=50,
        random_state=seed,
    ),
    "kernel-ridge": lambda _: _of("sklearn.kernel_ridge", "KernelRidge")(kernel="laplacian", alpha=1e-3),
    "linear": lambda _: _of("sklearn.linear_model", "Ridge")(alpha=1e-3),
}

BASELINES: tuple[str, ...] = tuple(f"{name}-{inputs}" for name in _REGRESSORS for inputs in ("fractions", "attributes"))
"""Regressor and what it is given: fractions of atoms, or the 145 attributes, standardised."""


def fitted(name: str, data: Dataset, rows: np.ndarray, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Fit baseline `name` on rows of the data's first property: a function from fractions (M, 86) to predictions (M,).

    InputError for another name, for classes, or if the library is not installed.
    """
    if name not in BASELINES:
        raise InputError(f"no baseline {name!r}: give one of {', '.join(BASELINES)}")
    if data.target.classes:
        raise InputError("baselines are for numbers, not for classes")
    regressor, _, inputs = name.rpartition("-")
    rows = rows[~np.isnan(data.energies[rows])]
    if regressor == "kernel-ridge" and len(rows) > KERNEL_RIDGE_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, KERNEL_RIDGE_ROWS, replace=False))

    def described(fractions: np.ndarray) -> np.ndarray:
        return fractions if inputs == "fractions" else ward_features(fractions)

    known = described(data.fractions[rows])
    mean, scale = known.mean(axis=0), known.std(axis=0)
    scale = np.where(scale > 1e-9 * np.abs(known).max(axis=0), scale, 1)
    machine = _REGRESSORS[regressor](seed)
    machine.fit((known - mean) / scale, data.energies[rows])

    def predict(fractions: np.ndarray) -> np.ndarray:
        predicted: np.ndarray = machine.predict((described(fractions) - mean) / scale).astype(np.float32)
        return predicted

    return predict


def _of(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        package = module.partition(".")[0].replace("sklearn", "scikit-learn")
        raise InputError(f"this baseline needs {package}: pip install 'matscreen[baselines]'") from None
