"""Where the window of a filter lies, and what it finds beyond the border of the image."""

from typing import Literal, NamedTuple, get_args

import numpy as np

Mode = Literal["reflect", "constant", "nearest", "mirror", "wrap", "grid-mirror", "grid-constant", "grid-wrap"]

_NUMPY_NAMES = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "constant": "constant",
    "grid-constant": "constant",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
    "grid-wrap": "wrap",
}
"""SciPy's names of the border modes, as `numpy.pad` calls them."""

OUTSIDE = -1
"""In an index of padded rows or columns: not of the image but the constant."""


class Window(NamedTuple):
    """A filter window of an image.

    Attributes
    ----------
    size : rows and columns of the window
    rows : (H + size[0] − 1,) int64: row of the image for each padded row, or OUTSIDE
    columns : (W + size[1] − 1,) int64: the same of columns
    constant : what OUTSIDE stands for
    """

    size: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray
    constant: float


def window(shape: tuple[int, int], size: int | tuple[int, int], mode: str, constant: float) -> Window:
    """The window of a filter over images (H, W).

    Of pixel i it covers i − size // 2 … i − size // 2 + size − 1, as in SciPy: one of even size reaches one pixel
    further to the left and up.

    ValueError for an unknown mode, a constant that is not finite, or a size that is not from 1 to the image's.
    """
    if mode not in _NUMPY_NAMES:
        raise ValueError(f"unknown mode {mode!r}: expected {', '.join(get_args(Mode))}")
    if not np.isfinite(constant):
        raise ValueError(f"cval must be a finite number, not {constant}")
    pair = (size, size) if isinstance(size, (int, np.integer)) else tuple(size)
    if len(pair) != 2 or not all(1 <= s <= n for s, n in zip(pair, shape, strict=True)):
        raise ValueError(f"size must be from 1 to the image's {shape[0]} × {shape[1]} pixels, not {size}")
    rows, columns = (_padded(n, s, _NUMPY_NAMES[mode]) for n, s in zip(shape, pair, strict=True))
    return Window((int(pair[0]), int(pair[1])), rows, columns, constant)


def _padded(length: int, size: int, numpy_name: str) -> np.ndarray:
    """Index of what lies at each padded place of one axis."""
    sides = (size // 2, size - 1 - size // 2)
    place = np.arange(length, dtype=np.int64)
    if numpy_name == "constant":
        return np.pad(place, sides, constant_values=OUTSIDE)
    return np.pad(place, sides, mode=numpy_name)  # type: ignore[call-overload, no-any-return]
