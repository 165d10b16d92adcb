"""Correlation with large filters that are learnt (PADNet's slope filters, Jha 2020, 7.3): gradients flow through it."""

import torch
from scipy.fft import next_fast_len

from matscreen.kernels.filters2d.windows import OUTSIDE, Mode, window


def correlate(images: torch.Tensor, filters: torch.Tensor, mode: Mode = "reflect", cval: float = 0) -> torch.Tensor:
    """Correlation of every image with every filter, by fast Fourier transforms: the cost hardly depends on the filter.

    Parameters
    ----------
    images : (N, H, W) float32 or float64
    filters : (C, f, f) of the same dtype and device, f at most H and W; `slope_masks` to begin with, for instance
    mode, cval : what lies beyond the border, as in `minimum_filter`

    Returns
    -------
    (C, N, H, W), differentiable in images and filters. In float32 off by some 1e-6 of the largest sum of |pixels|

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    if images.ndim != 3 or filters.ndim != 3 or filters.shape[1] != filters.shape[2]:
        raise ValueError(
            f"images must be (N, H, W) and filters (C, f, f), not {tuple(images.shape)} and {tuple(filters.shape)}"
        )
    height, width = images.shape[1:]
    where = window((height, width), filters.shape[1], mode, cval)
    rows, columns = (torch.from_numpy(index).to(images.device) for index in (where.rows, where.columns))
    outside = (rows == OUTSIDE)[:, None] | (columns == OUTSIDE)[None]
    padded = images[:, rows][:, :, columns].masked_fill(outside, cval)
    # Windows never reach round the end of this, so nothing wraps into what is kept.
    shape = [next_fast_len(side, real=True) for side in padded.shape[1:]]
    spectra = torch.fft.rfft2(padded, s=shape)[None] * torch.fft.rfft2(filters, s=shape).conj()[:, None]
    found: torch.Tensor = torch.fft.irfft2(spectra, s=shape)[:, :, :height, :width]
    return found
