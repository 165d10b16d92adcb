"""`matscreen predict`: formation energy and hull distance of formulas one has in mind."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_compositions, say
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays


def predict(
    formulas: Annotated[list[str] | None, typer.Argument(help="Formulas, such as LiFePO4 'Ca(OH)2'.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file of formulas: text with one a line, or CSV/Parquet with such a column.")
    ] = None,
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    model: o.ModelName = o.DEFAULT_MODEL,
    form: o.Format = "table",
) -> None:
    """Predict formation energies, and compare them with the hull of known phases."""
    given = list(formulas or []) + (_read_formulas(file, formula_column) if file else [])
    if not given:
        raise InputError("give formulas, or --file with some")
    try:
        elements, amounts = composition_arrays(given)
    except InputError as error:
        raise InputError(f"{file}: {error}" if file and not formulas else str(error)) from None
    network = o.open_model(model)
    energies = network.energies(elements, amounts)
    phases = o.open_reference(reference, formula_column, energy_column, say)
    hull_energies, decompositions = phases.decompositions(elements, amounts)
    table = pa.table(
        {
            "formula": given,
            "formation_energy_ev_atom": energies,
            "hull_energy_ev_atom": hull_energies,
            "hull_distance_ev_atom": energies.astype(np.float64) - hull_energies,
            "decomposition": decompositions,
        }
    )
    print_compositions(table, form, f"Predicted by {network.name}, hull of {phases.name} (eV/atom)")


def _read_formulas(file: Path, column: str) -> list[str]:
    if not file.is_file():
        raise InputError(f"no such file: {file}")
    try:
        if file.suffix == ".parquet":
            table = pa.parquet.read_table(file)
        elif file.suffix == ".csv":
            table = pa.csv.read_csv(file)
        else:
            return [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    if column not in table.column_names:
        raise InputError(f"{file}: no column {column!r}; it has {', '.join(map(repr, table.column_names))}")
    return [str(value) for value in table[column].to_pylist()]
