"""The application and its commands."""

import importlib.metadata
from typing import Annotated

import typer

from matscreen.engine.cli import (
    distill,
    doctor,
    ebsd,
    evaluate,
    explain,
    predict,
    queue,
    reference,
    refine,
    report,
    results,
    scan,
    search,
    space,
    spectra,
    status,
    train,
    xrd,
)

app = typer.Typer(
    name="matscreen",
    help="Find the compositions worth a DFT calculation: enumerate, predict, compare with the convex hull, rank.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 done, 1 the job failed, 2 the input cannot be used, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"matscreen {importlib.metadata.version('matscreen')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Find the compositions worth a DFT calculation: enumerate, predict, compare with the convex hull, rank."""


app.command()(scan.scan)
app.command()(search.search)
app.command()(scan.resume)
app.command()(status.status)
app.command()(results.show)
app.command()(results.verify)
app.command()(report.report)
app.add_typer(queue.app, name="queue")
app.command()(queue.rescreen)
app.command()(refine.refine)
app.add_typer(ebsd.app, name="ebsd")
app.add_typer(xrd.app, name="xrd")
app.add_typer(spectra.app, name="spectra")
app.command()(predict.predict)
app.command()(explain.explain)
app.command()(space.space)
app.add_typer(reference.app, name="reference")
app.command()(train.train)
app.command()(distill.distill)
app.command()(evaluate.evaluate)
app.command()(doctor.doctor)
