"""Hold-outs of whole systems (Jha 2020, 3.3.7 and fig. 3.5): errors, and predicted hulls over the true ones.

Without every compound that holds both Ti and O; without every compound of Na, Fe, Mn and O alone.
"""

import itertools
import math
from typing import Any

import numpy as np

from bench.accuracy.common import Job, job, progress, show
from matscreen.kernels.hull import hull_energy
from matscreen.models.baselines import fitted
from matscreen.models.dataset import Dataset, fraction_matrix, load_clean, sparse_rows
from matscreen.models.elements import ATOMIC_NUMBERS, ELEMNET_ELEMENTS
from matscreen.models.fit import fit
from matscreen.models.pictures import figure, save_figure
from matscreen.models.recipe import DEFAULTS, Recipe
from matscreen.models.split import Split, parts

HOLD_OUTS = {
    "Ti-O": Split(elements=(8, 22)),
    "Na-Fe-Mn-O": Split(system=(8, 11, 25, 26)),
}
PUBLISHED = {
    "random forest, fractions": (0.323, 0.405),
    "random forest, attributes": (0.198, 0.179),
    "ElemNet": (0.138, 0.122),
}
DIAGRAMS = {"Ti-O": ("Ti", "O"), "Na-Fe-Mn-O": ("Na", "Mn", "O")}
ATOMS = 16
"""Most atoms of the compositions that a predicted hull is looked for among."""


def predictors(run: Job, data: Dataset, name: str, split: Split) -> dict[str, Any]:
    """{model: function from fractions (N, 86) to energies}, none of which has seen the system."""
    chosen = parts(data, split)
    known = np.concatenate([chosen["train"], chosen["validation"]])
    found: dict[str, Any] = {
        "random forest, fractions": fitted("random-forest-fractions", data, known),
        "random forest, attributes": fitted("random-forest-attributes", data, known),
    }
    for label, network in (("ElemNet", "elemnet"), ("pairnet", "pairnet")):
        recipe = DEFAULTS.get(network, Recipe())
        recipe = Recipe(**{**vars(recipe), "epochs": run.epochs(recipe.epochs)})
        out = run.work / f"{network}-without-{name}.safetensors"
        model = run.trained(out) or fit(
            network, run.data("oqmd_formation_energy.parquet"), out, recipe, progress(out.stem), split=split
        )
        found[label] = lambda fractions, model=model: model.energies(*sparse_rows(fractions))
    return found


def ratios(elements: int) -> np.ndarray:
    """(N, k) fractions of all reduced compositions of so many elements, or fewer of them, up to `ATOMS` atoms."""
    whole = [
        amounts
        for amounts in itertools.product(range(ATOMS + 1), repeat=elements)
        if 0 < sum(amounts) <= ATOMS and math.gcd(*amounts) == 1 and max(amounts) < sum(amounts)
    ]
    counts = np.array(whole, float)
    return counts / counts.sum(axis=1, keepdims=True)


def inside(data: Dataset, symbols: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Fractions (N, k) and energies of the known compounds of a chemical system."""
    columns = [ELEMNET_ELEMENTS.index(ATOMIC_NUMBERS[s]) for s in symbols]
    rows = np.flatnonzero(np.isclose(data.fractions[:, columns].sum(axis=1), 1, atol=1e-5))
    fractions = data.fractions[rows][:, columns].astype(np.float64)
    return fractions / fractions.sum(axis=1, keepdims=True), data.energies[rows].astype(np.float64)


def on_hull(fractions: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Rows that lie on the hull that they span with the elements."""
    return np.flatnonzero(energies <= hull_energy(fractions, fractions, energies) + 1e-9)


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) largest difference of a fraction from the nearest of the others; infinite if there are none."""
    apart: np.ndarray = np.abs(points[:, None] - others[None]).max(axis=2).min(axis=1, initial=np.inf)
    return apart


def embedded(fractions: np.ndarray, symbols: tuple[str, ...]) -> np.ndarray:
    """(N, 86) from fractions of a few elements."""
    numbers = np.tile(np.array([ATOMIC_NUMBERS[s] for s in symbols], np.uint8), (len(fractions), 1))
    matrix: np.ndarray = fraction_matrix(numbers, fractions)
    return matrix


def draw(run: Job, data: Dataset, name: str, models: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Predicted hulls over the true one; how many predicted stable compositions are near a truly stable one."""
    symbols = DIAGRAMS[name]
    known, energies = inside(data, symbols)
    true = on_hull(known, energies)
    grid = ratios(len(symbols))
    picture = figure(4.2 * len(models), 4.4)
    counts = {}
    for axes, (label, predict) in zip(np.atleast_1d(picture.subplots(1, len(models))), models.items(), strict=True):
        predicted = predict(embedded(grid, symbols)).astype(np.float64)
        stable = on_hull(grid, predicted)
        distance, missed = nearest(grid[stable], known[true]), nearest(known[true], grid[stable])
        counts[label] = {
            "stable by the model": len(stable),
            "of them within 3% of a stable compound": int((distance < 0.03).sum()),
            "stable compounds": len(true),
            "of them found": int((missed < 0.03).sum()),
        }
        if len(symbols) == 2:
            x = np.linspace(0, 1, 401)
            points = np.stack([1 - x, x], axis=1)
            axes.plot(x, hull_energy(points, known, energies), color="k", label="DFT hull")
            axes.plot(x, hull_energy(points, grid, predicted), color="C0", label="predicted hull")
            axes.plot(known[true][:, 1], energies[true], "ks", ms=5)
            axes.plot(grid[stable][:, 1], predicted[stable], "C0o", ms=5)
            axes.set(xlabel=f"fraction of {symbols[1]}", ylabel="formation energy (eV/atom)", title=label)
            axes.legend(frameon=False)
            continue
        corners = np.array([[0, 0], [1, 0], [0.5, math.sqrt(3) / 2]])
        axes.fill(*corners.T, facecolor="none", edgecolor="0.6")
        axes.plot(*(grid[stable] @ corners).T, "C0o", ms=5, label="stable by the model")
        axes.plot(*(known[true] @ corners).T, "ks", ms=9, mfc="none", label="stable in DFT")
        for corner, symbol in zip(corners, symbols, strict=True):
            axes.annotate(symbol, corner, ha="center", va="bottom" if corner[1] else "top")
        axes.set(title=label, aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.1, 1.0))
        axes.axis("off")
        axes.legend(frameon=False, loc="upper left", fontsize=8)
    picture.suptitle(f"{'-'.join(symbols)} predicted without {name} in training (thesis: fig. 3.5)")
    save_figure(picture, run.results / f"holdout-{name}.png")
    return counts


def main() -> None:
    run, _ = job("holdouts")
    data, _ = load_clean(run.data("oqmd_formation_energy.parquet"))
    rows: list[dict[str, Any]] = []
    diagrams = {}
    for column, (name, split) in enumerate(HOLD_OUTS.items()):
        chosen = parts(data, split)
        models = predictors(run, data, name, split)
        true = data.energies[chosen["test"]]
        for label, predict in models.items():
            rows.append(
                {
                    "model": label,
                    "held out": name,
                    "compounds": len(true),
                    "MAE": float(np.abs(predict(data.fractions[chosen["test"]]) - true).mean()),
                    "thesis MAE": PUBLISHED[label][column] if label in PUBLISHED else None,
                    "mean deviation of the compounds": float(np.abs(true - true.mean()).mean()),
                    "training compounds": len(chosen["train"]),
                }
            )
        diagrams[name] = draw(run, data, name, models)
    show("Hold-outs (eV/atom)", rows)
    run.publish({"rows": rows, "diagrams": diagrams})


if __name__ == "__main__":
    main()
