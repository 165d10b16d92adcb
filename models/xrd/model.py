"""A trained PADNet: for which images, elements and phase regions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matscreen.models.device import here
from matscreen.models.saved import read, usable
from matscreen.models.xrd.network import PLANS, PADNet

ARCHITECTURE = "padnet"


@dataclass(frozen=True)
class RegionModel:
    """A network that tells phase regions, ready for images.

    Attributes
    ----------
    card : what it was trained for and how
    network : in evaluation mode
    """

    card: dict[str, Any]
    network: PADNet

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.card["name"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the phase regions."""
        return tuple(self.card["classes"])

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the columns of compositions; none where it takes no composition."""
        return tuple(self.card["elements"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Images of a sample, and their rows and columns."""
        rows, columns = self.card["shape"]
        return self.card["views"], rows, columns

    def probabilities(self, images: np.ndarray, compositions: np.ndarray) -> np.ndarray:
        """(N, classes) float32 of images (N, V, H, W) and compositions (N, E)."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            logits = self.network(
                torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(device),
                torch.from_numpy(np.ascontiguousarray(compositions, np.float32)).to(device),
            )
        return torch.softmax(logits, dim=1).cpu().numpy()


def load(path: Path) -> RegionModel:
    """The model in a .safetensors file with its card beside it; InputError for none such, or one that is damaged."""
    card, tensors = read(path, ARCHITECTURE)
    with usable(path):
        network = PADNet(
            PLANS[card["plan"]],
            int(card["views"]),
            (int(card["shape"][0]), int(card["shape"][1])),
            len(card["elements"]),
            len(card["classes"]),
            int(card["filter"]),
            bool(card["training"]["trained"]),
            0,
        )
        network.load_state_dict(tensors)
        str(card["background"]), int(card["background_size"]), int(card["masked_pixels"])
    return RegionModel(card, network.eval().to(here().device))
