"""`matscreen evaluate`: a model's errors on a table of known values."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table, say
from matscreen.models import dataset
from matscreen.models.baselines import BASELINES, fitted
from matscreen.models.errors import InputError
from matscreen.models.evaluation import Part, predictions, report
from matscreen.models.pictures import parity_picture
from matscreen.models.split import Split, parts, split_of
from matscreen.models.tables import ENERGY

HEADERS = {"mae": "mean |error|", "percentile_90": "90% below", "mean_error": "mean error", "roc_auc": "ROC AUC"}


def evaluate(
    data: Annotated[Path, typer.Option(help="CSV or Parquet with columns formula and what the model predicts.")],
    model: o.ModelOrNone = None,
    part: Annotated[
        Part,
        typer.Option(
            help="Which compounds: test and validation are those that the model's training did not learn from."
        ),
    ] = "all",
    seed: Annotated[
        int | None, typer.Option(min=0, max=o.LARGEST_SEED, help="Of another split than the model's own.")
    ] = None,
    show: Annotated[str | None, typer.Option("--property", help="Which one, if the model predicts several.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help=f"Instead of a model, fit one of {', '.join(BASELINES)} on the training part of the table."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Parity plot to write, .png.")] = None,
    form: o.Format = "table",
) -> None:
    """Compare a model's predictions with known values, overall and by kind of compound."""
    if picture and (picture.suffix != ".png" or not picture.parent.is_dir()):
        raise InputError(f"--picture must be a .png file in a folder that exists, not {picture}")
    chosen: Part
    if baseline:
        if model:
            raise InputError("give --model or --baseline, not both")
        name, chosen = baseline, part if part != "all" else "test"
        known, _ = dataset.load_clean(data, (show or ENERGY,))
        rows = parts(known, Split(seed or 0))
        for needed in ("train", chosen):
            if not len(rows[needed]):
                raise InputError(f"{data}: no compound in the part {needed!r}")
        learned = fitted(baseline, known, rows["train"], seed or 0)
        compounds = known.take(rows[chosen])
        predicted = learned(compounds.fractions)[:, None]
    else:
        network = o.open_model(model or o.DEFAULT_MODEL)
        name, chosen = network.name, part
        compounds, predicted = predictions(network, data, part, split_of(network.card) if seed is None else Split(seed))
    if not len(compounds):
        raise InputError(f"{data}: no compound in the part {chosen!r}")
    properties = compounds.target.properties
    if show and show not in properties:
        raise InputError(f"{name} predicts {compounds.target}, not {show}")
    output = properties.index(show) if show else 0
    errors = report(compounds, predicted, output)
    if not errors:
        raise InputError(f"{data}: {properties[output]} is unknown of all compounds in the part {chosen!r}")
    if form == "json":
        # A kind of which all compounds are of one class has no ROC curve; JSON knows no NaN.
        told = [{key: None if value != value else value for key, value in row.items()} for row in errors]
        json.dump(told, sys.stdout, indent=1, allow_nan=False)
        print()
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, list(errors[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(errors)
    else:
        headers = [HEADERS.get(key, key.replace("_", " ")) for key in errors[0]]
        rows_shown = [
            (row["compounds"], f"{row['number']:,}", *(f"{value:.4f}" for value in list(row.values())[2:]), "")
            for row in errors
        ]
        unit = " (eV/atom)" if properties[output] == ENERGY else f", {properties[output]}"
        print_table(f"{name} on {data.name}, {chosen}{unit}", (*headers, ""), rows_shown)
    if picture:
        if compounds.target.classes:
            raise InputError("--picture is for numbers; the picture beside a model of classes has its confusion")
        title = f"{name}: {len(compounds):,} compounds"
        known_there = ~np.isnan(compounds.values[:, output])
        true, found = compounds.values[known_there, output], predicted[known_there, output]
        parity_picture(true, found, picture, title, properties[output])
        say(f"picture in {picture}")
