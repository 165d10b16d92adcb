"""Numba: each pixel adds up the few rings that reach it, their profile from a table."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit

from matscreen.kernels.diffraction_rings.reference import REACH

STEPS = 2048
"""Of the table, a full width: a straight line between them is off by 3e-7 of the height."""


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
    square = (2 * np.arange(REACH * STEPS + 2) / STEPS) ** 2
    profile = lorentzian / (1 + square) + (1 - lorentzian) * np.exp(-np.log(2) * square)
    cuts = [len(image) * n // threads for n in range(threads + 1)]

    def work(first: int, last: int) -> None:
        add(two_theta[first:last], azimuth[first:last], angles, widths, heights, profile, image[first:last])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: work(*part), pairwise(cuts)))
    return image


@njit(cache=True, nogil=True, error_model="numpy")
def add(two_theta, azimuth, angles, widths, heights, profile, image):
    """Fill `image` (H, W)."""
    bins = heights.shape[1]
    reach = REACH * (widths.max() if len(widths) else 0.0)
    steps = STEPS / widths
    first = 0
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            angle = np.float64(two_theta[i, j])
            # The neighbour's first ring, or one near it.
            while first < len(angles) and angles[first] <= angle - reach:
                first += 1
            while first > 0 and angles[first - 1] > angle - reach:
                first -= 1
            turn = np.float64(azimuth[i, j]) / (2 * np.pi)
            place = (turn - np.floor(turn)) * bins
            before = int(place)
            part = place - before
            before %= bins
            after = before + 1 if before + 1 < bins else 0
            total = 0.0
            for k in range(first, len(angles)):
                away = angle - angles[k]
                if away <= -reach:
                    break
                step = abs(away) * steps[k]
                low = int(step)
                if low >= REACH * STEPS:
                    continue
                height = profile[low] + (step - low) * (profile[low + 1] - profile[low])
                total += (heights[k, before] * (1 - part) + heights[k, after] * part) * height
            image[i, j] = total
