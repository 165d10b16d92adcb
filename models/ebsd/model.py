"""A trained OMNet: weights (safetensors) and the card (JSON) that says for which phase and geometry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.network import PLANS, OMNet
from matscreen.models.ebsd.representation import REPRESENTATIONS, fundamental
from matscreen.models.saved import read, read_card, usable, weights_file

SHIPPED = Path(__file__).parent / "weights"
ARCHITECTURE = "omnet"
ROWS = 256
"""Patterns predicted at a time."""


@dataclass(frozen=True)
class OrientationModel:
    """A network that tells orientations, ready for patterns.

    Attributes
    ----------
    card : what it was trained for and how
    network : in evaluation mode
    geometry : that it knows
    symmetry : of its phase
    """

    card: dict[str, Any]
    network: OMNet
    geometry: Geometry
    symmetry: str

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.card["name"])

    def orientations(self, patterns: torch.Tensor) -> np.ndarray:
        """(N, 4) float64 unit quaternions in the fundamental zone, of prepared patterns (N, rows · columns)."""
        decode = REPRESENTATIONS[self.card["training"]["representation"]].decode
        with torch.no_grad():
            found = [decode(self.network(part).double()) for part in torch.split(patterns, ROWS)]
        whole = torch.cat(found) if found else torch.zeros(0, 4, dtype=torch.float64)
        return fundamental(whole, self.symmetry).numpy()


def available() -> dict[str, dict[str, Any]]:
    """Cards of the models that ship, by name."""
    return {path.stem: read_card(path, ARCHITECTURE) for path in sorted(SHIPPED.glob("*.json"))}


def load(name: str | Path) -> OrientationModel:
    """The model `name`: one that ships, or a path to a .safetensors file with its card beside it.

    InputError for none such, or one that is damaged or does not belong to its card.
    """
    path = weights_file(name, SHIPPED, "orientation model")
    card, tensors = read(path, ARCHITECTURE)
    with usable(path):
        told = card["geometry"]
        geometry = Geometry(**{**told, "shape": tuple(told["shape"]), "centre": tuple(told["centre"])})
        branches = REPRESENTATIONS[card["training"]["representation"]].branches
        network = OMNet(PLANS[card["plan"]], geometry.shape, branches, 0)
        network.load_state_dict(tensors)
        symmetry = str(card["phase"]["symmetry"])
        fundamental(torch.tensor([[1.0, 0, 0, 0]]), symmetry)
    return OrientationModel(card, network.eval(), geometry, symmetry)
