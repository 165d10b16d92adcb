"""A map of hidden orientations, simulated for nickel and saved as a microscope would."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("kikuchipy")
import kikuchipy as kp

from matscreen.engine.ebsd.crystals import read_crystal
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.simulation import Crystal, Disturbance, disturbed
from matscreen.models.ebsd.training import random_orientations

GEOMETRY = Geometry((30, 24), (0.45, 0.3, 0.6))
MAP = (4, 5)
EMPTY_ONE, SATURATED_ONE = 3, 11


@dataclass(frozen=True)
class Measured:
    """A file and what it hides."""

    path: Path
    orientations: np.ndarray
    images: np.ndarray


@pytest.fixture(scope="session")
def nickel() -> Crystal:
    return read_crystal("nickel")


@pytest.fixture(scope="session")
def measured(nickel: Crystal, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """20 patterns of 8 bits with some noise, one of them empty, one saturated."""
    known = random_orientations(MAP[0] * MAP[1], nickel.symmetry, 5)
    torch.manual_seed(1)
    how = Disturbance(orientation=0, centre=0, noise=0.6)
    images = disturbed(nickel, GEOMETRY, known, how, prepare=False).numpy()
    images = np.clip(
        120 + 40 * (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True), 0, 254
    )
    images = images.astype(np.uint8)
    images[EMPTY_ONE] = 17
    images[SATURATED_ONE, :10] = 255
    path = tmp_path_factory.mktemp("maps") / "map.h5"
    save(images, path)
    return Measured(path, known.numpy(), images)


def save(images: np.ndarray, path: Path, geometry: Geometry = GEOMETRY) -> None:
    """Patterns (N, rows, columns) of the map as a file of kikuchipy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal = kp.signals.EBSD(images.reshape(*MAP, *images.shape[1:]))
        signal.detector = kp.detectors.EBSDDetector(shape=images.shape[1:], pc=geometry.centre, sample_tilt=70)
        for axis, name in zip(signal.axes_manager.navigation_axes, "xy", strict=True):
            axis.name, axis.units, axis.scale = name, "um", 0.5
        signal.save(path, overwrite=True)
