"""The definition: every window by itself, in float64, at a cost of f² a pixel."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from matscreen.kernels.filters2d.windows import OUTSIDE, Window


def slope_masks(size: int) -> np.ndarray:
    """(4, f, f): F1, F2, VF and HF, −1 or +1 (Jha 2020, eqs. 7.1–7.4, with indices from 0)."""
    i, j = np.indices((size, size))
    negative = np.stack([i < j, i + j > size - 1, i < size / 2, j < size / 2])
    return np.where(negative, -1.0, 1.0)


def minimum(stack: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    """See the package; (n, H, W) float64, NaN where a window has no valid pixel."""
    return _extreme(stack, valid, window, np.inf, np.min)


def maximum(stack: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    """See the package; (n, H, W) float64, NaN where a window has no valid pixel."""
    return _extreme(stack, valid, window, -np.inf, np.max)


def mean(stack: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    """See the package; (n, H, W) float64, NaN where a window has no valid pixel."""
    with np.errstate(invalid="ignore"):
        return np.stack([_mean(image, ok, window) for image, ok in zip(stack, valid, strict=True)])


def slopes(stack: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    """See the package; (4, n, H, W) float64, NaN where a side of a window has no valid pixel."""
    planes = [[_slope(image, ok, window, mask) for image, ok in zip(stack, valid, strict=True)]
              for mask in slope_masks(window.size[0])]  # fmt: skip
    return np.array(planes)


def padded(image: np.ndarray, window: Window, constant: float) -> np.ndarray:
    """The image with its borders."""
    outside = (window.rows == OUTSIDE)[:, None] | (window.columns == OUTSIDE)[None]
    return np.where(outside, constant, image[window.rows][:, window.columns].astype(np.float64))


def _windows(image: np.ndarray, valid: np.ndarray, window: Window, missing: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and whether they count, (H, W, f, f) each; what lies beyond a constant border counts."""
    filled = padded(np.where(valid, image, missing), window, window.constant)
    counts = padded(valid, window, 1.0)
    return sliding_window_view(filled, window.size), sliding_window_view(counts, window.size)


def _extreme(
    stack: np.ndarray, valid: np.ndarray, window: Window, worst: float, of: Callable[..., np.ndarray]
) -> np.ndarray:
    found = []
    for image, ok in zip(stack, valid, strict=True):
        pixels, counts = _windows(image, ok, window, worst)
        found.append(np.where(counts.any(axis=(2, 3)), of(pixels, axis=(2, 3)), np.nan))
    return np.array(found)


def _mean(image: np.ndarray, valid: np.ndarray, window: Window) -> np.ndarray:
    pixels, counts = _windows(image, valid, window, 0)
    average: np.ndarray = pixels.sum(axis=(2, 3)) / counts.sum(axis=(2, 3))
    return average


def _slope(image: np.ndarray, valid: np.ndarray, window: Window, mask: np.ndarray) -> np.ndarray:
    """Σ of one side less Σ of the other, a missing pixel counted as the mean of its side's others."""
    pixels, counts = _windows(image, valid, window, 0)
    result = np.zeros(image.shape)
    for side in (-1, 1):
        there = np.where(mask == side, 1.0, 0.0)
        total, number = np.tensordot(pixels, there, 2), np.tensordot(counts, there, 2)
        with np.errstate(invalid="ignore"):
            result += side * there.sum() * (total / number)
    return result
