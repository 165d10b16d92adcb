"""Samples with a spectrum, a composition and a property, from CSV, Parquet or HDF5, read without trust."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from matscreen.engine import schema
from matscreen.engine.libraries import library
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError
from matscreen.models.files import is_file, write_atomically

HEADINGS = 5
"""Lines among which the names of a CSV file's columns are looked for; the published file has them in the second."""
MOST_NUMBERS = 100
"""In an HDF5 dataset for each byte of its file: more would be made up, for as long as memory lasts."""
LEAST_POINTS = 16
LEAST_SAMPLES = 50
WHOLE = 0.02
"""How far fractions of atoms may add up to something else than one, or 100."""


@dataclass(frozen=True)
class SpectralData:
    """Samples.

    Attributes
    ----------
    elements : symbols of the columns of fractions
    value : name of the property
    wavenumbers : (L,) float64, rising
    spectra : (N, L) float32
    fractions : (N, E) float64, of atoms; each row sums to 1
    values : (N,) float64
    """

    elements: tuple[str, ...]
    value: str
    wavenumbers: np.ndarray
    spectra: np.ndarray
    fractions: np.ndarray
    values: np.ndarray

    @property
    def checksum(self) -> str:
        """SHA-256 of all of it."""
        digest = hashlib.sha256(repr((self.elements, self.value)).encode())
        for array in (self.wavenumbers, self.spectra, self.fractions, self.values):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def read_samples(path: Path, value: str) -> SpectralData:
    """Samples of a file, whose property is `value`.

    A table (CSV, Parquet) has a column for each element, named by its symbol, one for each point of the spectrum, named
    by its wavenumber, and one for the property; others are left alone. An HDF5 file has the datasets `wavenumber` (L,),
    `spectra` (N, L), `composition` (N, E) with the attribute `elements`, symbols as text of fixed length, and one named
    as the property (N,).

    InputError for a file that is missing, damaged, or of something else; it names the row of a number that cannot be.
    """
    if not is_file(path):
        raise InputError(f"no such file: {path}")
    if path.suffix.lower() in (".h5", ".hdf5"):
        elements, points, spectra, fractions, values = _of_hdf5(path, value)
    else:
        elements, points, spectra, fractions, values = _of_table(path, value)
    if [a.ndim for a in (spectra, fractions, points, values)] != [2, 2, 1, 1]:
        raise InputError(f"{path}: spectra, composition, wavenumber and {value} are not of 2, 2, 1 and 1 dimensions")
    if spectra.shape != (len(values), len(points)) or fractions.shape != (len(values), len(elements)):
        raise InputError(f"{path}: spectra {spectra.shape}, composition {fractions.shape} and {value} do not fit")
    if len(set(elements)) < len(elements):
        raise InputError(f"{path}: an element comes twice")
    if len(elements) < 2 or len(points) < LEAST_POINTS:
        found = f"{len(elements)} columns of elements and {len(points)} of wavenumbers"
        raise InputError(f"{path}: {found}; at least 2 and {LEAST_POINTS} are needed")
    if len(values) < LEAST_SAMPLES:
        raise InputError(f"{path}: {len(values)} samples; at least {LEAST_SAMPLES} are needed")
    for what, numbers in (("a fraction", fractions), ("the spectrum", spectra), (value, values)):
        with np.errstate(over="ignore"):  # networks learn in float32
            finite = np.isfinite(numbers.reshape(len(numbers), -1).astype(np.float32)).all(axis=1)
        for row in np.flatnonzero(~finite):
            raise InputError(f"{path}: row {row + 1}: {what} is not a finite number")
    if np.ptp(values) == 0:
        raise InputError(f"{path}: {value} is the same for all samples: there is nothing to learn")
    total = fractions.sum(axis=1)
    for row in np.flatnonzero((fractions < 0).any(axis=1) | (np.minimum(abs(total - 1), abs(total / 100 - 1)) > WHOLE)):
        raise InputError(f"{path}: row {row + 1}: fractions of atoms add up to {total[row]:g}, or one is negative")
    order = np.argsort(points)
    if not (np.diff(points[order]) > 0).all():
        raise InputError(f"{path}: a wavenumber comes twice, or is no number")
    return SpectralData(
        tuple(elements),
        value,
        points[order],
        np.ascontiguousarray(spectra[:, order], np.float32),
        fractions / total[:, None],
        values,
    )


_Columns = tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _of_table(path: Path, value: str) -> _Columns:
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path, partitioning=None)
        else:
            options = pa.csv.ReadOptions(skip_rows=_heading(path))
            table = pa.csv.read_csv(path, read_options=options)
        names = [name.strip() for name in table.column_names]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not readable: {_first_line(error)}") from None
    if value in ATOMIC_NUMBERS or _is_number(value):
        raise InputError(f"{path}: {value!r} names an element or a wavenumber, not a property")
    if value not in names:
        others = [name for name in names if name not in ATOMIC_NUMBERS and not _is_number(name)]
        raise InputError(f"{path}: no column {value!r}; --property takes one of {', '.join(others[:20]) or 'none'}")
    elements = [name for name in names if name in ATOMIC_NUMBERS]
    places = [name for name in names if _is_number(name)]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: a column comes twice")

    def numbers(wanted: Iterable[str]) -> np.ndarray:
        columns = []
        for name in wanted:
            column = table.column(names.index(name))
            if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
                raise InputError(f"{path}: column {name!r} holds something else than numbers")
            columns.append(column.to_numpy(zero_copy_only=False).astype(np.float64))
        return np.stack(columns, axis=1) if columns else np.empty((len(table), 0))

    points = np.array([float(name) for name in places])
    return elements, points, numbers(places), numbers(elements), numbers([value])[:, 0]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _is_number(name: str) -> bool:
    try:
        return bool(np.isfinite(float(name)))
    except ValueError:
        return False


def _heading(path: Path) -> int:
    """Number of the first line that names two elements; 0 if none of the first does."""
    with path.open(encoding="utf-8") as file:
        for number in range(HEADINGS):
            names = {name.strip().strip('"') for name in file.readline(10_000_000).split(",")}
            if len(names & set(ATOMIC_NUMBERS)) > 1:
                return number
    return 0


def _of_hdf5(path: Path, value: str) -> _Columns:
    h5py = library("h5py", "spectra")
    try:
        with h5py.File(path) as file:
            for name in ("wavenumber", "spectra", "composition", value):
                held = file.get(name)
                if not isinstance(held, h5py.Dataset):
                    raise InputError(f"{path}: no dataset {name!r}; there are {', '.join(file)}")
                if held.dtype.kind not in "fiu":
                    raise InputError(f"{path}: {name} holds something else than numbers")
                if held.size > MOST_NUMBERS * path.stat().st_size:
                    raise InputError(f"{path}: {name} is said to hold {held.size:,} numbers, too many for its file")
            points, spectra, fractions, values = (
                np.asarray(file[name], np.float64) for name in ("wavenumber", "spectra", "composition", value)
            )
            # Text of any length lies in a heap, in which the library can go round for ever where it is damaged.
            if file["composition"].attrs.get_id("elements").dtype.kind != "S":
                raise InputError(f"{path}: the attribute elements must be text of fixed length: numpy.array(…, 'S2')")
            elements = [one.decode().strip() for one in np.atleast_1d(file["composition"].attrs["elements"]).tolist()]
    except InputError:
        raise
    except Exception as error:  # whatever damaged bytes lead the library to
        raise InputError(f"{path}: not readable: {_first_line(error)}") from None
    if unknown := [name for name in elements if name not in ATOMIC_NUMBERS]:
        raise InputError(f"{path}: {unknown[0]!r} is no element")
    return elements, points, spectra, fractions, values


def write_samples(data: SpectralData, path: Path) -> None:
    """A table that `read_samples` reads; InputError unless it is to be .csv or .parquet."""
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"samples are written as .csv or .parquet, not {path}")
    columns = [*data.fractions.T, data.values, *data.spectra.T]
    named = schema.samples(data.elements, data.value, data.wavenumbers)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, named, strict=True)], schema=named)
    write = pa.csv.write_csv if path.suffix == ".csv" else pq.write_table
    write_atomically(path, lambda temporary: write(table, temporary))
