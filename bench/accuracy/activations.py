"""What a network has learnt (Jha 2020): activations for elements and AB compounds (fig. 3.6), and as features (5.9).

Principal components of layers 1, 2 and 8 for the elements, and for compounds of groups I and II with S or Cl; then a
logistic regression on the activations that tells measured metals from the others, a tenth of which is held out.
"""

from typing import Any

import numpy as np

from bench.accuracy.common import Job, job, show
from matscreen.models import Model, load
from matscreen.models.dataset import Dataset, fraction_matrix, load_clean
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.member import layer_outputs
from matscreen.models.metrics import roc_auc
from matscreen.models.pictures import figure, save_figure
from matscreen.models.split import Split, parts

LAYERS = (1, 2, 8)
GROUPS = {
    "I": "H Li Na K Rb Cs",
    "II": "Be Mg Ca Sr Ba",
    "XIII": "B Al Ga In Tl",
    "XIV": "C Si Ge Sn Pb",
    "XV": "N P As Sb Bi",
    "XVI": "O S Se Te",
    "XVII": "F Cl Br I",
}


def components(activations: np.ndarray) -> np.ndarray:
    """(N, 2): the two directions in which the rows differ most."""
    centred = activations - activations.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    scores: np.ndarray = left[:, :2] * singular[:2]
    return scores


def fractions_of(pairs: list[tuple[str, ...]]) -> np.ndarray:
    """(N, 86) of compounds with one atom of each element."""
    width = max(map(len, pairs))
    numbers = np.array([[ATOMIC_NUMBERS[s] for s in pair] + [0] * (width - len(pair)) for pair in pairs])
    order = np.argsort(np.where(numbers == 0, 200, numbers), axis=1)
    numbers = np.take_along_axis(numbers, order, axis=1)
    matrix: np.ndarray = fraction_matrix(numbers, (numbers > 0).astype(float))
    return matrix


def draw(run: Job, model: Model) -> None:
    """Fig. 3.6 for `model`."""
    group_of = {symbol: group for group, symbols in GROUPS.items() for symbol in symbols.split()}
    elements = [symbol for symbols in GROUPS.values() for symbol in symbols.split()]
    compounds = [(metal, other) for other in ("S", "Cl") for g in ("I", "II") for metal in GROUPS[g].split()]
    rows = (
        ([(symbol,) for symbol in elements], elements, [group_of[s] for s in elements]),
        (compounds, ["".join(pair) for pair in compounds], [f"{group_of[m]}-{group_of[o]}" for m, o in compounds]),
    )
    drawn = figure(4.4 * len(LAYERS), 8.4)
    grid = drawn.subplots(2, len(LAYERS))
    for line, (pairs, names, kinds) in enumerate(rows):
        outputs = layer_outputs(model.members[0], fractions_of(pairs))
        for axes, layer in zip(grid[line], LAYERS, strict=True):
            points = components(outputs[min(layer, len(outputs) - 2)])
            for number, kind in enumerate(dict.fromkeys(kinds)):
                chosen = [i for i, k in enumerate(kinds) if k == kind]
                axes.scatter(*points[chosen].T, s=14, color=f"C{number}", label=kind)
                for i in chosen:
                    axes.annotate(names[i], points[i], fontsize=7, color=f"C{number}")
            axes.set(title=f"layer {min(layer, len(outputs) - 2)}", xticks=[], yticks=[])
        grid[line][0].legend(frameon=False, fontsize=7)
    drawn.suptitle(f"Principal components of the activations of {model.name} (thesis: fig. 3.6)")
    save_figure(drawn, run.results / f"activations-{model.name}.png")


def separation(model: Model) -> dict[str, float]:
    """Share of the variance of the elements' two principal components that lies between groups, by layer."""
    elements = [(symbol,) for symbols in GROUPS.values() for symbol in symbols.split()]
    group = np.array([g for g, symbols in GROUPS.items() for _ in symbols.split()])
    outputs = layer_outputs(model.members[0], fractions_of(elements))
    found = {}
    for layer in LAYERS:
        points = components(outputs[min(layer, len(outputs) - 2)])
        total = ((points - points.mean(axis=0)) ** 2).sum()
        within = sum(((points[group == g] - points[group == g].mean(axis=0)) ** 2).sum() for g in GROUPS)
        found[f"layer {min(layer, len(outputs) - 2)}"] = float(1 - within / total)
    return found


def classified(model: Model | None, data: Dataset) -> list[dict[str, Any]]:
    """AUC of a logistic regression on each layer's activations; without a model, on the fractions themselves."""
    from sklearn.linear_model import LogisticRegression

    chosen = parts(data, Split())
    known = np.concatenate([chosen["train"], chosen["validation"]])
    label = data.values[:, 0] == data.target.classes.index("true")
    inputs = [data.fractions.astype(float)] if model is None else layer_outputs(model.members[0], data.fractions)[1:-1]
    rows = []
    for layer, values in enumerate(inputs, start=1):
        scale = values[known].std(axis=0)
        standard = (values - values[known].mean(axis=0)) / np.where(scale > 0, scale, 1)
        regression = LogisticRegression(C=0.01 if model else 1.0, max_iter=500).fit(standard[known], label[known])
        score = regression.decision_function(standard[chosen["test"]])
        rows.append(
            {
                "features": f"{model.name}, layer {layer}" if model else "fractions",
                "width": values.shape[1],
                "ROC AUC": roc_auc(label[chosen["test"]], score),
            }
        )
    return rows


def main() -> None:
    run, _ = job("activations")
    data, _ = load_clean(run.data("properties/is_metal_expt.parquet"), ("is_metal",))
    rows, groups = classified(None, data), {}
    for name in ("elemnet-oqmd", "pairnet-oqmd"):
        model = load(name)
        draw(run, model)
        groups[name] = separation(model)
        rows += classified(model, data)
    show(f"Telling metals apart: {len(data):,} measured compounds", rows)
    run.publish({"metals": rows, "share of variance between groups of elements": groups})


if __name__ == "__main__":
    main()
