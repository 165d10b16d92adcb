"""A crystal made up for the tests, and a small detector."""

import numpy as np
import pytest
import torch

from matscreen.kernels.disorientation import SYMMETRY
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.representation import matrices
from matscreen.models.ebsd.simulation import Crystal


def bands(symmetry: str, side: int = 61) -> np.ndarray:
    """(2, side, side): bright bands about three planes and all that the symmetry makes of them."""
    line = np.linspace(-1, 1, side)
    x, y = np.meshgrid(line, line)
    far, near = np.where(np.abs(x) >= np.abs(y), x, y), np.where(np.abs(x) >= np.abs(y), y, x)
    angle = np.divide(near, far, out=np.zeros_like(x), where=far != 0) * np.pi / 4
    height = 1 - far**2
    flat = np.sqrt(np.maximum(1 - height**2, 0)) * np.sign(far)
    along, beside = flat * np.cos(angle), flat * np.sin(angle)
    steep = np.abs(y) > np.abs(x)
    v = np.stack([np.where(steep, beside, along), np.where(steep, along, beside), height], axis=-1)
    turns = matrices(torch.from_numpy(np.array(SYMMETRY[symmetry]))).numpy()
    pattern = np.zeros((2, side, side))
    for plane, width, bright in (((1, 1, 0), 0.05, 1), ((1, 0.3, 0.2), 0.08, 0.7), ((0.2, 0.5, 1), 0.04, 0.8)):
        for turn in turns:
            normal = turn @ plane / np.linalg.norm(plane)
            for n, sign in enumerate((1, -1)):
                pattern[n] += bright * np.exp(-(((v * [1, 1, sign]) @ normal) ** 2) / (2 * width**2))
    return ((pattern - pattern.min()) / np.ptp(pattern)).astype(np.float32)


@pytest.fixture(scope="session")
def crystal() -> Crystal:
    return Crystal("made up", "432", bands("432"), 20.0, (3.5, 3.5, 3.5, 90, 90, 90), "m-3m")


@pytest.fixture(scope="session")
def geometry() -> Geometry:
    return Geometry((24, 20), (0.45, 0.3, 0.6))
