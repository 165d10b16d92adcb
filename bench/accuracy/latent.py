"""The latent space of compositions: what comes back, its map, and does it earn its place (Korolev et al., S2 to S7)?

The autoencoder learns from all compositions of the OQMD and Materials Project tables, but a twentieth. Properties are
predicted by XGBoost with the published settings from three descriptions of the same compounds: codes, raw fractions,
145 attributes. The property tables hold no structures; `bench.accuracy.patterns` guesses some.

    python -m bench.accuracy.latent [--quick] [--ship]      --ship: train, and keep the weights in models/latent/weights
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.manifold import TSNE

from bench.accuracy.common import Job, job, progress, show
from bench.accuracy.trees import Parts, chances, errors, scores
from matscreen.kernels.features import ward_features
from matscreen.models.dataset import Dataset, fraction_matrix, load_clean
from matscreen.models.elements import ATOMIC_NUMBERS, ELEMNET_ELEMENTS
from matscreen.models.formula import composition_arrays
from matscreen.models.latent.training import RECIPES, SHIPPED, Latent, fit, load
from matscreen.models.split import Split, draws, parts
from matscreen.models.tables import ENERGY

TABLES: dict[str, tuple[str, str, bool, dict[str, float]]] = {
    "formation energy, eV/atom": (
        "mp_formation_energy.parquet", ENERGY, False, {"r2": 0.93, "mae": 0.19, "rmse": 0.29},
    ),
    "bulk modulus, GPa": (
        "properties/bulk_modulus_aflow.parquet", "bulk_modulus_gpa", False, {"r2": 0.81, "mae": 24.6, "rmse": 33.7},
    ),
    "shear modulus, GPa": (
        "properties/shear_modulus_aflow.parquet", "shear_modulus_gpa", False, {"r2": 0.81, "mae": 18.5, "rmse": 31.1},
    ),
    "Debye temperature, K": (
        "properties/debye_temperature_aflow.parquet", "debye_temperature_k", False,
        {"r2": 0.80, "mae": 64.3, "rmse": 97.8},
    ),
    "ln thermal conductivity (300 K; published 600 K)": (
        "properties/thermal_conductivity_aflow.parquet", "thermal_conductivity_300k_w_m_k", True,
        {"r2": 0.71, "mae": 0.45, "rmse": 0.62},
    ),
    "ln thermal expansion": (
        "properties/thermal_expansion_aflow.parquet", "thermal_expansion_300k_per_k", True,
        {"r2": 0.82, "mae": 0.17, "rmse": 0.24},
    ),
}  # fmt: skip
"""File, column, whether its logarithm is meant, and what was published of codes of composition and structure."""

CLASSES: dict[str, tuple[str, str, dict[str, float]]] = {
    "band gap > 0": ("properties/band_gap_aflow.parquet", "band_gap_ev", {"auc": 0.93, "accuracy": 0.90, "f1": 0.87}),
    "band gap > 0, measured": ("properties/band_gap_expt.parquet", "band_gap_ev", {}),
    "metal, measured": ("properties/is_metal_expt.parquet", "is_metal", {}),
}

Description = Callable[[np.ndarray], np.ndarray]


def compositions(task: Job) -> tuple[list[str], np.ndarray]:
    """Formulas and fractions of all that the autoencoder learns from or is judged by."""
    formulas: set[str] = set()
    for name in ("oqmd_formation_energy.parquet", "mp_formation_energy.parquet"):
        formulas |= set(pq.read_table(task.data(name), columns=["formula"])["formula"].to_pylist())
    listed = sorted(formulas)
    elements, amounts = composition_arrays(listed)
    known = np.isin(elements, [0, *ELEMNET_ELEMENTS]).all(axis=1)
    fractions = fraction_matrix(elements[known], amounts[known]).astype(np.float32)
    return [formula for formula, keep in zip(listed, known, strict=True) if keep], fractions


def learnt(task: Job, ship: bool) -> Latent:
    """The autoencoder: the shipped one, or trained now."""
    if not ship and not task.quick:
        return load("composition")
    formulas, fractions = compositions(task)
    folder = SHIPPED if ship and not task.quick else task.work
    folder.mkdir(parents=True, exist_ok=True)
    recipe = replace(RECIPES["composition"], epochs=task.epochs(RECIPES["composition"].epochs))
    told = {
        "description": "fractions of 86 elements to 24 latent variables (Korolev et al., fig. S1)",
        "data": "all compositions of oqmd_formation_energy and mp_formation_energy",
    }
    held_out, out = draws(formulas, "latent") < 0.05, folder / "composition.safetensors"
    return fit("composition", fractions, held_out, out, recipe, progress("composition"), told)


def reconstruction(latent: Latent, fractions: np.ndarray) -> dict[str, float]:
    """How much of held-out compositions comes back."""
    back = latent.decoded(latent.codes(fractions))
    moved = np.abs(back - fractions).sum(axis=1) / 2
    count = (fractions > 0).sum(axis=1)
    likeliest = np.argsort(-back, axis=1)
    same = [set(row[:n]) == set(np.flatnonzero(own)) for row, n, own in zip(likeliest, count, fractions, strict=True)]
    return {
        "share of atoms that come back as others, mean": float(moved.mean()),
        "share of atoms that come back as others, median": float(np.median(moved)),
        "share whose elements come back first": float(np.mean(same)),
        "latent variables in use": float((latent.spread(fractions).mean(axis=0) < 0.5).sum()),
    }


def regression(name: str, task: Job) -> tuple[Dataset, np.ndarray]:
    """Compounds of a table, and what is predicted of them."""
    file, column, logarithm, _ = TABLES[name]
    data, _ = load_clean(task.data(file), (column,))
    if logarithm:
        data = data.take(np.flatnonzero(data.energies > 0))  # one thermal expansion is given as 0
    return data, np.log(data.energies) if logarithm else data.energies


def classification(name: str, task: Job) -> tuple[Dataset, np.ndarray]:
    """The same of classes, 0 or 1."""
    file, column, _ = CLASSES[name]
    data, _ = load_clean(task.data(file), (column,))
    return data, (data.energies > 0).astype(int)


def judged(name: str, described: dict[str, np.ndarray], values: np.ndarray, own: Parts) -> dict[str, dict[str, float]]:
    """Errors of a property, or scores of a class, by description."""
    return {
        kind: errors(inputs, values, own)
        if name in TABLES
        else scores(values[own["test"]], chances(inputs, values, own))
        for kind, inputs in described.items()
    }


def compounds(name: str, task: Job) -> tuple[Dataset, np.ndarray]:
    """Compounds of a table, and the property or class of each."""
    return regression(name, task) if name in TABLES else classification(name, task)


def pictures(task: Job, latent: Latent, fractions: np.ndarray) -> None:
    """Compositions and what comes back (fig. S3), and the map of codes by element (fig. S4)."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rng = np.random.default_rng(0)
    shown = fractions[rng.choice(len(fractions), 8, replace=False)]
    figure, axes = plt.subplots(4, 2, figsize=(11, 7), layout="constrained", sharex=True, sharey=True)
    numbers = np.array(ELEMNET_ELEMENTS)
    for axis, own, back in zip(axes.flat, shown, latent.decoded(latent.codes(shown)), strict=True):
        axis.bar(numbers - 0.35, own, 0.7, label="composition")
        axis.bar(numbers + 0.35, back, 0.7, label="what comes back")
    axes[0, 0].legend()
    figure.supxlabel("atomic number")
    figure.supylabel("fraction of atoms")
    figure.savefig(task.results / "latent-compositions.png", dpi=100)

    some = fractions[rng.choice(len(fractions), min(4000, len(fractions)), replace=False)]
    places = TSNE(random_state=0, init="pca").fit_transform(latent.codes(some))
    figure, axes = plt.subplots(2, 4, figsize=(14, 7), layout="constrained", sharex=True, sharey=True)
    for axis, symbol in zip(axes.flat, ("O", "F", "S", "Li", "Fe", "Si", "Al", "La"), strict=True):
        holds = some[:, ELEMNET_ELEMENTS.index(ATOMIC_NUMBERS[symbol])] > 0
        axis.scatter(*places[~holds].T, s=2, color="0.8", lw=0)
        axis.scatter(*places[holds].T, s=3, color="C3", lw=0)
        axis.set(title=f"{symbol} ({holds.mean():.0%})", xticks=[], yticks=[])
    figure.savefig(task.results / "latent-map.png", dpi=100)


def main() -> None:
    task, given = job("latent", flags=("ship",))
    torch.set_num_threads(2)
    latent = learnt(task, given.ship)
    formulas, fractions = compositions(task)
    held_out = fractions[draws(formulas, "latent") < 0.05]
    described: dict[str, Description] = {
        "codes": latent.codes,
        "fractions": lambda given: given,
        "attributes": lambda given: ward_features(given),
    }
    figures: dict[str, Any] = {"held-out compositions": reconstruction(latent, held_out)}
    for name in (*TABLES, *CLASSES):
        *_, known = TABLES[name] if name in TABLES else CLASSES[name]
        figures[name] = {"published (composition and structure)": known} if known else {}
        data, values = compounds(name, task)
        inputs = {kind: describe(data.fractions) for kind, describe in described.items()}
        figures[name] |= judged(name, inputs, values, parts(data, Split()))
        show(name, [{"from": kind, **found} for kind, found in figures[name].items()])
    pictures(task, latent, held_out)
    task.publish(figures)


if __name__ == "__main__":
    main()
