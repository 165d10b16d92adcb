"""Diffraction rings on a detector: what a polycrystal scatters to pixels at these angles.

    I(p) = Σ_k h_k(χ_p) V(2θ_p − 2θ_k; w_k, η)

with V the pseudo-Voigt profile of height 1, η of it Lorentzian and the rest Gaussian, both of full width w_k at half
height, and h_k the height of ring k at each azimuth: the same all round for a powder, in arcs for a texture, in spots
for few grains.
"""

import numpy as np

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.diffraction_rings import cpu, reference

__all__ = ["rings"]


def rings(
    two_theta: np.ndarray,
    azimuth: np.ndarray,
    angles: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    lorentzian: float = 0.5,
    *,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """Intensities of rings on the pixels of a detector.

    Parameters
    ----------
    two_theta, azimuth : (H, W) of each pixel; degrees, and radians of any turn
    angles : (K,) 2θ of the rings in degrees, rising
    widths : (K,) full widths at half height, degrees
    heights : (K, B) at B azimuths 2π b / B, in a straight line between them
    lorentzian : η, from 0 to 1
    threads : rows of the detector are spread over so many; the result does not depend on it

    Returns
    -------
    (H, W) float32 (float64 of the reference). A ring ends `reference.REACH` of its widths away from its angle.

    Raises
    ------
    ValueError
        Shapes that do not fit, angles that do not rise, widths that are not positive, numbers that are not finite.
    """
    pixels = np.ascontiguousarray(two_theta, np.float32), np.ascontiguousarray(azimuth, np.float32)
    places, wide = np.ascontiguousarray(angles, np.float64), np.ascontiguousarray(widths, np.float64)
    table = np.ascontiguousarray(heights, np.float32)
    if pixels[0].ndim != 2 or pixels[0].shape != pixels[1].shape:
        raise ValueError(f"two_theta and azimuth must be (H, W), not {pixels[0].shape} and {pixels[1].shape}")
    if places.ndim != 1 or wide.shape != places.shape or table.ndim != 2 or len(table) != len(places):
        raise ValueError(f"angles and widths (K,), heights (K, B): not {places.shape}, {wide.shape}, {table.shape}")
    if table.shape[1] < 1 or not all(np.isfinite(a).all() for a in (*pixels, places, wide, table)):
        raise ValueError("heights at no azimuth, or a number that is not finite")
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads}")
    if not (np.diff(places) >= 0).all() or not (wide > 0).all() or not 0 <= lorentzian <= 1:
        raise ValueError("angles must rise, widths be positive, and the Lorentzian part lie from 0 to 1")
    if resolve(backend, "diffraction_rings") == "reference":
        return reference.rings(*pixels, places, wide, table, lorentzian)
    return cpu.rings(*pixels, places, wide, table, lorentzian, threads)
