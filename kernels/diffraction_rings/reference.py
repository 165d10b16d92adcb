"""The definition: ring after ring over all pixels."""

import numpy as np

REACH = 12
"""Full widths to both sides of its angle, where a ring ends: a Lorentzian is down to 1/577 there."""


def rings(
    two_theta: np.ndarray,
    azimuth: np.ndarray,
    angles: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    lorentzian: float,
) -> np.ndarray:
    """See the package."""
    image = np.zeros(two_theta.shape)
    bins = heights.shape[1]
    place = np.asarray(azimuth, np.float64) / (2 * np.pi) % 1 * bins
    before = np.floor(place).astype(int)
    part, before = place - before, before % bins
    for angle, width, height in zip(angles, widths, heights.astype(np.float64), strict=True):
        away = np.asarray(two_theta, np.float64) - angle
        square = (2 * away / width) ** 2
        profile = lorentzian / (1 + square) + (1 - lorentzian) * np.exp(-np.log(2) * square)
        here = height[before] * (1 - part) + height[(before + 1) % bins] * part
        image += np.where(np.abs(away) < REACH * width, here * profile, 0)
    return image
