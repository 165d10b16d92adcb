"""A table of samples: which images are whose, and of what they are made; and its images as arrays."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from matscreen.engine.xrd.background import Removal, published_size, without_background
from matscreen.engine.xrd.frames import read_frame
from matscreen.kernels.filters2d import mean_filter
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError

FRAME = re.compile(r"frame_\d+")
LOOKED_AT = 9
"""Samples whose images tell the shape."""
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
    """

    names: list[str]
    frames: list[list[tuple[Path, int]]]
    elements: tuple[str, ...]
    compositions: np.ndarray
    regions: list[str]

    @property
    def views(self) -> int:
        """Images of a sample."""
        return len(self.frames[0])

    def fractions(self, elements: tuple[str, ...]) -> np.ndarray:
        """(N, len(elements)) of these alone, rows adding up to 1; InputError where there is none of them."""
        if missing := [name for name in elements if name not in self.elements]:
            raise InputError(f"no column {', '.join(missing)} in the table, which the network was trained with")
        chosen = self.compositions[:, [self.elements.index(name) for name in elements]]
        total = chosen.sum(axis=1, keepdims=True)
        if elements and not (total > 0).all():
            number = int((total[:, 0] > 0).argmin())
            raise InputError(f"{self.names[number]} holds none of {', '.join(elements)}")
        return np.asarray(chosen / total) if elements else chosen


@dataclass(frozen=True)
class Loaded:
    """The images of one sample: (V, H, W) float32 without dead pixels, or the problem that it has."""

    number: int
    images: np.ndarray
    problem: str = ""


def read_samples(path: Path) -> Listed:
    """The samples of a CSV or Parquet table; InputError for what cannot be used.

    Columns: `frame`, or `frame_1`, `frame_2` … (files, relative to the table; `file#7` is image 7 of it, from 0), one
    for each element that is named by its symbol, and if there are any `sample` and `region`.
    """
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    table = _table(path)
    names = table.column_names
    if doubled := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path}: the column {min(doubled)} comes twice")
    views = ["frame"] if "frame" in names else sorted(name for name in names if FRAME.fullmatch(name))
    if not views:
        raise InputError(f"{path}: no column frame, or frame_1, frame_2 …, that names the images")
    count = table.num_rows
    if not count:
        raise InputError(f"{path}: no samples")
    columns = {name: table[name].to_pylist() for name in views}
    frames = [[_frame(path, row, columns[name][row]) for name in views] for row in range(count)]
    elements = tuple(name for name in names if name in ATOMIC_NUMBERS)
    amounts = np.array([_numbers(path, table, name) for name in elements]).T.reshape(count, len(elements))
    if (amounts < 0).any() or (elements and (amounts.sum(axis=1) <= 0).any()):
        raise InputError(f"{path}: fractions of {', '.join(elements)} must be positive somewhere and negative nowhere")
    total = amounts.sum(axis=1, keepdims=True) if elements else 1
    told = table["sample"].to_pylist() if "sample" in names else range(1, count + 1)
    regions = table["region"].to_pylist() if "region" in names else [None] * count
    texts = [["" if value is None else str(value).strip() for value in column] for column in (told, regions)]
    return Listed(texts[0], frames, elements, amounts / total, texts[1])


def load(
    listed: Listed,
    background: Removal | None,
    shape: tuple[int, int] | None = None,
    size: int = 0,
    rows: np.ndarray | None = None,
    mask: np.ndarray | None = None,
) -> Iterator[Loaded]:
    """The images of each sample (or of `rows`), one after another, less their background if that is asked for.

    The background's filters are of `size` pixels, or cover as much of the image as the published ones do. A sample with
    an image that cannot be used, or not of the shape that is asked for, comes with its problem; so does, without such,
    one whose images are of several shapes. Pixels under `mask` (H, W) are dead: they take the mean of those around.
    """
    for number in range(len(listed.names)) if rows is None else rows:
        images: list[np.ndarray] = []
        problem, wanted = "", shape
        for path, place in listed.frames[number]:
            frame = read_frame(path, place, mask)
            wanted = wanted or frame.image.shape
            problem = frame.problem
            if not problem and frame.image.shape != wanted:
                problem = f"it is {_size(frame.image.shape)}, not {_size(wanted)}"
            if problem:
                problem = f"{path}: {problem}"
                break
            window = size or published_size(wanted)
            images.append(_filled(without_background(frame.image, background, window) if background else frame.image))
        yield Loaded(int(number), np.stack(images) if not problem else np.empty((0, 0, 0), np.float32), problem)


def usual_shape(listed: Listed, rows: np.ndarray) -> tuple[int, int]:
    """The commonest shape of images of a few samples, spread over `rows` of the table; InputError for none."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int))]
    shapes: Counter[tuple[int, int]] = Counter()
    for number in chosen:
        path, place = listed.frames[number][0]
        frame = read_frame(path, place, None)
        if not frame.problem:
            shapes[frame.image.shape[0], frame.image.shape[1]] += 1
    if not shapes:
        raise InputError("none of the images looked at can be used: " + str(listed.frames[chosen[0]][0][0]))
    return shapes.most_common(1)[0][0]


def _filled(image: np.ndarray) -> np.ndarray:
    """Dead pixels take the mean of those around them, or of all."""
    dead = np.isnan(image)
    if not dead.any():
        return image
    around = mean_filter(image, min(FILL, *image.shape), mask=dead)
    return np.where(dead, np.where(np.isnan(around), np.nanmean(image), around), image).astype(np.float32)


def _table(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pa.parquet.read_table(path)
        with path.open(encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
        text = {name: pa.string() for name in header if name in ("sample", "region", "frame") or FRAME.fullmatch(name)}
        told = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
        return pa.csv.read_csv(path, convert_options=told)
    except (pa.ArrowInvalid, OSError, csv.Error, UnicodeDecodeError, KeyError) as error:
        raise InputError(f"{path} is no table that can be read: {' '.join(str(error).split())}") from None


def _frame(path: Path, row: int, told: object) -> tuple[Path, int]:
    if not isinstance(told, str) or not told:
        raise InputError(f"{path}, row {row + 1}: no image is named")
    name, mark, number = told.rpartition("#")
    whole = path.parent / told
    if mark and number.isdecimal() and not whole.exists():
        return path.parent / name, int(number)
    return whole, 0


def _numbers(path: Path, table: pa.Table, name: str) -> np.ndarray:
    try:
        values = np.array(table[name].to_pylist(), np.float64).reshape(table.num_rows)
    except (TypeError, ValueError):
        raise InputError(f"{path}: the column {name} holds something else than numbers") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}, row {int(np.argmin(np.isfinite(values))) + 1}: no {name}")
    return values


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
