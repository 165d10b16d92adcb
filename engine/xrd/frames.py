"""Detector images of any format that fabio reads, one at a time, with what is wrong with them."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine.libraries import library
from matscreen.engine.xrd.endless import check_endless
from matscreen.models.errors import InputError

SATURATED_SHARE = 0.5
"""Of the pixels at the largest value that the detector knows; more than this is no image."""


@dataclass(frozen=True)
class Frame:
    """One image.

    Attributes
    ----------
    path, number : of its file, and of the image in it from 0
    image : (H, W) float32, NaN where a pixel counts for nothing
    problem : why it cannot be used; empty if it can
    saturated : pixels at the largest value that they can hold
    """

    path: Path
    number: int
    image: np.ndarray
    problem: str = ""
    saturated: int = 0

    @property
    def name(self) -> str:
        """Of the file, and the image's number if it is not the first."""
        return self.path.stem + (f"_{self.number:05d}" if self.number else "")


class _Complaints(logging.Handler):
    """What fabio says while it is asked: it fills a truncated file up with zeros, and tells so here alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def __enter__(self) -> "_Complaints":
        logging.getLogger("fabio").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("fabio").removeHandler(self)

    def truncation(self) -> str:
        """What it said of missing data, if anything."""
        return next((line for line in self.said if "incomplete" in line or "truncated" in line), "")


def files_of(given: Iterable[Path]) -> list[Path]:
    """The files named, and those in folders named, sorted; InputError for one that there is not."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise InputError(f"{path}: the folder holds no files")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"no such file: {path}")
    return found


def read_mask(path: Path) -> np.ndarray:
    """(H, W) bool, True where a pixel does not count: not 0 in an image of fabio, such as pyFAI's masks are."""
    frames = list(read_frames(path, None))
    if frames[0].problem and not frames[0].image.size:
        raise InputError(f"{path}: no mask that can be read: {frames[0].problem}")
    return np.asarray(frames[0].image != 0)


def read_frames(path: Path, mask: np.ndarray | None) -> Iterator[Frame]:
    """The images of a file, one after another; where one cannot be read, its problem instead.

    Pixels under `mask` (H, W) do not count, nor do negative ones of detectors that mark dead pixels so, nor NaN.
    """
    opened = _opened(path)
    if isinstance(opened, Frame):
        yield opened
        return
    for number in range(int(opened.nframes)):
        yield _read(opened, path, number, mask)


def read_frame(path: Path, number: int, mask: np.ndarray | None) -> Frame:
    """One image of a file, from 0."""
    opened = _opened(path)
    if isinstance(opened, Frame):
        return opened
    if number >= opened.nframes:
        return _failed(path, number, ValueError(f"it holds {opened.nframes} images"))
    return _read(opened, path, number, mask)


def _opened(path: Path) -> Any:
    """A file as fabio has it, or a `Frame` that tells why it cannot be read."""
    fabio = library("fabio", "xrd")
    try:
        with warnings.catch_warnings(), _Complaints():
            warnings.simplefilter("ignore")
            check_endless(path)
            opened = fabio.open(str(path))
            int(opened.nframes)
    except Exception as error:  # whatever the bytes lead the readers to
        return _failed(path, 0, error)
    return opened


def _read(opened: Any, path: Path, number: int, mask: np.ndarray | None) -> Frame:
    try:
        with warnings.catch_warnings(), _Complaints() as complaints:
            warnings.simplefilter("ignore")
            data = np.asarray(opened.data if number == 0 else opened.get_frame(number).data)
        if told := complaints.truncation():
            raise ValueError(told)
        if data.dtype == object:  # fabio gives nothing where none of its readers could
            raise ValueError("it is damaged, or cut off")
    except Exception as error:
        return _failed(path, number, error)
    return _frame(path, number, data, mask)


def _frame(path: Path, number: int, data: Any, mask: np.ndarray | None) -> Frame:
    if data.ndim != 2 or 0 in data.shape or data.dtype.kind not in "biuf":
        told = f"an image has rows and columns of real numbers, not {data.shape} of {data.dtype}"
        return Frame(path, number, np.empty((0, 0), np.float32), told)
    if mask is not None and mask.shape != data.shape:
        return Frame(path, number, data.astype(np.float32), f"it is {data.shape}, the mask {mask.shape}")
    image = data.astype(np.float32)
    full = data >= np.iinfo(data.dtype).max if data.dtype.kind in "iu" else np.zeros(data.shape, bool)
    dead = ~np.isfinite(image)
    if data.dtype.kind == "i":
        dead |= data < 0
    elif data.dtype.kind == "f":  # where the background is off, noise goes below 0
        dead |= (data == -1) | (data == -2)
    if data.dtype.kind in "iu" and data.dtype.itemsize > 2:  # no detector counts so far
        dead |= data == np.iinfo(data.dtype).max
    if mask is not None:
        dead |= mask
    image[dead] = np.nan
    saturated = int((full & ~dead).sum())
    problem = ""
    if dead.all():
        problem = "no pixel of it counts"
    elif saturated > SATURATED_SHARE * (~dead).sum():
        problem = "it is saturated"
    elif np.nanmin(image) == np.nanmax(image):
        problem = "it is empty: all its pixels are equal"
    return Frame(path, number, image, problem, saturated)


def _failed(path: Path, number: int, error: Exception) -> Frame:
    told = " ".join(str(error).split()) or type(error).__name__
    return Frame(path, number, np.empty((0, 0), np.float32), f"it cannot be read: {told}")
