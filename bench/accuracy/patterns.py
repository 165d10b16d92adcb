"""The latent space of powder patterns: what comes back, its map, and what it tells (Korolev et al., S2, S5, table S3).

Patterns are of the likeliest prototype structures of compositions of the OQMD, of perovskites and of carbon. What the
codes are worth is seen where structures are known: the heats of formation of perovskites, by codes of compositions, of
patterns and of both; energies of carbon, all of one composition, by codes and by whole patterns. Where they are not,
codes of the likeliest structures stand in: properties of compounds by AFLOW.

    python -m bench.accuracy.patterns [--quick]         some 60 minutes on a core
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow.parquet as pq
from pymatgen.core import Structure
from sklearn.manifold import TSNE

from bench.accuracy.common import Job, job, progress, show
from bench.accuracy.latent import TABLES, compositions, compounds, judged
from bench.accuracy.trees import errors
from matscreen.engine.queue.decorate import proposals
from matscreen.engine.queue.prototypes import aflow
from matscreen.engine.xrd.crystals import symmetric
from matscreen.engine.xrd.powder import powder_vector
from matscreen.kernels.features import ward_features
from matscreen.models.dataset import fraction_matrix, load_clean
from matscreen.models.formula import composition_arrays
from matscreen.models.latent.training import RECIPES, Latent, fit, load
from matscreen.models.split import Split, draws, parts
from matscreen.models.xrd.powder import SYSTEMS, system_of

COUNT = 5000
"""Compositions of the OQMD and the Materials Project that a structure is looked for."""


def of_prototypes(kept: Path, formulas: list[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Patterns (N, 1601), space groups (N,) and formulas of the likeliest structures. Made once."""
    if not kept.is_file():
        known = aflow()
        group = {one.name: symmetric(one).space_group for one in known}
        patterns, groups, found = [], [], []
        for number, formula in enumerate(formulas):
            if proposed := proposals(formula, known, 1):
                patterns.append(powder_vector(proposed[0].structure))
                groups.append(group[proposed[0].prototype])
                found.append(formula)
            if number % 500 == 0:
                print(f"{kept.stem}: {number} compositions, {len(patterns)} structures", flush=True)
        np.savez(kept, patterns=np.array(patterns, np.float32), groups=groups, formulas=found)
    with np.load(kept, allow_pickle=False) as file:
        return file["patterns"], file["groups"], file["formulas"].tolist()


def of_structures(path: Path, value: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patterns (N, 1601), a column (N,), and fractions of atoms (N, 86) of published structures."""
    table = pq.read_table(path)
    structures = [Structure.from_str(text, "cif") for text in table["cif"].to_pylist()]
    patterns = np.array([powder_vector(one) for one in structures], np.float32)
    arrays = composition_arrays([one.composition.reduced_formula for one in structures])
    return patterns, table[value].to_numpy(), fraction_matrix(*arrays)


def comes_back(latent: Latent, patterns: np.ndarray) -> dict[str, float]:
    """How much of patterns comes back."""
    back = latent.decoded(latent.codes(patterns))
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(patterns, back, strict=True)]
    return {
        "correlation with what comes back, median": float(np.median(alike)),
        "a tenth is below": float(np.quantile(alike, 0.1)),
        "mean absolute error, of the highest peak": float(np.abs(back - patterns).mean()),
        "latent variables in use": float((latent.spread(patterns).mean(axis=0) < 0.5).sum()),
    }


def told_by(described: dict[str, np.ndarray], values: np.ndarray, names: list[str]) -> dict[str, dict[str, float]]:
    """Errors on a tenth held out, by description."""
    draw = draws(names, "0")
    test, validation = draw < 0.1, (draw >= 0.1) & (draw < 0.15)
    own = {"train": np.flatnonzero(~(test | validation)), "validation": validation, "test": test}
    return {kind: errors(inputs, values, own) for kind, inputs in described.items()}


def of_guessed(task: Job, latent: Latent) -> dict[str, dict[str, dict[str, float]]]:
    """Errors of what AFLOW and the Materials Project tell of compounds with known moduli, by description.

    Their structures are guessed: the likeliest prototype's.
    """
    listed, column, *_ = TABLES["bulk modulus, GPa"]
    formulas = load_clean(task.data(listed), (column,))[0].formulas
    patterns, _, guessed = of_prototypes(task.work / "aflow.npz", formulas)
    code = dict(zip(guessed, latent.codes(patterns), strict=True))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name in (*TABLES, "band gap > 0"):
        data, values = compounds(name, task)
        rows = np.flatnonzero([formula in code for formula in data.formulas])
        data, values = data.take(rows), values[rows]
        codes, pattern_codes = load("composition").codes(data.fractions), np.array([code[f] for f in data.formulas])
        attributes = ward_features(data.fractions)
        own = parts(data, Split())
        described = {
            "codes of compositions": codes,
            "codes of compositions and patterns": np.hstack([codes, pattern_codes]),
            "fractions": data.fractions,
            "fractions and codes of patterns": np.hstack([data.fractions, pattern_codes]),
            "attributes": attributes,
            "attributes and codes of patterns": np.hstack([attributes, pattern_codes]),
        }
        title = f"{name}, structures guessed"
        found = judged(name, described, values, own)
        show(title, [{"from": kind, **one} for kind, one in found.items()])
        figures[title] = {"compounds": {kind: len(of) for kind, of in own.items()}} | found
    return figures


def pictures(task: Job, latent: Latent, patterns: np.ndarray, groups: np.ndarray) -> None:
    """Patterns and what comes back (fig. S2), and the map of codes by crystal system (fig. S5)."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rng = np.random.default_rng(0)
    shown = patterns[rng.choice(len(patterns), 6, replace=False)]
    angles = np.linspace(10, 90, patterns.shape[1])
    figure, axes = plt.subplots(3, 2, figsize=(12, 7), layout="constrained", sharex=True, sharey=True)
    for axis, own, back in zip(axes.flat, shown, latent.decoded(latent.codes(shown)), strict=True):
        axis.plot(angles, own, lw=0.8, label="pattern")
        axis.plot(angles, -back, lw=0.8, label="what comes back, upside down")
    axes[0, 0].legend()
    figure.supxlabel("2θ, Cu Kα (degrees)")
    figure.supylabel("intensity")
    figure.savefig(task.results / "pattern-reconstruction.png", dpi=100)

    places = TSNE(random_state=0, init="pca").fit_transform(latent.codes(patterns))
    systems = system_of(groups)
    figure, axes = plt.subplots(2, 4, figsize=(14, 7), layout="constrained", sharex=True, sharey=True)
    for number, (axis, name) in enumerate(zip(axes.flat, SYSTEMS, strict=False)):
        own = systems == number
        axis.scatter(*places[~own].T, s=2, color="0.8", lw=0)
        axis.scatter(*places[own].T, s=3, color="C3", lw=0)
        axis.set(title=f"{name} ({own.mean():.0%})", xticks=[], yticks=[])
    axes.flat[-1].axis("off")
    figure.savefig(task.results / "pattern-map.png", dpi=100)


def main() -> None:
    task, _ = job("patterns")
    warnings.simplefilter("ignore")
    listed, _ = compositions(task)
    order = np.argsort(draws(listed, "patterns"))[: COUNT // 20 if task.quick else COUNT]
    patterns, groups, formulas = of_prototypes(task.work / "prototypes.npz", [listed[row] for row in order])
    perovskites = of_structures(task.data("structures/perov_5_test.parquet"), "heat_of_formation_all_ev_cell")
    carbons = of_structures(task.whole("structures/carbon_24_test.parquet"), "energy_per_atom_ev")
    names = [
        *formulas,
        *(f"perovskite {n}" for n in range(len(perovskites[0]))),
        *(f"carbon {n}" for n in range(len(carbons[0]))),
    ]
    whole = np.concatenate([patterns, perovskites[0], carbons[0]])
    held_out = draws(names, "0") < 0.1  # what properties are judged on
    recipe = replace(RECIPES["pattern"], epochs=task.epochs(RECIPES["pattern"].epochs))
    out = task.work / "pattern.safetensors"
    told = {"description": "powder patterns to 64 latent variables (Korolev et al., fig. S1)"}
    done = out.is_file() and out.with_suffix(".json").is_file()
    latent = load(out) if done else fit("pattern", whole, held_out, out, recipe, progress("pattern"), told)
    figures: dict[str, Any] = {"structures of prototypes": len(patterns), "epochs": recipe.epochs}
    own = np.split(np.arange(len(whole)), [len(patterns), len(patterns) + len(perovskites[0])])
    for kind, rows in zip(("prototypes", "perovskites", "carbon"), own, strict=True):
        figures[f"held-out patterns of {kind}"] = comes_back(latent, whole[rows[held_out[rows]]])
    code = latent.codes(whole)
    fractions = load("composition").codes(perovskites[2])
    described = {
        "codes of compositions": fractions,
        "codes of patterns": code[own[1]],
        "both": np.hstack([fractions, code[own[1]]]),
        "fractions": perovskites[2],
        "fractions and codes of patterns": np.hstack([perovskites[2], code[own[1]]]),
    }
    title = "heat of formation of perovskites, eV a cell"
    figures[title] = told_by(described, perovskites[1], [names[i] for i in own[1]])
    show(title, [{"from": kind, **errors} for kind, errors in figures[title].items()])
    title = "energy of carbon, eV/atom"
    described = {"codes of patterns": code[own[2]], "whole patterns": carbons[0]}
    figures[title] = told_by(described, carbons[1], [names[i] for i in own[2]])
    show(title, [{"from": kind, **errors} for kind, errors in figures[title].items()])
    figures |= of_guessed(task, latent)
    pictures(task, latent, patterns, groups)
    task.publish(figures)


if __name__ == "__main__":
    main()
