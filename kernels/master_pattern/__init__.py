"""Kikuchi patterns on a detector, looked up in a master pattern: what a crystal scatters into every direction.

A pixel of the detector lies in one direction from the specimen; the orientation turns that into crystal axes, where the
master pattern, simulated once for a material and a beam energy, tells the intensity (Callahan and De Graef 2013; the
forward model of Jha 2020, eq. 6.5). The master pattern is in the square, equal-area Lambert projection (Roşca 2010).
"""

from typing import Any

import numpy as np

from matscreen.kernels.backend import Backend, as_numpy, device_of, on_gpu, resolve
from matscreen.kernels.master_pattern import cpu, reference

__all__ = ["project_patterns"]


def project_patterns(
    master: np.ndarray,
    orientations: np.ndarray,
    centres: np.ndarray,
    shape: tuple[int, int],
    axes: np.ndarray,
    *,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """Intensities of crystals of these orientations on a detector, by bilinear interpolation.

    Parameters
    ----------
    master : (2, S, S) float32, square Lambert projections of the upper (z >= 0) and the lower hemisphere, rows along y
    orientations : (N, 4) unit quaternions (w, x, y, z), passive rotations specimen → crystal
    centres : (3,) of all patterns or (N, 3): pattern centre x, y from the upper left, in widths and heights of the
        detector, and its distance from the specimen in heights (the convention of Bruker)
    shape : rows and columns of the detector
    axes : (3, 3) x, y and z of the detector as columns, in specimen axes: to the right, up, and away
    threads : patterns are spread over so many on the CPU; the result does not depend on it

    Returns
    -------
    (N, rows, columns) float32; a torch tensor if one was given. On the CPU the master pattern is rounded to 16 bits of
    its range, from the least to the largest value: take hot pixels out of it first

    Raises
    ------
    ValueError
        Shapes that do not fit, quaternions or axes that are no rotation, a detector that is not in front.
    """
    chosen = resolve(backend, "master_pattern", gpu=True)
    if chosen == "gpu":
        from matscreen.kernels.master_pattern import gpu

        (table, turned, places), back = on_gpu(master, orientations, centres)
        places = places.reshape(-1, 3)
        _check(tuple(table.shape), tuple(turned.shape), tuple(places.shape), shape, axes)
        with device_of(table):
            _check_values(turned, places)
            patterns: np.ndarray = back(gpu.project(table.float(), turned.float(), places.float(), shape, axes))
        return patterns
    (master, orientations, centres), back = as_numpy(master, orientations, centres)
    centres = np.atleast_2d(centres)
    _check(master.shape, orientations.shape, centres.shape, shape, axes)
    _check_values(orientations, centres)
    if chosen == "reference":
        return back(reference.project(master, orientations, centres, shape, axes))  # type: ignore[no-any-return]
    return back(cpu.project(master, orientations, centres, shape, axes, threads))  # type: ignore[no-any-return]


def _check(
    master: tuple[int, ...],
    orientations: tuple[int, ...],
    centres: tuple[int, ...],
    shape: tuple[int, int],
    axes: np.ndarray,
) -> None:
    if len(master) != 3 or master[0] != 2 or master[1] != master[2] or master[1] < 2:
        raise ValueError(f"a master pattern is (2, S, S), not {master}")
    if len(orientations) != 2 or orientations[1] != 4:
        raise ValueError(f"orientations must be (N, 4) unit quaternions, not {orientations}")
    if centres[-1] != 3 or centres[0] not in (1, orientations[0]):
        raise ValueError(f"centres must be (3,) or ({orientations[0]}, 3), not {centres}")
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"a detector has rows and columns, not {shape}")
    if np.shape(axes) != (3, 3) or np.abs(np.asarray(axes).T @ axes - np.eye(3)).max() > 1e-6:
        raise ValueError("axes must be three perpendicular unit vectors")


def _check_values(orientations: Any, centres: Any) -> None:
    """Of arrays or tensors."""
    square = (orientations**2).sum(1)
    if not bool((abs(square - 1) < 1e-3).all()):
        raise ValueError("orientations must be unit quaternions")
    if not bool((abs(centres) < 1e6).all() and (centres[:, 2] > 0).all()):
        raise ValueError("the detector must lie in front of the specimen: every centre finite, its distance > 0")
