"""Where the detector stands, as pyFAI tells it, and images as one-dimensional patterns."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine.libraries import library
from matscreen.models.errors import InputError

POINTS = 2000


def read_geometry(path: Path) -> Any:
    """A `pyFAI.AzimuthalIntegrator` of a .poni file. InputError for what is none."""
    pyfai = library("pyFAI", "xrd")
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pyfai.load(str(path))
    except Exception as error:  # whatever the text leads its reader to
        raise InputError(f"{path} is no geometry of pyFAI: {' '.join(str(error).split())}") from None


def integrated(image: np.ndarray, geometry: Any, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """2θ in degrees and the mean intensity there, (points,) each, of an image (H, W); NaN pixels count for nothing."""
    dead = np.isnan(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        angle, intensity = geometry.integrate1d(
            np.where(dead, 0, image),
            points,
            mask=dead.astype(np.int8),
            unit="2th_deg",
            method=("bbox", "csr", "cython"),
        )[:2]
    return np.asarray(angle), np.asarray(intensity)
