"""Where the detector stands."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from matscreen.models.errors import InputError

_UNTILTED = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
"""Detector axes (columns: right, up, away) in specimen axes while nothing is tilted."""


@dataclass(frozen=True)
class Geometry:
    """Detector and specimen, in the conventions of kikuchipy and of Bruker.

    Attributes
    ----------
    shape : rows and columns of a pattern
    centre : pattern centre x, y from the upper left, in widths and heights of the detector; its distance in heights
    sample_tilt, tilt, azimuthal, twist : degrees, of the specimen and of the detector about its axes right, up and away
    """

    shape: tuple[int, int]
    centre: tuple[float, float, float]
    sample_tilt: float = 70.0
    tilt: float = 0.0
    azimuthal: float = 0.0
    twist: float = 0.0

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or not all(4 <= side <= 4096 for side in self.shape):
            raise InputError(f"a pattern has from 4 × 4 to 4096 × 4096 pixels, not {self.shape}")
        x, y, distance = self.centre
        if not (abs(x - 0.5) <= 1.5 and abs(y - 0.5) <= 1.5 and 0.1 <= distance <= 5):
            raise InputError(
                f"the pattern centre {x:g},{y:g},{distance:g} is out of range: x and y are fractions of the detector's "
                "width and height (−1 to 2), the distance is in heights (0.1 to 5)"
            )
        for name in ("sample_tilt", "tilt", "azimuthal", "twist"):
            if not abs(getattr(self, name)) <= 180:
                raise InputError(f"{name} must be an angle from −180° to 180°, not {getattr(self, name):g}")

    @property
    def axes(self) -> np.ndarray:
        """(3, 3): detector axes as columns, in specimen axes."""
        turned = Rotation.from_euler("XYZ", [self.tilt - self.sample_tilt, -self.azimuthal, -self.twist], degrees=True)
        return np.asarray(_UNTILTED @ turned.as_matrix())
