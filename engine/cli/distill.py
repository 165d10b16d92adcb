"""`matscreen distill`: a student that makes scans with a model faster."""

from dataclasses import replace
from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import say
from matscreen.engine.cli.training_bar import TrainingBar
from matscreen.engine.distill import RECIPE
from matscreen.engine.distill import distill as distill_model
from matscreen.models import load


def distill(
    model: Annotated[str, typer.Argument(help="The model to make a student of: a path to its .safetensors file.")],
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    samples: Annotated[int, typer.Option(help="Random compositions for the student to learn.")] = 4_000_000,
    calibrate: Annotated[int, typer.Option(help="Others to measure its band on.")] = 10_000_000,
    seed: Annotated[
        int, typer.Option(min=0, max=o.LARGEST_SEED, help="Of the sample and the student's first weights.")
    ] = 0,
) -> None:
    """Train a small network that predicts what a model would, for the first pass of its scans.

    It lies beside the model; `matscreen scan` then asks the model itself only about compositions that the student does
    not put clearly above the threshold. `scan --exact` does without it.
    """
    network = load(model, with_student=False)
    o.check_writable(network)
    phases = o.open_reference(reference, formula_column, energy_column, say)
    recipe = replace(RECIPE, seed=seed)
    with TrainingBar(recipe.epochs) as bar:
        with_student = distill_model(network, phases, samples, calibrate, recipe, report=bar.update, say=say)
    assert with_student.student
    for name, value in with_student.student.model.card["distillation"].items():
        print(f"{name} {value}")
