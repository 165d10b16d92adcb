"""`matscreen predict`: formation energy and hull distance of formulas one has in mind."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_compositions, say
from matscreen.kernels.hull import MAX_ELEMENTS
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays, parse_formula
from matscreen.models.tables import read_columns, text_column


def predict(
    formulas: Annotated[list[str] | None, typer.Argument(help="Formulas, such as LiFePO4 'Ca(OH)2'.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file of formulas: text with one a line, or CSV/Parquet with such a column.")
    ] = None,
    file_column: Annotated[str, typer.Option(help="Column of that file that holds the formulas.")] = o.DEFAULT_FORMULA,
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    model: o.ModelName = o.DEFAULT_MODEL,
    form: o.Format = "table",
) -> None:
    """Predict formation energies, and compare them with the hull of known phases."""
    if bool(formulas) == (file is not None):
        raise InputError("give formulas, or --file with some")
    given = list(formulas or []) if file is None else _read_formulas(file, file_column)
    if not given:
        raise InputError(f"{file} holds no formula")
    try:
        elements, amounts = composition_arrays(given)
    except InputError as error:
        raise InputError(str(error) if file is None else f"{file}: {error}") from None
    for row in np.flatnonzero((elements > 0).sum(axis=1) > MAX_ELEMENTS).tolist():
        raise InputError(f"{given[row]}: more than {MAX_ELEMENTS} elements")
    network = o.open_model(model)
    energies, uncertainties = network.uncertain_energies(elements, amounts)
    phases = o.open_reference(reference, formula_column, energy_column, say)
    hull_energies, decompositions = phases.decompositions(elements, amounts)
    table = pa.table(
        {
            "formula": given,
            "formation_energy_ev_atom": energies,
            "uncertainty_ev_atom": pa.array(uncertainties) if uncertainties is not None else pa.nulls(len(given)),
            "hull_energy_ev_atom": hull_energies,
            "hull_distance_ev_atom": energies.astype(np.float64) - hull_energies,
            "decomposition": decompositions,
        }
    )
    print_compositions([table], form, f"Predicted by {network.name}, hull of {phases.name} (eV/atom)")


def _read_formulas(file: Path, column: str) -> list[str]:
    if file.suffix.lower() in (".csv", ".parquet"):
        return [text or "" for text in text_column(read_columns(file, [column]), column, file)]
    if not file.is_file():
        raise InputError(f"no such file: {file}")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no text: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            parse_formula(line or "H")
        except InputError as error:
            raise InputError(f"{file}: line {number}: {error}") from None
    return [line for line in lines if line]
