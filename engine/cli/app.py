"""The application and its commands."""

import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "scan": "scan",
    "search": "search",
    "resume": "scan",
    "status": "status",
    "show": "results",
    "verify": "results",
    "report": "report",
    "queue": "queue",
    "rescreen": "queue",
    "refine": "refine",
    "ebsd": "ebsd",
    "xrd": "xrd",
    "spectra": "spectra",
    "predict": "predict",
    "explain": "explain",
    "space": "space",
    "reference": "reference",
    "train": "train",
    "distill": "distill",
    "guard": "guard",
    "evaluate": "evaluate",
    "doctor": "doctor",
}
"""Which module has which: its function of that name, or its `app` if it is named so itself."""


class _WhenAsked(Mapping[str, Any]):
    """Commands by name, each loaded when it is asked for: what the others stand on takes a second to load."""

    def __getitem__(self, name: str) -> Any:
        module = importlib.import_module(f"matscreen.engine.cli.{COMMANDS[name]}")
        if COMMANDS[name] == name and hasattr(module, "app"):
            command: Any = typer.main.get_group(module.app)
            command.name = name
            return command
        alone = typer.Typer(add_completion=False)
        alone.command(name)(getattr(module, name))
        return typer.main.get_command(alone)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def get(self, name: str, default: Any = None) -> Any:
        """What fails to load is no command that is missing."""
        return self[name] if name in COMMANDS else default

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(TyperGroup):
    """`COMMANDS`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        vars(self)["commands"] = _WhenAsked()

    def list_commands(self, _: Any) -> list[str]:
        """See click."""
        return list(COMMANDS)


app = typer.Typer(
    cls=_Commands,
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
