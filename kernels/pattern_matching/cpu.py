"""Products by the matrix library, a block at a time; the best of each picked while they are in the cache (Numba)."""

import numpy as np
import torch
from numba import njit

from matscreen.kernels.products import product

PATTERNS, ENTRIES = 1024, 2048
"""Of a product: larger ones are no faster, and 8 MB of scores are soon read again."""


def unit(patterns: np.ndarray) -> np.ndarray:
    """See the package."""
    if patterns.dtype == np.float16:  # which Numba does not know
        patterns = patterns.astype(np.float32)
    result = np.empty(patterns.shape, np.float32)
    centre(patterns, result)
    return result


def best(
    patterns: np.ndarray, dictionary: np.ndarray, scores: np.ndarray, rows: np.ndarray, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """See the package. Uses as many threads as PyTorch is set to."""
    kept, whose = scores.astype(np.float32), rows.astype(np.int64)
    given, entries = (
        torch.from_numpy(np.ascontiguousarray(patterns)),
        torch.from_numpy(np.ascontiguousarray(dictionary)),
    )
    for start in range(0, len(given), PATTERNS):
        some = slice(start, start + PATTERNS)
        for begin in range(0, len(entries), ENTRIES):
            products = product(given[some], entries[begin : begin + ENTRIES].T).numpy()
            if not keep_best(products, kept[some], whose[some], first + begin):
                raise ValueError("patterns and dictionary must be finite")
    return kept, whose


@njit(cache=True, nogil=True, error_model="numpy")
def centre(patterns, result):
    """Rows of `patterns` less their means and of length 1 into `result`; sums in float64."""
    pixels = patterns.shape[1]
    for n in range(len(patterns)):
        total = 0.0
        for p in range(pixels):
            total += patterns[n, p]
        mean = total / pixels
        square = 0.0
        for p in range(pixels):
            square += (patterns[n, p] - mean) ** 2
        scale = 1 / np.sqrt(square) if square > 0 else 0.0
        for p in range(pixels):
            result[n, p] = (patterns[n, p] - mean) * scale


@njit(cache=True, nogil=True, error_model="numpy")
def keep_best(products, kept, whose, first):
    """Put what is better than the least kept into its place; False if a product is not a number."""
    count = kept.shape[1]
    sane = True
    for n in range(len(products)):
        least = kept[n, count - 1]
        for m in range(products.shape[1]):
            score = products[n, m]
            if not score <= least:
                if np.isnan(score):
                    sane = False
                    continue
                place = count - 1
                while place > 0 and kept[n, place - 1] < score:
                    kept[n, place] = kept[n, place - 1]
                    whose[n, place] = whose[n, place - 1]
                    place -= 1
                kept[n, place] = score
                whose[n, place] = first + m
                least = kept[n, count - 1]
    return sane
