"""The definition: every point of the reciprocal lattice but the origin, every site."""

from typing import Any

import numpy as np

SAME_ANGLE = 1e-5
"""Degrees: reflections this near are one peak."""
REACH = 5
"""Full widths to both sides of its middle, where a Gaussian ends."""


def reflections(
    lattice: np.ndarray,
    sites: np.ndarray,
    species: np.ndarray,
    occupied: np.ndarray,
    scattering: np.ndarray,
    wavelength: float,
    nearest: float,
    furthest: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K, 3) indices, (K,) 2θ in degrees, rising, and (K,) intensities of all g with nearest <= |g| <= furthest."""
    reach = np.floor(furthest * np.linalg.norm(lattice, axis=1) + 1e-9).astype(int)
    indices = np.indices(2 * reach + 1).reshape(3, -1).T - reach.astype(float)
    length = np.linalg.norm(indices @ np.linalg.inv(lattice).T, axis=1)
    chosen = (length > 0) & (length >= nearest) & (length <= furthest)
    indices, length = indices[chosen], length[chosen]
    square = (length / 2) ** 2
    a, b = scattering[:, 1::2], scattering[:, 2::2]
    decay = (a[:, None] * np.exp(-b[:, None] * square[:, None])).sum(axis=2)
    factors = scattering[:, :1] - 41.78214 * square * decay
    waves = np.exp(2j * np.pi * indices @ sites.T)
    amplitude = (waves * occupied * factors[species].T).sum(axis=1)
    theta = np.arcsin(np.minimum(wavelength * length / 2, 1))
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    angles, strengths = np.degrees(2 * theta), np.abs(amplitude) ** 2 * lorentz
    order = np.argsort(angles, kind="stable")
    return indices[order], angles[order], strengths[order]


def peaks(*crystal: Any) -> tuple[np.ndarray, np.ndarray]:
    """(K,) 2θ and intensities of `reflections` (which takes the same), those of equal angles together."""
    _, angles, strengths = reflections(*crystal)
    begins = np.flatnonzero(np.diff(angles, prepend=-1.0) > SAME_ANGLE)
    return angles[begins], np.add.reduceat(strengths, begins) if len(begins) else strengths


def gaussian_profile(angles: np.ndarray, intensities: np.ndarray, grid: np.ndarray, width: float) -> np.ndarray:
    """See the package."""
    away = grid[:, None] - angles
    heights = np.exp(-4 * np.log(2) * (away / width) ** 2)
    return np.asarray(np.where(np.abs(away) <= REACH * width, heights, 0) @ intensities)
