"""Numba: each pixel adds up the few rings that reach it."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

from matscreen.kernels.diffraction_rings.reference import REACH

LOG_2 = np.log(2)


def rings(
    two_theta: np.ndarray,
    azimuth: np.ndarray,
    angles: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    lorentzian: float,
    threads: int,
) -> np.ndarray:
    """See the package."""
    image = np.zeros(two_theta.shape, np.float32)
    cuts = [len(image) * n // threads for n in range(threads + 1)]

    def work(first: int, last: int) -> None:
        add(two_theta[first:last], azimuth[first:last], angles, widths, heights, float(lorentzian), image[first:last])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: work(*part), pairwise(cuts)))
    return image


@njit(cache=True, nogil=True, error_model="numpy")
def add(two_theta, azimuth, angles, widths, heights, lorentzian, image):
    """Fill `image` (H, W)."""
    bins = heights.shape[1]
    reach = REACH * (widths.max() if len(widths) else 0.0)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            angle = np.float64(two_theta[i, j])
            first = np.searchsorted(angles, angle - reach, side="right")
            turn = np.float64(azimuth[i, j]) / (2 * np.pi)
            place = (turn - np.floor(turn)) * bins
            before = int(place)
            part = place - before
            before %= bins
            after = (before + 1) % bins
            total = 0.0
            for k in range(first, len(angles)):
                away = angle - angles[k]
                if away <= -reach:
                    break
                square = (2 * away / widths[k]) ** 2
                profile = lorentzian / (1 + square) + (1 - lorentzian) * np.exp(-LOG_2 * square)
                total += (heights[k, before] * (1 - part) + heights[k, after] * part) * profile
            image[i, j] = total
