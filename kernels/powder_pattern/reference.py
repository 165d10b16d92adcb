"""The definition: every point of the reciprocal lattice but the origin, every site."""

import itertools

import numpy as np

SAME_ANGLE = 1e-5
"""Degrees: reflections this near are one peak."""


def peaks(
    lattice: np.ndarray,
    sites: np.ndarray,
    species: np.ndarray,
    occupied: np.ndarray,
    scattering: np.ndarray,
    wavelength: float,
    nearest: float,
    furthest: float,
) -> tuple[np.ndarray, np.ndarray]:
    """2θ in degrees, rising, and intensities of reflections with nearest <= |g| <= furthest, equal angles together."""
    reach = np.floor(furthest * np.linalg.norm(lattice, axis=1) + 1e-9).astype(int)
    indices = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))), float).reshape(-1, 3)
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
    angles, strengths = angles[order], strengths[order]
    begins = np.flatnonzero(np.diff(angles, prepend=-1.0) > SAME_ANGLE)
    return angles[begins], np.add.reduceat(strengths, begins) if len(begins) else strengths
