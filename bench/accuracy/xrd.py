"""Phase regions from raw diffraction images of a simulated wafer, as fig. 7.7 and 7.4.4 of Jha 2020 have them.

PADNet learns from raw images, from I − MF or from I − CS, and is judged on all three, with and without the composition.
Beside it classifiers of integrated patterns. Ten parts, each region spread over
all. Every training's answers are kept, so that the command goes on where it was interrupted.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
import torch

from bench.accuracy.common import Job, job, progress, show
from matscreen.engine.xrd.background import Removal, without_envelope
from matscreen.engine.xrd.geometry import integrated, read_geometry
from matscreen.engine.xrd.regions import confusion, phase_map
from matscreen.engine.xrd.samples import Listed, load, read_samples
from matscreen.engine.xrd.wafer_files import write_wafer
from matscreen.models.xrd.network import PADNet
from matscreen.models.xrd.training import RegionRecipe, Samples, areas_of, fit, folds, untrained

PIXELS, EPOCHS, PATIENCE, PARTS = 256, 30, 10, 10
KINDS: dict[str, Removal | None] = {"I": None, "I-MF": "I-MF", "I-CS": "I-CS"}
POINTS = {"slac": 931, "nist": 2501}
"""Of the integrated patterns, as published."""
PUBLISHED = {"slac": 0.3478, "nist": 0.8380}, {"slac": 0.7080, "nist": 0.8403}
"""AdaBoost of integrated patterns, without and with the composition."""


@dataclass(frozen=True)
class Wafer:
    """One instrument's images, each kind of them, and their parts."""

    name: str
    listed: Listed
    samples: dict[str, Samples]
    parts: list[np.ndarray]
    one_dimensional: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Of all samples."""
        return self.samples["I"].labels


def wafer_of(run: Job, name: str, pixels: int, parts: int) -> Wafer:
    """Simulated where it is not there yet."""
    folder = run.work / f"{name}-{pixels}"
    write_wafer(folder, name, pixels, 0, torch.get_num_threads())
    listed = read_samples(folder / "samples.csv")
    classes = tuple(sorted(set(listed.regions)))
    labels = np.array([classes.index(region) for region in listed.regions], np.int64)
    compositions = listed.compositions.astype(np.float32)
    samples = {}
    for kind, background in KINDS.items():
        images = np.stack([sample.images for sample in load(listed, background)])
        samples[kind] = Samples(images, compositions, labels, classes, listed.elements)
    geometries = [read_geometry(folder / f"frame_{n + 1}.poni") for n in range(listed.views)]
    points = POINTS[name] // listed.views
    lines = [
        np.concatenate([integrated(image, g, points)[1] for image, g in zip(images, geometries, strict=True)])
        for images in samples["I"].images
    ]
    return Wafer(name, listed, samples, folds(labels, parts, 0), np.array(lines))


class Judge:
    """Trains a network for each part and keeps what it says of the samples that it did not see."""

    def __init__(self, run: Job, wafer: Wafer, plan: str, recipe: RegionRecipe, composition: bool) -> None:
        self.run, self.wafer, self.plan, self.recipe, self.composition = run, wafer, plan, recipe, composition
        self.areas: dict[str, torch.Tensor | None] = {}

    def samples(self, kind: str) -> Samples:
        """With or without compositions."""
        whole = self.wafer.samples[kind]
        return whole if self.composition else replace(whole, compositions=whole.compositions[:, :0], elements=())

    def answers(self, learnt: str) -> np.ndarray:
        """(kinds, N) labels of networks that learnt from images of one kind, each judged on every kind."""
        named = "trained" if self.recipe.trained else "fixed", "composition" if self.composition else "images"
        shape, how = self.wafer.samples["I"].images.shape, self.recipe
        told = (shape, self.plan, how.epochs, how.patience, how.batch, how.learning_rate, how.l2, how.seed)
        which = hashlib.sha256(repr((told, [part.tolist() for part in self.wafer.parts])).encode()).hexdigest()[:8]
        key = "-".join((self.wafer.name, *named, learnt, which))
        kept = self.run.work / f"{key}.npy"
        found = np.load(kept) if kept.is_file() else np.full((len(KINDS), len(self.wafer.labels)), -1)
        for number, part in enumerate(self.wafer.parts):
            if (found[:, part] >= 0).all():
                continue
            out = self.run.work / f"{key}-{number}.safetensors"
            about = {"background": learnt, "background_size": 0, "masked_pixels": 0}
            shared = self._areas(learnt)
            model = fit(self.plan, self.samples(learnt), out, self.recipe, about, progress(key), part, shared)
            for place, kind in enumerate(KINDS):
                found[place, part] = self._judged(model.network, kind, part)
            np.save(kept, found)
            for path in self.run.work.glob(f"{key}-{number}.*"):
                path.unlink()
        return np.asarray(found)

    def _areas(self, kind: str) -> torch.Tensor | None:
        if kind not in self.areas:
            samples = self.samples(kind)
            network = untrained(self.plan, samples, self.recipe)
            self.areas[kind] = areas_of(network, samples)
        return self.areas[kind]

    def _judged(self, network: PADNet, kind: str, part: np.ndarray) -> np.ndarray:
        samples, areas = self.samples(kind), self._areas(kind)
        compositions = torch.from_numpy(samples.compositions[part])
        with torch.no_grad():
            device = next(network.parameters()).device
            if areas is not None:
                given = areas[torch.from_numpy(part)].float().to(device)
                logits = network.classify(given, compositions.to(device))
            else:
                logits = network(torch.from_numpy(samples.images[part]).to(device), compositions.to(device))
        return np.asarray(logits.argmax(dim=1).cpu())


def baselines(wafer: Wafer, quick: bool) -> Iterator[dict[str, Any]]:
    """Classifiers of integrated patterns, less a lower envelope or not, with and without the composition.

    Their settings are searched on what the first part learns from, and stay.
    """
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    def searched(model: Any, **grid: list[Any]) -> Any:
        return GridSearchCV(model, grid, cv=3)

    depths, rates = ([2], [1]) if quick else ([2, 4, 6, 10], [1, 0.1, 0.001])
    trees = [DecisionTreeClassifier(max_depth=depth, random_state=0) for depth in depths]
    models = {
        "AdaBoost": searched(
            AdaBoostClassifier(random_state=0), estimator=trees, learning_rate=rates, n_estimators=[10]
        ),
        "logistic regression": searched(LogisticRegression(max_iter=2000), C=[0.01, 0.1, 1]),
        "naive Bayes": GaussianNB(),
        "decision tree": searched(DecisionTreeClassifier(random_state=0), max_depth=depths),
        "SGD": searched(SGDClassifier(random_state=0), alpha=[1e-4, 1e-2, 1]),
    }
    raw = wafer.one_dimensional
    less = without_envelope(raw)
    compositions = wafer.samples["I"].compositions
    inputs = {
        "1D": raw,
        "1D less envelope": less,
        "1D less envelope, composition": np.hstack([less, compositions]),
        "composition alone": compositions,
    }
    for name, model in models.items():
        row: dict[str, Any] = {"instrument": wafer.name, "classifier": name}
        for what, given in inputs.items():
            each = []
            chosen = model
            for part in wafer.parts:
                learnt = np.setdiff1d(np.arange(len(given)), part)
                fitted = make_pipeline(StandardScaler(), chosen).fit(given[learnt], wafer.labels[learnt])
                each.append(float((fitted.predict(given[part]) == wafer.labels[part]).mean()))
                chosen = getattr(fitted[-1], "best_estimator_", chosen)
            row[what], row[f"{what}, ±"] = float(np.mean(each)), float(np.std(each))
        print(row, flush=True)
        yield row


def picture(run: Job, rows: list[dict[str, Any]]) -> None:
    """Bars as in fig. 7.7: what was learnt from, and what was judged on."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row["composition"]]
    groups = list(dict.fromkeys((row["instrument"], row["slopes"]) for row in shown))
    figure, axes = plt.subplots(1, len(groups), figsize=(4.4 * len(groups), 3.8), layout="constrained", squeeze=False)
    for panel, group in zip(axes[0], groups, strict=True):
        own = [row for row in shown if (row["instrument"], row["slopes"]) == group]
        for n, (kind, colour) in enumerate(zip(KINDS, ("#4477aa", "#ccbb44", "#aa3377"), strict=True)):
            places = np.arange(len(own)) + 0.27 * (n - 1)
            values, errors = [row[kind] for row in own], [row[f"{kind}, ±"] for row in own]
            panel.bar(places, values, 0.25, yerr=errors, color=colour, label=f"judged on {kind}", error_kw={"lw": 0.8})
        panel.set(xticks=range(len(own)), ylim=(0, 1.12), title=f"{group[0]}, slopes {group[1]}", ylabel="accuracy")
        panel.set_xticklabels([f"learnt from {row['learnt from']}" for row in own], fontsize=8)
    axes[0][0].legend(fontsize=8, loc="upper center", ncols=3)
    figure.savefig(run.results / "xrd.png", dpi=120)
    plt.close(figure)


def main() -> None:
    run, given = job("xrd", "pixels", "epochs", "only", flags=("trained",))
    pixels = int(given.pixels or (128 if run.quick else PIXELS))
    plan = "padnet" if pixels >= 1024 else "padnet-small"
    recipe = RegionRecipe(epochs=int(given.epochs or run.epochs(EPOCHS)), patience=PATIENCE)
    wafers = [
        wafer_of(run, name, pixels, 3 if run.quick else PARTS) for name in ([given.only] if given.only else POINTS)
    ]
    rows: list[dict[str, Any]] = []

    def judged(wafer: Wafer, how: RegionRecipe, learnt: str, composition: bool = True) -> np.ndarray:
        found = Judge(run, wafer, plan, how, composition).answers(learnt)
        row: dict[str, Any] = {"instrument": wafer.name, "learnt from": learnt}
        row |= {"slopes": "trained" if how.trained else "fixed", "composition": composition}
        for kind, labels in zip(KINDS, found, strict=True):
            each = [float((labels[part] == wafer.labels[part]).mean()) for part in wafer.parts]
            row |= {kind: float(np.mean(each)), f"{kind}, ±": float(np.std(each))}
        rows.append(row)
        print(row, flush=True)
        return found

    for wafer in wafers:
        answers = {learnt: judged(wafer, recipe, learnt) for learnt in KINDS}
        judged(wafer, recipe, "I", composition=False)
        if given.trained:
            for learnt in KINDS:
                judged(wafer, replace(recipe, trained=True), learnt)
        found, classes = answers["I"][0], wafer.samples["I"].classes
        title = f"{wafer.name}: raw images, {len(wafer.parts)}-fold"
        confusion(run.results / f"xrd-{wafer.name}-confusion.png", wafer.labels, found, classes, title)
        phase_map(run.results / f"xrd-{wafer.name}-map.png", wafer.listed, [classes[n] for n in found], title)
    if given.only:
        return
    columns = ("instrument", "slopes", "composition", "learnt from", *KINDS)
    show("accuracy", [{name: row[name] for name in columns} for row in rows])
    peers = [row for wafer in wafers for row in baselines(wafer, run.quick)]
    show("integrated patterns", [{k: v for k, v in row.items() if "±" not in k} for row in peers])
    picture(run, rows)
    told = {"AdaBoost of 1D patterns, published": PUBLISHED[0], "and with composition": PUBLISHED[1]}
    sizes = {"pixels": pixels, "plan": plan, "epochs": recipe.epochs, "patience": recipe.patience}
    run.publish({**sizes, "rows": rows, "1D": peers, **told, "PADNet, published": 0.84})


if __name__ == "__main__":
    main()
