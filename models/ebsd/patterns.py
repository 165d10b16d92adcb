"""Patterns as the networks and the dictionary see them: neither brightness nor contrast varies over the detector."""

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from matscreen.kernels.pattern_matching import unit_patterns

BACKGROUND, CONTRAST = 15, 12
"""Gaussian means for both are so many times narrower than the detector. Of widths from 5 to 15, with and without equal
contrast, on the real nickel patterns: these leave the true orientation 20 standard deviations above others, and make
them look like simulated ones, so that a network trained on these reads those."""

PART = 64
"""Patterns at a time on a CPU, which stay in its cache."""


def prepared(patterns: torch.Tensor, static: torch.Tensor | None = None) -> torch.Tensor:
    """(N, rows · columns) float32 of measured or simulated patterns (N, rows, columns), on their device.

    Less the `static` background (rows, columns) if there is one, at the pattern's own brightness; less a Gaussian mean
    about each pixel; over the root of the Gaussian mean square there; less their mean, of length 1. All 0 where nothing
    is left.
    """
    if patterns.device.type == "cpu" and len(patterns) > PART:
        return torch.cat([prepared(part, static) for part in torch.split(patterns, PART)])
    images = patterns.float()
    if static is not None:
        images = images - static.float() * (images.mean((1, 2), keepdim=True) / static.float().mean())
    least, most = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
    varied = most - least > 1e-5 * torch.maximum(most.abs(), least.abs())  # else there is nothing but rounding
    images = (images - _blurred(images, BACKGROUND)) * varied
    square = _blurred(images**2, CONTRAST)
    floor = 1e-6 * square.amax((1, 2), keepdim=True) + torch.finfo(torch.float32).tiny
    return unit_patterns((images / (square + floor).sqrt()).flatten(1))  # type: ignore[arg-type, return-value]


def _blurred(images: torch.Tensor, share: int) -> torch.Tensor:
    """Gaussian means, of so small a share of the image's width and height."""
    down, across = (_blur(side, share).to(images.device) for side in images.shape[1:])
    return down @ images @ across.T


@lru_cache
def _blur(side: int, share: int) -> torch.Tensor:
    """(side, side): a Gaussian mean of a line of so many pixels, as a matrix; mirrored at the ends."""
    return torch.from_numpy(gaussian_filter1d(np.eye(side), side / share, axis=0)).float()
