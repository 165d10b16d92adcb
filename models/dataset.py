"""Formation energies to learn from: read, cleaned as published, and split by seed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays

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
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    try:
        table = (pa.parquet.read_table if path.suffix == ".parquet" else pa.csv.read_csv)(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not readable as {path.suffix or 'CSV'}: {str(error).splitlines()[0]}") from None
    for column in (formula, energy):
        if column not in table.column_names:
            raise DataError(f"{path}: no column {column!r}; it has {', '.join(map(repr, table.column_names))}")
    try:
        energies = table[energy].cast(pa.float64()).to_numpy()
        formulas = table[formula].cast(pa.string()).to_pylist()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: column {energy!r} holds something else than numbers: {error}") from None
    for row, (text, value) in enumerate(zip(formulas, energies, strict=True), start=1):
        if not text:
            raise DataError(f"{path}: row {row}: empty formula in column {formula!r}")
        if not np.isfinite(value):
            raise DataError(f"{path}: row {row} ({text}): {energy} is {value}, not a finite number")
    return formulas, energies


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
