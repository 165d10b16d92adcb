"""Measured patterns: where they lie in the map, what is wrong with some of them; read a block at a time."""

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine.ebsd.crystals import NICKEL
from matscreen.engine.libraries import library
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.errors import InputError

GOOD, EMPTY, SATURATED, UNREADABLE, UNLIKE = range(5)
FLAGS = ("indexed", "empty", "saturated", "unreadable", "unlike any simulated one")
SATURATED_SHARE = 0.1
"""Of pixels at a pattern's largest value; more than this is no pattern to index, if the range is of so many values."""
PLATEAU_RANGE = 64
LARGEST = 1e18
"""No detector counts so far; squares of more do not fit in 32 bits."""
MOST_MISSING = 100
"""Pixels that a map may be said to have for each byte of its file: one that was interrupted lacks some."""
UNITS = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "mm": 1e3}
"""In µm."""


@dataclass(frozen=True)
class PatternMap:
    """A map of patterns, which stay in their file until they are asked for.

    Attributes
    ----------
    path : of the file
    shape : rows and columns of the map
    pattern_shape : rows and columns of a pattern, as they come out of `blocks`
    binning : how many pixels of the file make one, along each side
    step : of the map's columns and rows, in `unit`
    static : background that the file brings, (rows, columns) float32, or None
    geometry : as the file tells it
    centres : (N, 3) float64, a pattern centre for each pattern if the file tells them, else (1, 3)
    """

    path: Path
    shape: tuple[int, int]
    pattern_shape: tuple[int, int]
    binning: int
    step: tuple[float, float]
    unit: str
    static: np.ndarray | None
    geometry: Geometry
    centres: np.ndarray
    data: Any

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def block(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Patterns `start` to `stop`, row by row of the map: (N, rows, columns) float32, and (N,) uint8 of `FLAGS`.

        What is flagged is all 0. A pattern that the file cannot give costs its own place only.
        """
        try:
            patterns = np.asarray(self.data[start:stop].compute(scheduler="synchronous"))
        except Exception as error:  # whatever a broken file leads its reader to
            if stop - start > 1:
                middle = (start + stop) // 2
                parts = [self.block(start, middle), self.block(middle, stop)]
                return np.concatenate([p for p, _ in parts]), np.concatenate([f for _, f in parts])
            if isinstance(error, MemoryError):
                raise
            return np.zeros((1, *self.pattern_shape), np.float32), np.array([UNREADABLE], np.uint8)
        flat = patterns.reshape(len(patterns), -1)
        flags = np.full(len(flat), GOOD, np.uint8)
        finite = (np.abs(flat) < LARGEST).all(axis=1) if flat.dtype.kind == "f" else np.ones(len(flat), bool)
        least, most = flat.min(axis=1).astype(float), flat.max(axis=1).astype(float)
        plateau = (flat == flat.max(axis=1, keepdims=True)).mean(axis=1) > SATURATED_SHARE
        flags[plateau & (most - least >= PLATEAU_RANGE)] = SATURATED
        flags[~finite] = UNREADABLE
        flags[finite & (most == least)] = EMPTY
        images = np.where((flags == GOOD)[:, None, None], patterns, 0).astype(np.float32)
        return _binned(images, self.binning), flags


def _loaded(kp: Any, path: Path) -> Any:
    """What kikuchipy makes of a file, what a map lacks filled up with zeros; ValueError if that is nearly all of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "Signal shape .* larger than file size")
        try:
            return kp.load(path, lazy=True)
        except UserWarning as told:
            pixels = math.prod(int(number) for number in re.findall("[0-9]+", str(told)))
            if pixels > MOST_MISSING * path.stat().st_size:
                raise ValueError(str(told).partition(". ")[0]) from None
        warnings.simplefilter("ignore")
        return kp.load(path, lazy=True)


def read_map(
    file: str,
    shape: tuple[int, int] | None = None,
    centre: tuple[float, float, float] | None = None,
    sample_tilt: float | None = None,
    tilt: float | None = None,
) -> PatternMap:
    """The patterns in a file of any format that kikuchipy reads, binned to `shape` if that divides theirs.

    `nickel` are the nine that it brings. What is given of the geometry (see `Geometry`) holds in place of what the file
    tells of it.

    InputError for what cannot be read, holds no patterns, or patterns that cannot be binned to `shape`.
    """
    kp = library("kikuchipy", "ebsd")
    path = Path(file)
    if file == NICKEL:
        path = Path(str(kp.__file__)).parent / "data" / "kikuchipy_h5ebsd" / "patterns.h5"
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        signal = _loaded(kp, path)
    except Exception as error:  # whatever the bytes lead the readers to
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} holds no patterns that can be read: {told}") from None
    if isinstance(signal, list):
        signal = signal[0]
    if not isinstance(signal, kp.signals.EBSD) or signal.data.ndim not in (2, 3, 4):
        raise InputError(f"{path} holds no patterns but {type(signal).__name__}")
    rows, columns = signal.data.shape[-2:]
    places = signal.data.shape[:-2]
    if 0 in (*places, rows, columns):
        raise InputError(f"{path} holds no patterns")
    binning = _binning(path, (rows, columns), shape)
    static = getattr(signal, "static_background", None)
    if static is not None and np.shape(static) == (rows, columns) and np.ptp(static) > 0:
        static = _binned(np.asarray(static, np.float32)[None], binning)[0]
    else:
        static = None
    detector = signal.detector
    if centre is None and (np.asarray(detector.pc) == 0.5).all():  # what a detector has before anyone told it
        raise InputError(f"{path} tells no pattern centre: give --centre")
    centres = np.asarray(detector.pc if centre is None else centre, np.float64).reshape(-1, 3)
    count = int(np.prod(places, dtype=int))
    if len(centres) != count:
        centres = centres.mean(axis=0, keepdims=True)
    geometry = Geometry(
        (rows // binning, columns // binning),
        tuple(float(v) for v in centres.mean(axis=0)),  # type: ignore[arg-type]
        float(detector.sample_tilt if sample_tilt is None else sample_tilt),
        float(detector.tilt if tilt is None else tilt),
        float(detector.azimuthal),
        float(getattr(detector, "twist", 0.0)),
    )
    axes = {str(axis.name): axis for axis in signal.axes_manager.navigation_axes}
    unit = next((str(axis.units) for axis in axes.values()), "px")
    scale = UNITS.get(unit, 1.0)
    step = {name: (float(axis.scale) or 1.0) * scale for name, axis in axes.items()}
    along = next(iter(step.values()), 1.0)
    line = (count, 1) if list(axes) == ["y"] else (1, count)
    return PatternMap(
        path,
        (places[0], places[1]) if len(places) == 2 else line,
        geometry.shape,
        binning,
        (step.get("x", along), step.get("y", along)),
        "um" if unit in UNITS else "px",
        static,
        geometry,
        centres,
        signal.data.reshape((count, rows, columns)),
    )


def _binning(path: Path, given: tuple[int, int], wanted: tuple[int, int] | None) -> int:
    if wanted is None or wanted == given:
        return 1
    times = given[0] // wanted[0]
    if times < 1 or (wanted[0] * times, wanted[1] * times) != given:
        raise InputError(
            f"{path} holds patterns of {given[0]} × {given[1]} pixels, which cannot be binned to {wanted[0]} × "
            f"{wanted[1]}: a dictionary, model or --shape must divide theirs"
        )
    return times


def _binned(images: np.ndarray, times: int) -> np.ndarray:
    """Means of times × times pixels."""
    if times == 1:
        return images
    count, rows, columns = images.shape
    return np.asarray(images.reshape(count, rows // times, times, columns // times, times).mean(axis=(2, 4)))
