"""What OMNet is trained to make small (Jha 2020, 6.3.1 and table 6.1), and how its errors are told."""

import numpy as np
import torch

from matscreen.kernels.disorientation import SYMMETRY, disorientation
from matscreen.kernels.disorientation.differentiable import inverse, product, torch_angle
from matscreen.models.ebsd.representation import Representation, euler_of, fundamental

LOSSES = ("mae", "mse", "mde", "mae+mde", "mse+mde")
"""Mean absolute and squared error of what the network puts out, mean disorientation, and their sums (radians)."""


def losses(
    outputs: torch.Tensor, orientations: torch.Tensor, loss: str, representation: Representation, symmetry: str
) -> torch.Tensor:
    """(N,) loss of each pattern: network outputs against unit quaternions (N, 4) in the fundamental zone."""
    total = outputs.new_zeros(len(outputs))
    for part in loss.split("+"):
        if part == "mde":
            total = total + torch_angle(representation.decode(outputs), orientations, symmetry)
        else:
            off = outputs - representation.encode(orientations)
            total = total + (off.abs() if part == "mae" else off**2).mean(dim=1)
    return total


def mseae(found: np.ndarray, true: np.ndarray, symmetry: str) -> np.ndarray:
    """(3,) mean absolute differences of φ1, Φ, φ2 in radians, of the equivalents that are nearest (eqs. 6.6–6.8).

    `found` and `true` are unit quaternions (N, 4). The true orientation is the one in the fundamental zone, and of what
    was found the equivalent nearest to it: of the other equivalents the same angles differ by other amounts. Each
    difference is taken the short way round before the mean.
    """
    known = fundamental(torch.from_numpy(true.astype(np.float64)), symmetry)
    _, _, operations = disorientation(found, known.numpy(), symmetry)
    first, second = (torch.from_numpy(SYMMETRY[symmetry][which]) for which in operations.T)
    back = product(inverse(second), first)
    pairs = (euler_of(product(back, torch.from_numpy(found.astype(np.float64)))), euler_of(known))
    off = (pairs[0] - pairs[1]).abs() % (2 * torch.pi)
    return torch.minimum(off, 2 * torch.pi - off).mean(dim=0).numpy()
