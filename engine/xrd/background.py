"""What of a diffraction image is background (Jha 2020, 7.3.4), and how large the filters for it must be.

MF     the minimum filter f × f of the image I: it follows the background and knows no peak narrower than f
CS     the mean filter f × f of I − MF, which is smooth (eq. 7.10)
SMF    the mean filter of MF: the background itself without MF's edges
"""

from typing import Literal

import numpy as np

from matscreen.kernels.filters2d import mean_filter, minimum_filter
from matscreen.models.errors import InputError

Method = Literal["MF", "I-MF", "CS", "I-CS", "SMF", "I-SMF"]
Removal = Literal["I-MF", "I-CS", "I-SMF"]
"""Of them those that leave the peaks."""
METHODS: tuple[Method, ...] = ("MF", "I-MF", "CS", "I-CS", "SMF", "I-SMF")
TIMES = 20
"""The filter's size over the width of a peak at half its height: the minimum then lies beyond the tails of any two."""
SMALLEST, LARGEST = 40, 400


def without_background(image: np.ndarray, method: Method, size: int, threads: int = 1) -> np.ndarray:
    """The background of an image (H, W), or the image less that, as `method` says: (H, W) float32, NaN where it was.

    NaN pixels count for nothing. InputError for a size that no window has.
    """
    if not 1 <= size <= 4096:
        raise InputError(f"the filter's size must be from 1 to 4096 pixels, not {size}")
    dead = np.isnan(image)
    lowest = minimum_filter(image, size, mask=dead, threads=threads)
    if method in ("MF", "I-MF"):
        background = lowest
    elif method in ("CS", "I-CS"):
        background = mean_filter(image - lowest, size, mask=dead, threads=threads)
    else:
        background = mean_filter(lowest, size, mask=dead, threads=threads)
    found = image - background if method.startswith("I-") else background
    return np.where(dead, np.nan, found).astype(np.float32)


def without_envelope(lines: np.ndarray, size: int = 61) -> np.ndarray:
    """One-dimensional patterns (N, M) less their background: the minimum over `size` points, smoothed over as many."""
    rows = np.ascontiguousarray(lines, np.float64)
    around = (1, min(size, rows.shape[1]))
    return np.array([line - mean_filter(minimum_filter(line[None], around), around)[0] for line in rows])


def published_size(shape: tuple[int, ...]) -> int:
    """Pixels of filters that cover as much of an image as 200 of 2048 do."""
    return max(2, round(max(shape) * 200 / 2048))


def size_for(image: np.ndarray) -> int:
    """Pixels of a filter that leaves the peaks of this image (H, W) alone: twenty times their median width.

    Widths are at half height. Peaks are looked for along rows and columns: what stands out by eight times the noise and
    is at most a tenth of the image wide. From 40 to 400; 200, as published, where there are hardly any.
    """
    from scipy.signal import find_peaks, peak_widths  # here: every command would wait a third of a second for it

    widths: list[np.ndarray] = []
    filled = np.where(np.isnan(image), np.nanmedian(image), image)
    for lines in (filled, filled.T):
        for line in lines[:: max(1, len(lines) // 100)]:
            noise = 1.4826 * np.median(np.abs(np.diff(line))) / np.sqrt(2)
            places, _ = find_peaks(line, prominence=8 * max(noise, 1e-12), width=2)
            if len(places):
                wide = peak_widths(line, places, rel_height=0.5)[0]
                widths.append(wide[wide < len(line) / 10])
    every = np.concatenate(widths) if widths else np.empty(0)
    if len(every) < 10:
        return 200
    return int(np.clip(round(TIMES * float(np.median(every))), SMALLEST, LARGEST))
