"""Options that several commands share, and what they mean."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from matscreen.engine.reference import PhaseTable
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.hull import MAX_ELEMENTS
from matscreen.models import Model, load
from matscreen.models.catalogue import DEFAULT
from matscreen.models.errors import InputError
from matscreen.models.files import is_file

Elements = Annotated[
    str,
    typer.Argument(help="Symbols or groups, such as Li-Fe-P-O, '3d metals,O' or all (the 86 elements of ElemNet)."),
]
Arity = Annotated[str, typer.Option(help="Numbers of elements in a composition, such as 2,3,4 or 2-4.")]
MaxAtoms = Annotated[int, typer.Option(help="Most atoms in a formula unit.")]
Require = Annotated[str, typer.Option(help="Elements that every composition holds, such as O or Li,O.")]
Exclude = Annotated[str, typer.Option(help="Elements to leave out of the ones named.")]
ModelName = Annotated[str, typer.Option("--model", help="A model that ships, or a path to its .safetensors file.")]
ModelOrNone = Annotated[
    str | None,
    typer.Option("--model", help=f"A model that ships, or a path to its .safetensors file.  [default: {DEFAULT}]"),
]
"""For where another option may stand in its place."""
Reference = Annotated[
    str, typer.Option(help="Known phases: a named source (`matscreen reference list`) or a CSV or Parquet file.")
]
FormulaColumn = Annotated[str, typer.Option(help="Column of the reference file that holds the formulas.")]
EnergyColumn = Annotated[str, typer.Option(help="Column with formation energies, eV/atom relative to the elements.")]
Top = Annotated[
    int | None,
    typer.Option(min=0, help="Show so many candidates, best first. Default: 20 in a table, all in csv and json."),
]
Format = Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print.")]
Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Threads to work with. Default: all cores.")]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a running Dask scheduler to work on, such as tcp://host:8786.")
]
Slurm = Annotated[
    int,
    typer.Option(help="Start so many SLURM jobs to work on; Dask's configuration (jobqueue.slurm) says how."),
]
Cuda = Annotated[
    bool, typer.Option("--cuda", help="Work with a process for each GPU of this machine, as with --gpu bf16.")
]
Gpu = Annotated[
    Literal["fp32", "tf32", "bf16", "fp8"] | None,
    typer.Option(help="Predict on a CUDA device first, in this precision; the candidates stay the same."),
]
Then = Annotated[
    str, typer.Option(help="Command to run at the end; MATSCREEN_STATE, _RUN and _MESSAGE tell it how it went.")
]
Webhook = Annotated[str, typer.Option(help="Address that is called (POST, JSON) at the end.")]

ChargeBalanced = Annotated[
    bool,
    typer.Option(
        "--charge-balanced", help="List only what common oxidation states balance, electronegativities in order."
    ),
]
NoFBlock = Annotated[bool, typer.Option("--no-f-block", help="List nothing with a lanthanide or an actinide.")]
NoRadioactive = Annotated[
    bool, typer.Option("--no-radioactive", help="List nothing with an element that has no stable isotope.")
]
MaxPerSystem = Annotated[int, typer.Option(help="List so many of the best of each chemical system; 0: all.")]
Diverse = Annotated[
    bool, typer.Option("--diverse", help="List nothing whose fractions of atoms are within 0.1 of a better one's.")
]

LikelyFirst = Annotated[
    bool,
    typer.Option(
        "--likely-first",
        help="List first what most speaks for: analogues, balanced charges, common stoichiometries, sure predictions.",
    ),
]

Properties = Annotated[
    list[str] | None,
    typer.Option(
        "--property",
        help="Predict a property too and keep what has the values wanted, such as band_gap:1.0..1.6 or "
        "bulk_modulus:>200; no range keeps all. NAME@FILE is one of your own model. Give it as often as you like.",
    ),
]

LARGEST_SEED = 2**32 - 1
"""That NumPy and torch both take."""

DEFAULT_MODEL = DEFAULT
DEFAULT_REFERENCE = "oqmd-legacy"
DEFAULT_FORMULA = "formula"
DEFAULT_ENERGY = "formation_energy_ev_atom"


def make_space(elements: str, arity: str, max_atoms: int, require: str, exclude: str) -> CompositionSpace:
    """The space that the options describe; InputError in their terms."""
    try:
        ends = [[int(end) for end in part.split("-")] for part in arity.split(",")]
        if not all(1 <= end <= MAX_ELEMENTS for part in ends for end in part):
            raise ValueError
        numbers = [n for first, *last in ends for n in range(first, (*last, first)[0] + 1)]
    except ValueError:
        raise InputError(f"--arity takes numbers from 1 to {MAX_ELEMENTS} such as 2,3 or 2-4, not {arity!r}") from None
    if not numbers or any(len(end) > 2 for end in ends):
        raise InputError(f"--arity takes numbers such as 2,3 or 2-4, not {arity!r}")
    return CompositionSpace(elements, numbers, max_atoms, require, exclude)


def open_model(name: str) -> Model:
    """The model that `--model` names."""
    return load(name)


def check_writable(model: Model) -> None:
    """InputError unless something can be written beside the model."""
    if not os.access(model.source.parent, os.W_OK):
        raise InputError(f"cannot write beside {model.source}: copy the model and its card to a folder of yours")


def open_reference(name: str, formula: str, energy: str, say: Callable[[str], None]) -> PhaseTable:
    """The phases that `--reference` names: a source, or a file with these columns."""
    if Path(name).suffix or is_file(Path(name)):
        return PhaseTable.read(name, formula, energy)
    return PhaseTable.load(name, say)


def threads(workers: int | None) -> int:
    """As many as asked for, or all cores."""
    return workers or len(os.sched_getaffinity(0))
