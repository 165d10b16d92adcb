"""Formation energies to learn from: read, cleaned as published, and split by seed."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays

PLAUSIBLE = 1000.0
"""eV/atom; no formation energy comes near, but other units and accidents do."""

FORMULA = "formula"
ENERGY = "formation_energy_ev_atom"


class DataError(InputError):
    """A table that cannot be used; the message names file, row and column."""


@dataclass(frozen=True)
class Dataset:
    """Compositions and their formation energies.

    Attributes
    ----------
    formulas : (N,) list of str
    fractions : (N, 86) float32, fraction of atoms by ElemNet's elements
    energies : (N,) float32, eV/atom
    """

    formulas: list[str]
    fractions: np.ndarray
    energies: np.ndarray

    def __len__(self) -> int:
        return len(self.formulas)


def read_table(path: Path, formula: str = FORMULA, energy: str = ENERGY) -> tuple[list[str], np.ndarray]:
    """Formulas and energies (float64, eV/atom) from a CSV or Parquet file.

    Raises
    ------
    DataError
        Missing file or column, a value that is no finite number (with its row, the first data row being 1).
    """
    table = read_columns(path, (formula, energy))
    formulas = text_column(table, formula, path)
    energies = np.array(
        [
            _number(value, f"{path}: row {row} ({text}): {energy}")
            for row, (text, value) in enumerate(zip(formulas, table[energy].to_pylist(), strict=True), start=1)
        ]
    )
    for row, (text, value) in enumerate(zip(formulas, energies, strict=True), start=1):
        if not text:
            raise DataError(f"{path}: row {row}: empty formula in column {formula!r}")
        if not abs(value) <= PLAUSIBLE:
            what = "no energy a formation can have" if np.isfinite(value) else "not a finite number"
            raise DataError(f"{path}: row {row} ({text}): {energy} is {value:g} eV/atom, {what}")
    return formulas, energies.astype(np.float64)


def read_columns(path: Path, columns: Iterable[str]) -> pa.Table:
    """A CSV or Parquet file that has these columns, each once; DataError if it is not."""
    if not path.is_file():
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


def fraction_matrix(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """(N, 86) float32 element fractions from (N, K) atomic numbers and (N, K) amounts.

    DataError if a composition holds an element that ElemNet has no input for.
    """
    column = np.full(len(SYMBOLS), -1, np.int64)
    column[list(ELEMNET_ELEMENTS)] = np.arange(len(ELEMNET_ELEMENTS))
    row, place = np.nonzero(elements)
    z = elements[row, place]
    if (column[z] < 0).any():
        bad = int(row[column[z] < 0][0])
        raise DataError(f"row {bad + 1}: {SYMBOLS[int(z[column[z] < 0][0])]} is not one of ElemNet's 86 elements")
    fractions = np.zeros((len(elements), len(ELEMNET_ELEMENTS)))
    fractions[row, column[z]] = amounts[row, place]
    fractions /= fractions.sum(axis=1, keepdims=True)
    return fractions.astype(np.float32)


def sparse_rows(fractions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) uint8 atomic numbers and (N, K) fractions, 0 in empty places: the inverse of `fraction_matrix`."""
    present = fractions > 0
    width = int(present.sum(axis=1).max(initial=1))
    columns = np.argsort(~present, axis=1, kind="stable")[:, :width]
    amounts = np.take_along_axis(fractions, columns, axis=1)
    return np.where(amounts > 0, np.array(ELEMNET_ELEMENTS)[columns], 0).astype(np.uint8), amounts


def load_clean(path: Path) -> tuple[Dataset, dict[str, int]]:
    """Read `path` and clean it as published (Jha 2020, 3.3.2); also the number of rows each rule removed.

    Single elements go, then energies beyond five standard deviations of the mean; of one composition the lowest
    energy stays. (Elements that do not occur need no rule: their input weights are never touched.)
    """
    formulas, energies = read_table(path)
    try:
        elements, amounts = composition_arrays(formulas)
        fractions = fraction_matrix(elements, amounts)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    counts = {"rows": len(formulas)}

    keep = (elements > 0).sum(axis=1) > 1
    if not keep.any():
        raise DataError(f"{path}: holds no compound")
    counts["single_elements"] = int((~keep).sum())
    inside = np.abs(energies - energies[keep].mean()) <= 5 * energies[keep].std()
    counts["beyond_five_sigma"] = int((keep & ~inside).sum())
    keep &= inside

    # Lowest energy first, so that the first of each group of equal fraction vectors is the one to keep.
    index = np.flatnonzero(keep)
    index = index[np.argsort(energies[index], kind="stable")]
    _, first = np.unique(np.round(fractions[index], 6), axis=0, return_index=True)
    counts["duplicate_compositions"] = len(index) - len(first)
    index = np.sort(index[first])
    counts["kept"] = len(index)
    return Dataset([formulas[i] for i in index], fractions[index], energies[index].astype(np.float32)), counts


def split(data: Dataset, seed: int, test: float = 0.10, validation: float = 0.05) -> dict[str, np.ndarray]:
    """Row indices of the parts `train`, `validation` and `test`.

    A composition's part depends only on its formula and the seed (a hash), so a compound held out stays held out when
    the table grows or its rows move.
    """
    draw = (
        np.array(
            [
                int.from_bytes(hashlib.blake2b(f"{seed}:{formula}".encode(), digest_size=8).digest())
                for formula in data.formulas
            ]
        )
        / 2.0**64
    )
    return {
        "test": np.flatnonzero(draw < test),
        "validation": np.flatnonzero((draw >= test) & (draw < test + validation)),
        "train": np.flatnonzero(draw >= test + validation),
    }
