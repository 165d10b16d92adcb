"""Powder patterns of structures, as vectors to learn from."""

from functools import lru_cache
from typing import Any

import numpy as np

from matscreen.kernels.powder_pattern import Crystal, gaussian_profile, peaks
from matscreen.models.errors import InputError


def crystal_of(structure: Any) -> Crystal:
    """A pymatgen `Structure` as arrays, with the form factors that pymatgen tells; InputError for one without."""
    names, rows = [], []
    for site in structure:
        for species, occupancy in site.species.items():
            names.append(str(species.symbol))
            rows.append((*site.frac_coords, float(occupancy)))
    known = sorted(set(names))
    factors = _form_factors()
    if missing := [name for name in known if name not in factors]:
        raise InputError(f"no form factors are known of {', '.join(missing)}")
    width = max(len(factors[name]) for name in known)
    table = np.zeros((len(known), width))
    for row, name in zip(table, known, strict=True):
        row[: len(factors[name])] = factors[name]
    values = np.array(rows)
    species_of = np.array([known.index(name) for name in names])
    return Crystal(np.array(structure.lattice.matrix), values[:, :3], species_of, values[:, 3], table)


def powder_vector(
    structure: Any,
    points: int = 1601,
    two_theta: tuple[float, float] = (10.0, 90.0),
    width: float = 0.2,
    wavelength: float = 1.54184,
) -> np.ndarray:
    """(points,) float64: the powder pattern of a pymatgen `Structure`, evenly over the angles, the highest point 1.

    Peaks are Gaussians of this full width at half height in degrees. 1,601 points as Korolev et al. have them.
    """
    angles, intensities = peaks(crystal_of(structure), wavelength, two_theta)
    pattern = gaussian_profile(angles, intensities, np.linspace(*two_theta, points), width)
    highest = pattern.max(initial=0)
    return pattern / highest if highest > 0 else pattern


@lru_cache
def _form_factors() -> dict[str, tuple[float, ...]]:
    """Z, a1, b1, a2, b2 … by symbol, of the table that comes with pymatgen."""
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
    from pymatgen.core import Element

    return {
        symbol: (float(Element(symbol).Z), *(float(v) for pair in pairs for v in pair))
        for symbol, pairs in ATOMIC_SCATTERING_PARAMS.items()
        if symbol in Element.__members__
    }


def resampled(
    angles: np.ndarray, intensities: np.ndarray, wavelength: float, points: int = 1601, to: float = 1.54184
) -> np.ndarray:
    """(points,) float64: a measured pattern (M,) as `powder_vector` would make it, from 10 to 90 degrees for Cu Kα.

    Angles 2θ in degrees, rising, and the wavelength in Å that they were measured with; what was not measured is 0.
    InputError for what is no such pattern, or lies elsewhere.
    """
    if not 0 < wavelength < 100:
        raise InputError(f"a wavelength is in Å, not {wavelength:g}")
    if len(angles) < 2 or not np.isfinite([angles, intensities]).all() or not (np.diff(angles) > 0).all():
        raise InputError("a pattern has rising angles, and an intensity at each")
    grid = np.linspace(10.0, 90.0, points)
    sines = np.sin(np.radians(grid / 2)) * wavelength / to  # the same planes
    there = np.degrees(2 * np.arcsin(np.minimum(sines, 1)))
    pattern = np.interp(there, angles, intensities, left=0, right=0)
    pattern[sines > 1] = 0
    highest = pattern.max(initial=0)
    if not highest > 0:
        raise InputError("nothing of the pattern lies from 10 to 90 degrees for Cu Kα")
    return np.asarray(np.maximum(pattern, 0) / highest)
