"""`matscreen evaluate`: a model's errors on a table of known formation energies."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table, say
from matscreen.models.errors import InputError
from matscreen.models.evaluation import Part, predictions, report
from matscreen.models.parity import parity_plot


def evaluate(
    data: Annotated[Path, typer.Option(help="CSV or Parquet with columns formula and formation_energy_ev_atom.")],
    model: o.ModelName = o.DEFAULT_MODEL,
    part: Annotated[
        Part, typer.Option(help="Which compounds: test and validation are those that a training did not learn from.")
    ] = "all",
    seed: Annotated[int, typer.Option(help="Of the training whose parts are meant.")] = 0,
    picture: Annotated[Path | None, typer.Option(help="Parity plot to write, .png.")] = None,
    form: o.Format = "table",
) -> None:
    """Compare a model's predictions with known formation energies, overall and by kind of compound."""
    if picture and (picture.suffix != ".png" or not picture.parent.is_dir()):
        raise InputError(f"--picture must be a .png file in a folder that exists, not {picture}")
    network = o.open_model(model)
    compounds, predicted = predictions(network, data, part, seed)
    if not len(compounds):
        raise InputError(f"{data}: no compound in the part {part!r}")
    errors = report(compounds, predicted)
    if form == "json":
        json.dump(errors, sys.stdout, indent=1)
        print()
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, list(errors[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(errors)
    else:
        headers = ("compounds", "number", "mean |error|", "median", "90% below", "RMSE", "mean error", "")
        rows = [
            (row["compounds"], f"{row['number']:,}", *(f"{value:.4f}" for value in list(row.values())[2:]), "")
            for row in errors
        ]
        print_table(f"{network.name} on {data.name}, {part} (eV/atom)", headers, rows)
    if picture:
        parity_plot(compounds.energies, predicted, picture, f"{network.name}: {len(compounds):,} compounds")
        say(f"picture in {picture}")
