"""Orientations spread evenly over the fundamental zone."""

import numpy as np

from matscreen.engine.libraries import library
from matscreen.kernels.disorientation import SYMMETRY
from matscreen.models.errors import InputError

MOST = 150
"""Steps; more would be tens of millions of orientations before the zone is cut out."""


def orientation_grid(symmetry: str, steps: int) -> np.ndarray:
    """(N, 4) float64 unit quaternions of a cubochoric grid with so many steps along half an edge of its cube.

    For 432, 50 steps give 41,625 orientations and 100 give 333,227, as published (Jha 2020, 6.3). Through orix; the
    zone is cut out here: what no operation turns nearer to none.

    >>> len(orientation_grid("432", 20))
    2691
    """
    if not 1 <= steps <= MOST:
        raise InputError(f"a grid has from 1 to {MOST} steps, not {steps}")
    sampling = library("orix.sampling._cubochoric_sampling", "ebsd")
    all_of_them = np.asarray(sampling.cubochoric_sampling(semi_edge_steps=steps).data, np.float64).reshape(-1, 4)
    operations = SYMMETRY[symmetry].T
    kept = []
    for part in np.array_split(all_of_them, max(1, len(all_of_them) // 500_000)):
        nearest = np.abs(part @ operations).max(axis=1)
        kept.append(part[np.abs(part[:, 0]) >= nearest - 1e-9])
    return np.concatenate(kept)
