"""What to learn from: compositions and their properties, read and cleaned as published."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.formula import composition_arrays
from matscreen.models.tables import ENERGY, FORMULA, DataError, number_column, read_columns, text_column
from matscreen.models.target import FORMATION_ENERGY, Target

STRAY = 10.0
"""eV/atom; no table of formation energies has its median beyond, one in kJ/mol has."""


@dataclass(frozen=True)
class Dataset:
    """Compositions and what is known of them.

    Attributes
    ----------
    formulas : (N,) list of str
    fractions : (N, 86) float32, fraction of atoms by ElemNet's elements
    values : (N, P) float32, a column a property of `target`, NaN where unknown; for a class its number
    target : what the values are
    """

    formulas: list[str]
    fractions: np.ndarray
    values: np.ndarray
    target: Target = FORMATION_ENERGY

    def __len__(self) -> int:
        return len(self.formulas)

    @property
    def energies(self) -> np.ndarray:
        """(N,) the first property: the formation energy in eV/atom, unless others were asked for."""
        first: np.ndarray = self.values[:, 0]
        return first

    def take(self, rows: np.ndarray) -> "Dataset":
        """These rows, in this order."""
        return Dataset([self.formulas[i] for i in rows], self.fractions[rows], self.values[rows], self.target)


def load_clean(
    path: Path, properties: tuple[str, ...] = (ENERGY,), classes: tuple[str, ...] | None = None
) -> tuple[Dataset, dict[str, int]]:
    """Read `path` and clean it; also the number of rows each rule removed.

    Formation energies as published (Jha 2020, 3.3.2): single elements go, then energies beyond five standard deviations
    of the mean; of one composition the row with the lowest energy stays. (Elements that do not occur need no rule:
    their input weights are never touched.) Without them elements stay, and of one composition each property's median.

    A single column of text or of true and false holds classes; a composition given with two of them goes. `classes`
    says which are known, in order, or that none are meant (empty); by default they are those that the column holds.
    Of several properties some may be unknown of a compound; one of which nothing is known goes.

    DataError for a table that cannot be used: the message names row and column.
    """
    table = read_columns(path, (FORMULA, *properties))
    formulas = text_column(table, FORMULA, path)
    for row, text in enumerate(formulas, start=1):
        if not text:
            raise DataError(f"{path}: row {row}: empty formula")
    values, found = _values(table, properties, formulas, path, classes)
    try:
        elements, amounts = composition_arrays(formulas)
        fractions = fraction_matrix(elements, amounts)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    counts = {"rows": len(formulas)}
    target = Target(properties, found)
    keep = ~np.isnan(values).all(axis=1)
    if not keep.all():
        counts["nothing_known"] = int((~keep).sum())
    if target.energy is not None:
        energies = values[:, target.energy]
        if np.median(np.abs(energies)) > STRAY:
            raise DataError(f"{path}: half of {ENERGY} is beyond ±{STRAY:g} eV/atom: another unit, or total energies?")
        keep = (elements > 0).sum(axis=1) > 1
        if not keep.any():
            raise DataError(f"{path}: holds no compound")
        counts["single_elements"] = int((~keep).sum())
        inside = np.abs(energies - energies[keep].mean()) <= 5 * energies[keep].std()
        counts["beyond_five_sigma"] = int((keep & ~inside).sum())
        keep &= inside
    index = np.flatnonzero(keep)
    index, values = _one_each(index, np.round(fractions[index], 6), values, target)
    counts["duplicate_compositions"] = int(keep.sum()) - len(index)
    counts["kept"] = len(index)
    return Dataset([formulas[i] for i in index], fractions[index], values.astype(np.float32), target), counts


def _values(
    table: pa.Table, properties: tuple[str, ...], formulas: list[str], path: Path, known: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, P) float64 of the columns, and the classes if the one column holds some."""
    kind = table.schema.field(properties[0]).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if known and not text:
        raise DataError(f"{path}: {properties[0]} holds no classes; {', '.join(known)} are to be told apart")
    if len(properties) == 1 and text and properties != (ENERGY,) and known != ():
        labels = text_column(table, properties[0], path)
        for row, label in enumerate(labels, start=1):
            if not label:
                raise DataError(f"{path}: row {row} ({formulas[row - 1]}): empty {properties[0]}")
            if known and label not in known:
                raise DataError(f"{path}: row {row} ({formulas[row - 1]}): {label!r} is none of {', '.join(known)}")
        if known:
            return np.array([[known.index(label)] for label in labels], np.float64).reshape(-1, 1), known
        classes, number = np.unique(np.array(labels, dtype=object).astype(str), return_inverse=True)
        if not 2 <= len(classes) <= 100:
            raise DataError(f"{path}: {properties[0]} has {len(classes)} classes; 2 to 100 can be told apart")
        return number.reshape(-1, 1).astype(np.float64), tuple(classes.tolist())
    missing = len(properties) > 1  # a compound of which not all is known still teaches the rest
    columns = [
        number_column(table, name, formulas, path, "eV/atom" if name == ENERGY else "", missing and name != ENERGY)
        for name in properties
    ]
    values = np.stack(columns, axis=1)
    if len(values) and np.isnan(values).all(axis=0).any():
        raise DataError(f"{path}: {properties[int(np.isnan(values).all(axis=0).argmax())]} is empty in every row")
    return values, ()


def _one_each(
    index: np.ndarray, fractions: np.ndarray, values: np.ndarray, target: Target
) -> tuple[np.ndarray, np.ndarray]:
    """A row for each composition, in the order of `index`, and its values."""
    if target.energy is not None:
        order = np.argsort(values[index, target.energy], kind="stable")  # the lowest comes first, and is the one kept
        _, first = np.unique(fractions[order], axis=0, return_index=True)
        index = np.sort(index[order[first]])
        return index, values[index]
    _, first, group = np.unique(fractions, axis=0, return_index=True, return_inverse=True)
    group = group.ravel()
    merged = values[index[first]]
    shared = np.flatnonzero(np.bincount(group) > 1)
    keep = np.ones(len(first), bool)
    for g in shared.tolist():
        same = values[index[group == g]]
        known = ~np.isnan(same).all(axis=0)
        merged[g, known] = np.nanmedian(same[:, known], axis=0)
        keep[g] = not target.classes or len(np.unique(same)) == 1
    first, merged = first[keep], merged[keep]
    order = np.argsort(first)
    return index[first[order]], merged[order]


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
