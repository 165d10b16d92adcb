"""`matscreen xrd symmetry`: space groups and crystal systems from powder patterns."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table, say
from matscreen.engine.xrd.background import without_envelope
from matscreen.engine.xrd.powder import resampled
from matscreen.models.errors import InputError, JobError
from matscreen.models.xrd.powder import SYSTEMS, load, system_probabilities

LISTED = 3
"""Space groups of each pattern."""
LARGEST = 50_000_000
"""Bytes of a pattern's file."""


def symmetry(
    files: Annotated[list[Path], typer.Argument(help="Patterns: text whose first two columns are 2θ and intensity.")],
    wavelength: Annotated[float, typer.Option(help="Å; that of Cu Kα by default.")] = 1.54184,
    model: Annotated[str, typer.Option(help="Network: powder-small, or a .safetensors file.")] = "powder-small",
    form: o.Format = "table",
) -> None:
    """Tell the likeliest space groups and the crystal system of powder patterns.

    A smooth background is taken off first. A pattern that cannot be used is told, and the others go on; the exit code
    is 1 then.
    """
    if not 0.01 < wavelength < 10:
        raise InputError(f"--wavelength takes Å, from 0.01 to 10, not {wavelength:g}")
    network = load(model)
    names: list[str] = []
    patterns: list[np.ndarray] = []
    for path in files:
        try:
            angles, intensities = read_pattern(path)
            less = np.maximum(without_envelope(intensities[None])[0], 0)
            patterns.append(resampled(angles, less, wavelength))
            names.append(str(path))
        except InputError as error:
            say(f"{error}; left out" if str(path) in str(error) else f"{path}: {error}; left out")
    if not patterns:
        raise InputError("none of the files holds a pattern that can be used")
    chances = network.probabilities(np.array(patterns))
    systems = system_probabilities(chances, network.groups)
    rows: list[dict[str, Any]] = []
    for name, own, system in zip(names, chances, systems, strict=True):
        order = np.argsort(-own)[:LISTED]
        found = {int(network.groups[n]): round(float(own[n]), 3) for n in order}
        place = int(system.argmax())
        told = {"crystal_system": list(SYSTEMS)[place], "probability": round(float(system[place]), 3)}
        rows.append({"file": name, **told, "space_groups": found})
    _print(rows, form)
    if len(patterns) < len(files):
        raise JobError(f"{len(files) - len(patterns)} of {len(files)} files were left out")


def read_pattern(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """2θ in degrees, rising, and intensities (M,) of a text file, whose titles and comments tell nothing.

    InputError for what is no pattern.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is too large for a pattern")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        text = line.strip().replace(",", " ").replace(";", " ")
        if not text or not (text[0].isdigit() or text[0] in "+-."):
            continue
        try:
            rows.append([float(value) for value in text.split()[:2]])
        except ValueError:
            if not rows:  # a title, such as 2theta
                continue
            raise InputError(f"{path}, line {number}: not two numbers") from None
        if len(rows[-1]) < 2:
            raise InputError(f"{path}, line {number}: one number, where an angle and an intensity belong")
    values = np.array(rows).reshape(-1, 2)
    if len(values) < 2:
        raise InputError(f"{path}: no angles and intensities")
    _, first = np.unique(values[:, 0], return_index=True)
    return values[first, 0], values[first, 1]


def _print(rows: list[dict[str, Any]], form: str) -> None:
    if form == "json":
        json.dump(rows, sys.stdout, indent=1)
        print()
        return
    columns = ("file", "crystal_system", "probability", "space_groups")
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([*list(row.values())[:3], " ".join(map(str, row["space_groups"]))] for row in rows)
        return
    lines = []
    for row in rows:
        groups = " ".join(f"{group} ({chance:.0%})" for group, chance in row["space_groups"].items())
        lines.append((row["file"], f"{row['probability']:.2f}", f"{row['crystal_system']}: {groups}"))
    print_table("", ("file", "probability", "crystal system: space groups"), lines)
