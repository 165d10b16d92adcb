"""Compositions as rows of learned tables: what every kernel that gathers such rows must check."""

import numpy as np


def check_places(places: np.ndarray, fractions: np.ndarray, rows: int) -> None:
    """ValueError unless both are (N, K) and every place is one of so many rows."""
    if places.ndim != 2 or places.shape != fractions.shape:
        raise ValueError(f"places and fractions must both be (N, K), not {places.shape} and {fractions.shape}")
    if places.size and not (places.min() >= 0 and places.max() < rows):
        raise ValueError(f"places must lie in 0 … {rows - 1}")
