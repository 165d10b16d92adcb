"""A table of samples: which images are whose, of what they are made, and where they lie; and its images as arrays."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from matscreen.engine.xrd.background import Method, published_size, without_background
from matscreen.engine.xrd.frames import read_frame
from matscreen.kernels.filters2d import mean_filter
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import InputError

FILL = 41
"""Pixels of the window that a dead pixel takes its value from."""


@dataclass(frozen=True)
class Listed:
    """Samples as a table tells them.

    Attributes
    ----------
    names : of each
    frames : of each its images: a file, and the number of the image in it
    elements : symbols of the columns of `compositions`
    compositions : (N, E) float64 fractions, rows adding up to 1
    regions : of each its phase region, "" where it is not known
    places : (N, 2) x and y on the wafer in mm, or None
    """

    names: list[str]
    frames: list[list[tuple[Path, int]]]
    elements: tuple[str, ...]
    compositions: np.ndarray
    regions: list[str]
    places: np.ndarray | None

    @property
    def views(self) -> int:
        """Images of a sample."""
        return len(self.frames[0])


@dataclass(frozen=True)
class Loaded:
    """The images of one sample: (V, H, W) float32 without dead pixels, or the problem that it has."""

    number: int
    images: np.ndarray
    problem: str = ""


def read_samples(path: Path) -> Listed:
    """The samples of a CSV or Parquet table; InputError for what cannot be used.

    Columns: `frame`, or `frame_1`, `frame_2` … (files, relative to the table; `file#7` is image 7 of it, from 0), one
    for each element that is named by its symbol, and if there are any `sample`, `region`, `x_mm` and `y_mm`.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        table = pa.parquet.read_table(path) if path.suffix == ".parquet" else pa.csv.read_csv(path)
    except (pa.ArrowInvalid, OSError, csv.Error) as error:
        raise InputError(f"{path} is no table that can be read: {' '.join(str(error).split())}") from None
    names = table.column_names
    if doubled := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path}: the column {min(doubled)} comes twice")
    views = ["frame"] if "frame" in names else sorted(name for name in names if re.fullmatch(r"frame_\d+", name))
    if not views:
        raise InputError(f"{path}: no column frame, or frame_1, frame_2 …, that names the images")
    if not table.num_rows:
        raise InputError(f"{path}: no samples")
    columns = {name: table[name].to_pylist() for name in views}
    frames = [[_frame(path, row, columns[name][row]) for name in views] for row in range(table.num_rows)]
    elements = tuple(name for name in names if name in SYMBOLS)
    amounts = np.array([_numbers(path, table, name) for name in elements]).T.reshape(table.num_rows, len(elements))
    if (amounts < 0).any() or (elements and (amounts.sum(axis=1) <= 0).any()):
        raise InputError(f"{path}: fractions of {', '.join(elements)} must be positive somewhere and negative nowhere")
    total = amounts.sum(axis=1, keepdims=True) if elements else 1
    known = "x_mm" in names and "y_mm" in names
    places = np.array([_numbers(path, table, name) for name in ("x_mm", "y_mm")]).T if known else None
    told = table["sample"].to_pylist() if "sample" in names else [str(n + 1) for n in range(table.num_rows)]
    regions = table["region"].to_pylist() if "region" in names else [""] * table.num_rows
    return Listed(
        [str(name) for name in told],
        frames,
        elements,
        amounts / total,
        [str(r) if r is not None else "" for r in regions],
        places,
    )


def load(listed: Listed, background: Method | None, size: int = 0, rows: np.ndarray | None = None) -> Iterator[Loaded]:
    """The images of each sample, one after another, less their background if that is asked for.

    The background's filters are of `size` pixels, or cover as much of the image as the published ones do. A sample with
    an image that cannot be used, or of another shape than
    the first good one, comes with its problem.
    """
    shape: tuple[int, ...] | None = None
    for number in range(len(listed.names)) if rows is None else rows:
        images: list[np.ndarray] = []
        problem = ""
        for path, place in listed.frames[number]:
            frame = read_frame(path, place, None)
            problem = frame.problem
            if not problem and shape is not None and frame.image.shape != shape:
                problem = f"it is {_size(frame.image.shape)}, the others {_size(shape)}"
            if problem:
                problem = f"{path}: {problem}"
                break
            shape = frame.image.shape
            window = size or published_size(frame.image.shape)
            images.append(_filled(without_background(frame.image, background, window) if background else frame.image))
        yield Loaded(int(number), np.stack(images) if not problem else np.empty((0, 0, 0), np.float32), problem)


def _filled(image: np.ndarray) -> np.ndarray:
    """Dead pixels take the mean of those around them, or of all."""
    dead = np.isnan(image)
    if not dead.any():
        return image
    around = mean_filter(image, min(FILL, *image.shape), mask=dead)
    return np.where(dead, np.where(np.isnan(around), np.nanmean(image), around), image).astype(np.float32)


def _frame(path: Path, row: int, told: object) -> tuple[Path, int]:
    if not isinstance(told, str) or not told:
        raise InputError(f"{path}, row {row + 1}: no image is named")
    name, mark, number = told.rpartition("#")
    if mark and number.isdecimal():
        return path.parent / name, int(number)
    return path.parent / told, 0


def _numbers(path: Path, table: pa.Table, name: str) -> np.ndarray:
    try:
        values = np.array(table[name].to_pylist(), np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: the column {name} holds something else than numbers") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}, row {int(np.argmin(np.isfinite(values))) + 1}: no {name}")
    return values


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
