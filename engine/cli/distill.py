"""`matscreen distill`: students that make scans with a model faster."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import say
from matscreen.engine.cli.training_bar import TrainingBar
from matscreen.engine.distill import compositions, systems
from matscreen.engine.distill import distill as distill_model
from matscreen.engine.distill.student import Report
from matscreen.models import load


def distill(
    model: Annotated[str, typer.Argument(help="The model to make students of: a path to its .safetensors file.")],
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    samples: Annotated[
        int, typer.Option(help="Random compositions for one student to learn; the other learns 2.7 times as many.")
    ] = 4_000_000,
    calibrate: Annotated[int, typer.Option(help="Others to measure their bands on.")] = 10_000_000,
    seed: Annotated[
        int, typer.Option(min=0, max=o.LARGEST_SEED, help="Of the samples and the students' first weights.")
    ] = 0,
) -> None:
    """Train small networks that predict what a model would, for the first pass of its scans.

    They lie beside the model; `matscreen scan` then asks the model itself only about compositions that no student puts
    clearly above the threshold. `scan --exact` does without them.
    """
    network = load(model, with_student=False)
    o.check_writable(network)
    phases = o.open_reference(reference, formula_column, energy_column, say)
    own, of_systems = replace(compositions.RECIPE, seed=seed), replace(systems.RECIPE, seed=seed)
    with ExitStack() as bars:

        def bar(epochs: int) -> Report:
            bars.pop_all().close()
            return bars.enter_context(TrainingBar(epochs)).update

        taught = distill_model(network, phases, samples, calibrate, own, of_systems, report=bar, say=say)
    for student in (taught.systems, taught.student):
        assert student
        print(f"student {student.model.name}")
        for name, value in student.model.card["distillation"].items():
            print(f"{name} {value}")
