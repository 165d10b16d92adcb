"""Tables of formulas and numbers from CSV and Parquet files, read without trust."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from matscreen.models.errors import InputError
from matscreen.models.files import is_file

PLAUSIBLE = 1000.0
"""eV/atom; no formation energy comes near, but other units and accidents do."""

FORMULA = "formula"
ENERGY = "formation_energy_ev_atom"


class DataError(InputError):
    """A table that cannot be used; the message names file, row and column."""


def read_table(path: Path, formula: str = FORMULA, energy: str = ENERGY) -> tuple[list[str], np.ndarray]:
    """Formulas and energies (float64, eV/atom) from a CSV or Parquet file.

    Raises
    ------
    DataError
        Missing file or column, a value that is no finite number (with its row, the first data row being 1).
    """
    table = read_columns(path, (formula, energy))
    formulas = text_column(table, formula, path)
    return formulas, number_column(table, energy, formulas, path, "eV/atom")


def number_column(
    table: pa.Table, column: str, formulas: list[str], path: Path, unit: str = "", missing: bool = False
) -> np.ndarray:
    """A column as (N,) float64; NaN for an empty value if some may be `missing`.

    DataError names the row (from 1) of a value that is no finite number or, in eV/atom, no energy a formation can have.
    """
    values = np.empty(len(formulas))
    for row, (text, value) in enumerate(zip(formulas, table[column].to_pylist(), strict=True)):
        where = f"{path}: row {row + 1} ({text}): {column}"
        if not text:
            raise DataError(f"{path}: row {row + 1}: empty formula")
        if missing and (value is None or value != value):
            values[row] = np.nan
            continue
        values[row] = _number(value, where)
        if not np.isfinite(values[row]):
            raise DataError(f"{where} is {values[row]:g} {unit}, not a finite number".replace("  ", " "))
        if unit == "eV/atom" and abs(values[row]) > PLAUSIBLE:
            raise DataError(f"{where} is {values[row]:g} eV/atom, no energy a formation can have")
    return values


def read_columns(path: Path, columns: Iterable[str]) -> pa.Table:
    """A CSV or Parquet file that has these columns, each once; DataError if it is not."""
    if not is_file(path):
        raise DataError(f"no such file: {path}")
    try:
        table = (pa.parquet.read_table if path.suffix.lower() == ".parquet" else pa.csv.read_csv)(path)
        names: list[str] = table.column_names
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as {path.suffix or 'CSV'}: {_said(error)}") from None
    for column in columns:
        times = names.count(column)
        if times != 1:
            has = "no" if times == 0 else str(times)
            raise DataError(f"{path}: {has} column {column!r}; it has {', '.join(map(repr, names))}")
    return table


def text_column(table: pa.Table, column: str, path: Path) -> list[str]:
    """A column as text; DataError if it is something else."""
    try:
        text: list[str] = table[column].cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: column {column!r} holds no text: {_said(error)}") from None
    return text


def _number(value: object, where: str) -> float:
    try:
        if isinstance(value, bool | None):
            raise TypeError
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        shown = "empty or NaN" if value is None else repr(value)
        raise DataError(f"{where} is {shown}, not a finite number") from None


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
