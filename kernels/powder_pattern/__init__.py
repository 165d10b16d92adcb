"""Powder diffraction: at which angles a crystal reflects, and how strongly.

    I(g) = |Σ_j o_j f_j(g) exp(2πi g·r_j)|² (1 + cos² 2θ) / (sin² θ cos θ)

over all g of the reciprocal lattice, equal angles together: kinematic, without absorption, texture or anomalous
scattering, as pymatgen's `XRDCalculator` has it.
"""

from typing import Any, NamedTuple

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.powder_pattern import cpu, reference

__all__ = ["Crystal", "gaussian_profile", "peaks", "reflections"]

WEAKEST = 1e-3
"""Of the strongest peak's 100; weaker ones are left out."""
MOST = 50_000_000
"""Points of the reciprocal lattice that are looked at; more is a cell of hundreds of Å or too short a wavelength."""


class Crystal(NamedTuple):
    """A unit cell.

    Attributes
    ----------
    lattice : (3, 3) float64, vectors a, b and c as rows, Å
    coordinates : (N, 3) float64, fractional
    species : (N,) int, row of `scattering` of each site
    occupancies : (N,) float64
    scattering : (S, 1 + 2 K) float64 of each species: Z, then a_k and b_k (Å²) of its form factor
        f(s) = Z − 41.78214 s² Σ a_k exp(−b_k s²), s = sin θ / λ
    """

    lattice: np.ndarray
    coordinates: np.ndarray
    species: np.ndarray
    occupancies: np.ndarray
    scattering: np.ndarray


def peaks(
    crystal: Crystal,
    wavelength: float = 1.54184,
    two_theta: tuple[float, float] = (0.0, 90.0),
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Angles and strengths of a crystal's powder reflections.

    Parameters
    ----------
    crystal : cell, atoms and what they scatter
    wavelength : Å; that of Cu Kα by default
    two_theta : first and last angle, degrees, from 0 to below 180

    Returns
    -------
    angles : (K,) float64, 2θ in degrees, rising
    intensities : (K,) float64, the strongest 100

    Raises
    ------
    ValueError
        Shapes that do not fit, a cell without volume, angles or a wavelength that cannot be; too large a cell.
    """
    given = _checked(crystal, wavelength, two_theta)
    run = reference if resolve(backend, "powder_pattern") == "reference" else cpu
    angles, strengths = run.peaks(*given)
    strongest = strengths.max(initial=0)
    if not strongest > 0:
        return angles[:0], strengths[:0]
    scaled = strengths * (100 / strongest)
    kept = scaled > WEAKEST
    return angles[kept], scaled[kept]


def reflections(
    crystal: Crystal, wavelength: float, two_theta: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K, 3) indices h, k, l, (K,) angles 2θ in degrees, rising, and (K,) intensities, each point of the lattice alone.

    For what needs to know where a reflection comes from, as a texture does; in NumPy. ValueError as of `peaks`.
    """
    given = _checked(crystal, wavelength, two_theta)
    if np.prod(2 * given[-1] * np.sqrt((given[0] ** 2).sum(axis=1)) + 1) * len(given[1]) > MOST:
        raise ValueError("the cell is too large to tell each reflection alone")
    indices, angles, strengths = reference.reflections(*given)
    kept = strengths > strengths.max(initial=0) * WEAKEST / 100
    return indices[kept].astype(np.int64), angles[kept], strengths[kept]


def gaussian_profile(
    angles: np.ndarray, intensities: np.ndarray, grid: np.ndarray, width: float, backend: Backend = "auto"
) -> np.ndarray:
    """(M,) float64: peaks (K,) as Gaussians of this full width at half height (degrees) on rising angles `grid` (M,).

    Five widths away they end: there a Gaussian of height 1 is down to 1e-30. ValueError for a width that is not
    positive, or a grid that does not rise.
    """
    if not width > 0:
        raise ValueError(f"a width is positive, not {width}")
    places, heights, points = (np.ascontiguousarray(a, np.float64) for a in (angles, intensities, grid))
    if places.ndim != 1 or places.shape != heights.shape or points.ndim != 1:
        raise ValueError(
            f"angles and intensities (K,), a grid (M,): not {places.shape}, {heights.shape}, {points.shape}"
        )
    if not (np.diff(points) >= 0).all():
        raise ValueError("the grid must rise")
    run = reference if resolve(backend, "powder_pattern") == "reference" else cpu
    return np.asarray(run.gaussian_profile(places, heights, points, float(width)))


def _checked(crystal: Crystal, wavelength: float, two_theta: tuple[float, float]) -> tuple[Any, ...]:
    """What the backends take; ValueError for what is no crystal, or cannot be asked of one."""
    lattice = np.ascontiguousarray(crystal.lattice, np.float64)
    sites = np.ascontiguousarray(crystal.coordinates, np.float64)
    species, occupied = np.asarray(crystal.species, np.int64), np.asarray(crystal.occupancies, np.float64)
    table = np.ascontiguousarray(crystal.scattering, np.float64)
    if lattice.shape != (3, 3) or sites.shape != (len(species), 3) or occupied.shape != (len(species),):
        raise ValueError(f"lattice (3, 3), coordinates (N, 3): not {lattice.shape}, {sites.shape}")
    if not np.isfinite(sites).all() or not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-3:
        raise ValueError("the cell has no volume, or a coordinate is not finite")
    fits = table.ndim == 2 and table.shape[1] % 2 == 1 and len(species)
    if not fits or not 0 <= species.min() <= species.max() < len(table):
        raise ValueError(f"species must be rows of scattering (S, 1 + 2 K), which is {table.shape}")
    first, last = two_theta
    if not (0 <= first < last < 180 and 0 < wavelength < 100):
        raise ValueError(f"angles from 0 to 180 degrees and a wavelength in Å, not {two_theta} and {wavelength}")
    furthest = 2 * np.sin(np.radians(last / 2)) / wavelength
    nearest = 2 * np.sin(np.radians(first / 2)) / wavelength
    if np.prod(2 * furthest * np.sqrt((lattice**2).sum(axis=1)) + 1) > MOST:
        raise ValueError(f"the cell and the wavelength make more than {MOST:,} reflections")
    return lattice, sites, species, occupied, table, float(wavelength), float(nearest), float(furthest)
