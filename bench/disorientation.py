"""Disorientation angles a second for 432, one core; peers: orix and the same 24 products in NumPy."""

import numpy as np
from orix.quaternion import Orientation, symmetry

from bench.harness import copy_rate, median_seconds, publish
from matscreen.kernels.disorientation import (
    SYMMETRY,
    disorientation_angle,
    disorientation_matrix,
    nearest_orientations,
)
from matscreen.kernels.disorientation.symmetry import conjugate, multiply

PAIRS, ROWS, COLUMNS = 1_000_000, 1000, 4000


def in_numpy(q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """By the products with all 24 operations."""
    cosines = np.abs(multiply(q1, conjugate(q2)) @ SYMMETRY["432"].T).max(axis=1)
    return np.asarray(2 * np.arccos(np.minimum(cosines, 1)))


def main() -> None:
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, PAIRS, 4))
    q /= np.linalg.norm(q, axis=2, keepdims=True)
    single = q.astype(np.float32)
    few = slice(0, 100_000)
    a, b = (Orientation(part[few], symmetry=symmetry.O) for part in q)
    ours = PAIRS / median_seconds(lambda: disorientation_angle(*single))
    orix = len(a.data) / median_seconds(lambda: a.angle_with(b), 3)
    numpy = len(a.data) / median_seconds(lambda: in_numpy(q[0, few], q[1, few]), 3)
    rows, columns = single[0, :ROWS], single[1, :COLUMNS]
    matrix = ROWS * COLUMNS / median_seconds(lambda: disorientation_matrix(rows, columns))
    c, d = (Orientation(part, symmetry=symmetry.O) for part in (q[0, :ROWS], q[1, :COLUMNS]))
    outer = ROWS * COLUMNS / median_seconds(lambda: c.angle_with_outer(d), 3)
    book = ROWS * COLUMNS / median_seconds(lambda: nearest_orientations(rows, columns, 20))
    publish(
        "disorientation",
        {
            "pairs/s/core, float32": ours,
            "pairs/s/core, float64": PAIRS / median_seconds(lambda: disorientation_angle(*q)),
            "orix angle_with, pairs/s": orix,
            "ratio to orix": ours / orix,
            "NumPy, 24 products, pairs/s": numpy,
            "ratio to NumPy": ours / numpy,
            "matrix, pairs/s/core, float32": matrix,
            "orix angle_with_outer, pairs/s": outer,
            "ratio to orix, matrix": matrix / outer,
            "20 nearest of 4,000, pairs/s/core, float32": book,
            "622 (by search), pairs/s/core, float32": PAIRS
            / median_seconds(lambda: disorientation_angle(*single, "622")),
            "largest difference from orix, rad": float(
                np.abs(disorientation_angle(q[0, few], q[1, few]) - a.angle_with(b)).max()
            ),
            "limit: pairs/s that memory can move, 36 bytes each": copy_rate() / 36,
        },
    )


if __name__ == "__main__":
    main()
