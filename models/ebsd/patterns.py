"""Patterns as the networks and the dictionary see them: without what varies slowly over the detector."""

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from matscreen.kernels.pattern_matching import unit_patterns

WIDTH = 8
"""What varies over more than this share of the detector's width is background (the default of kikuchipy)."""


def prepared(patterns: torch.Tensor, static: torch.Tensor | None = None) -> torch.Tensor:
    """(N, rows · columns) float32 of measured or simulated patterns (N, rows, columns), on their device.

    Divided by the `static` background (rows, columns) if there is one; less a Gaussian mean about each pixel, of a
    width of an eighth of the detector; less their mean, of length 1. All 0 where nothing is left.
    """
    images = patterns.float()
    if static is not None:
        images = images / torch.where(static > 0, static, 1).float()
    down, across = (_blur(side).to(images.device) for side in images.shape[1:])
    flat = (images - down @ images @ across.T).flatten(1)
    return unit_patterns(flat)  # type: ignore[arg-type, return-value]


@lru_cache
def _blur(side: int) -> torch.Tensor:
    """(side, side): a Gaussian mean of a line of so many pixels, as a matrix; mirrored at the ends."""
    return torch.from_numpy(gaussian_filter1d(np.eye(side), side / WIDTH, axis=0)).float()
