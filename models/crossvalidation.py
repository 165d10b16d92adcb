"""k-fold cross-validation: every compound is predicted once by a model that did not learn from it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.catalogue import load
from matscreen.models.errors import InputError
from matscreen.models.files import checksum, write_atomically
from matscreen.models.fit import fit, write_table
from matscreen.models.loop import Progress
from matscreen.models.model import Model
from matscreen.models.recipe import Recipe
from matscreen.models.split import Split
from matscreen.models.tables import ENERGY


def crossvalidate(
    architecture: str,
    data_path: Path,
    out: Path,
    recipe: Recipe,
    folds: int,
    report: Callable[[int, int, Progress], None] = lambda _fold, _member, _progress: None,
    start: Model | None = None,
    properties: tuple[str, ...] = (ENERGY,),
    members: int = 1,
) -> dict[str, Any]:
    """Train a model a fold; returns the mean and standard deviation over the folds of every figure of their cards.

    The models are `out` with .fold1, .fold2, …; `out` itself with .held_out.parquet has what each predicted for its own
    part, and with .folds.json what is returned. A fold whose model is there already, from the same data and recipe, is
    not trained again. InputError as in `fit`.
    """
    if not 2 <= folds <= 100:
        raise InputError(f"--folds takes a number from 2 to 100, not {folds}")
    models = []
    for fold in range(folds):
        split = Split(recipe.seed, folds, fold)
        file = out.with_suffix(f".fold{fold + 1}.safetensors")
        found = _finished(file, architecture, data_path, recipe, split, start, properties, members)
        models.append(
            found
            or fit(
                architecture,
                data_path,
                file,
                recipe,
                partial(report, fold),
                start,
                properties,
                split,
                members,
            )
        )
    tables = [pa.parquet.read_table(model.source.with_suffix(".held_out.parquet")) for model in models]
    marked = [table.append_column("fold", pa.array([n + 1] * len(table))) for n, table in enumerate(tables)]
    write_table(out.with_suffix(".held_out.parquet"), pa.concat_tables(marked))
    names = models[0].card["metrics"]
    figures = {name: np.array([model.card["metrics"].get(name, np.nan) for model in models]) for name in names}
    summary: dict[str, Any] = {
        "network": architecture,
        "folds": folds,
        "members": members,
        "data": models[0].card["data"] | {"split": {"folds": folds, "seed": recipe.seed}},
        "training": models[0].card["training"],
        "mean": {name: round(float(values.mean()), 5) for name, values in figures.items()},
        "standard_deviation": {name: round(float(values.std(ddof=1)), 5) for name, values in figures.items()},
    }
    text = json.dumps(summary, indent=2) + "\n"
    write_atomically(out.with_suffix(".folds.json"), lambda temporary: temporary.write_text(text))
    return summary


def _finished(
    file: Path,
    architecture: str,
    data: Path,
    recipe: Recipe,
    split: Split,
    start: Model | None,
    properties: tuple[str, ...],
    members: int,
) -> Model | None:
    """The model of a fold that an earlier call finished, if it is the one asked for."""
    if not file.is_file() or not file.with_suffix(".held_out.parquet").is_file() or not data.is_file():
        return None
    model = load(file)
    given = asdict(replace(recipe, start=start.checksum if start else ""))
    kept = json.loads(json.dumps({"training": given, "split": asdict(split)}))
    same = (
        model.card.get("network") == architecture
        and model.card["data"]["sha256"] == checksum(data)
        and all(model.card["training"].get(name) == value for name, value in kept["training"].items())
        and all(model.card["data"]["split"].get(name) == value for name, value in kept["split"].items())
        and len(model.members) == members
        and model.target.properties == properties
        and (start is not None or _as_planned(model, architecture))
    )
    if not same:
        raise InputError(f"{file} is of another recipe, network or data set; remove it or train elsewhere")
    return model


def _as_planned(model: Model, architecture: str) -> bool:
    """Whether its layers are those that a network of this name has today."""
    plan, member = ARCHITECTURES[architecture], model.members[0]
    tables = member.encoding.tables
    widths = (tables.linear.shape[1], tables.stoichiometry.shape[1]) if tables else (0, 0)
    layers = tuple(len(bias) for bias in member.layers.biases[:-1])
    return layers == plan.widths and widths == (plan.embedding, plan.stoichiometry)
