"""The definition: all dot products, sorted."""

import numpy as np


def unit(patterns: np.ndarray) -> np.ndarray:
    """See the package, in float64."""
    centred = patterns - patterns.mean(axis=1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length > 0, length, 1))


def best(
    patterns: np.ndarray, dictionary: np.ndarray, scores: np.ndarray, rows: np.ndarray, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """See the package."""
    products = patterns.astype(np.float64) @ dictionary.astype(np.float64).T
    if not np.isfinite(products).all():
        raise ValueError("patterns and dictionary must be finite")
    all_scores = np.concatenate([scores, products], axis=1)
    all_rows = np.concatenate([rows, np.broadcast_to(first + np.arange(len(dictionary)), products.shape)], axis=1)
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, : scores.shape[1]]
    return np.take_along_axis(all_scores, order, axis=1).astype(np.float32), np.take_along_axis(all_rows, order, axis=1)
