"""The definition: eq. 6.4 of Jha 2020 to the letter, every pair of operations, both ways round, in float64."""

import numpy as np

from matscreen.kernels.disorientation.symmetry import SYMMETRY


def matrices(quaternions: np.ndarray) -> np.ndarray:
    """(…, 3, 3) float64 rotation matrices of unit quaternions (…, 4)."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float64), -1, 0)
    rows = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def disorientation_angle(q1: np.ndarray, q2: np.ndarray, symmetry: str, symmetry2: str) -> np.ndarray:
    """See the package; (N,) float64."""
    first, second = matrices(SYMMETRY[symmetry]), matrices(SYMMETRY[symmetry2])
    smallest = np.full(len(q1), np.inf)
    for n, (g1, g2) in enumerate(zip(matrices(q1), matrices(q2), strict=True)):
        for o1 in first:
            for o2 in second:
                a, b = o1 @ g1, o2 @ g2
                for turn in (a @ b.T, b @ a.T):
                    cosine = np.clip((np.trace(turn) - 1) / 2, -1, 1)
                    smallest[n] = min(smallest[n], np.arccos(cosine))
    return smallest
