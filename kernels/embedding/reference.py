"""The definition: dense products in float64."""

import numpy as np

from matscreen.kernels.embedding.tables import Tables


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables) -> np.ndarray:
    """See the package; (N, W) float64."""
    left, right, linear, bias, root, presence = (table.astype(np.float64) for table in tables)
    x = np.zeros((len(places), len(linear)))
    np.add.at(x, (np.arange(len(places))[:, None], places), fractions)
    return np.concatenate(
        [(x @ left) * (x @ right), np.maximum(x @ linear + bias, 0), np.sqrt(x) @ root, (x > 0) @ presence], axis=1
    )
