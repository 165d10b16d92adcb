"""Which of many are best in their own way: no other is as good in everything and better in something."""

import numpy as np


def front(losses: np.ndarray) -> np.ndarray:
    """The Pareto front of losses (N, m) float, small being good: (N,) bool. Equal ones are all in it, NaN never."""
    inside = np.zeros(len(losses), bool)
    valid = np.flatnonzero(~np.isnan(losses).any(axis=1))
    best = np.empty((0, losses.shape[1]))
    # In this order nobody is beaten by one that comes later, and only by members of the front.
    for row in valid[np.lexsort(losses[valid].T[::-1])].tolist():
        own = losses[row]
        as_good = (best <= own).all(axis=1)
        if not (as_good & (best < own).any(axis=1)).any():
            inside[row] = True
            best = np.vstack([best, own]) if not as_good.any() else best
    return inside
