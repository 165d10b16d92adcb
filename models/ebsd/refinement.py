"""From a near orientation to the best one: Gauss–Newton steps on the simulated pattern itself.

With p the measured and s(ω) the simulated pattern, both prepared (of length 1, mean 0), the turn ω that brings them
together solves the least squares of c·p − s − J ω, J = ∂s/∂ω by central differences. The dot product p · s may not
fall: a step that would lower it is halved. Noise in p moves the result by its share of J alone.
"""

import numpy as np
import torch

from matscreen.kernels.disorientation.differentiable import product
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.patterns import prepared
from matscreen.models.ebsd.representation import fundamental
from matscreen.models.ebsd.simulation import Crystal, simulated

DELTA = np.radians(0.1)
"""Half the step of the differences: far less than a band's width, far more than rounding."""
STEPS = 8
ENOUGH = np.radians(0.002)
"""A smaller step ends the search."""
LARGEST = np.radians(3.0)
"""Of one step: the width of a band; what is further off is another minimum."""


def refined(
    patterns: torch.Tensor,
    orientations: np.ndarray,
    centres: np.ndarray,
    crystal: Crystal,
    geometry: Geometry,
) -> tuple[np.ndarray, np.ndarray]:
    """The orientations (N, 4) float64 near the given ones that fit the prepared patterns (N, P) best, and how well.

    `centres` are (3,) or (N, 3), of each pattern. The scores (N,) float32 are the dot products, from −1 to 1.
    """
    q = torch.tensor(orientations, dtype=torch.float64)  # its own, as it changes
    places = torch.from_numpy(np.broadcast_to(np.asarray(centres, np.float64), (len(q), 3)).copy())
    simulate = _Simulate(crystal, geometry)
    now = simulate(q, places)
    score = (now * patterns).sum(dim=1)
    active = torch.arange(len(q))
    for _ in range(STEPS):
        if not len(active):
            break
        step = _newton(simulate, q[active], places[active], patterns[active])
        better = torch.zeros(len(active), dtype=torch.bool)
        for halved in (1.0, 0.5, 0.25):
            trying = torch.nonzero(~better)[:, 0]
            if not len(trying):
                break
            rows = active[trying]
            candidate = _turn(q[rows], halved * step[trying])
            trial = (simulate(candidate, places[rows]) * patterns[rows]).sum(dim=1)
            won = trial > score[rows]
            q[rows[won]], score[rows[won]] = candidate[won], trial[won]
            better[trying[won]] = True
        active = active[better & (step.norm(dim=1) > ENOUGH)]
    return fundamental(q, crystal.symmetry).numpy(), score.float().numpy()


class _Simulate:
    """Prepared patterns (N, P) of orientations and centres."""

    def __init__(self, crystal: Crystal, geometry: Geometry) -> None:
        self.crystal, self.geometry = crystal, geometry

    def __call__(self, q: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
        return prepared(simulated(self.crystal, self.geometry, q, centres))


def _newton(simulate: _Simulate, q: torch.Tensor, centres: torch.Tensor, patterns: torch.Tensor) -> torch.Tensor:
    """(N, 3) rotation vectors in crystal axes, radians, none longer than `LARGEST`."""
    slopes, middle = [], torch.zeros_like(patterns)
    for axis in torch.eye(3, dtype=q.dtype) * DELTA:
        ahead, behind = (simulate(_turn(q, sign * axis.expand(len(q), 3)), centres) for sign in (1, -1))
        slopes.append((ahead - behind) / (2 * DELTA))
        middle = middle + (ahead + behind) / 6
    slope = torch.stack(slopes, dim=2).double()
    here = torch.nn.functional.normalize(middle.double(), dim=1)
    measured = patterns.double()
    alike = (here * measured).sum(dim=1, keepdim=True).clamp(min=0.05)
    left = measured / alike - here
    square = slope.transpose(1, 2) @ slope
    square = square + 1e-9 * square.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(3, dtype=q.dtype)
    step = torch.linalg.solve(square + 1e-12 * torch.eye(3, dtype=q.dtype), slope.transpose(1, 2) @ left[:, :, None])
    step = step[:, :, 0]
    shortened: torch.Tensor = step * (LARGEST / step.norm(dim=1, keepdim=True).clamp(min=LARGEST))
    return shortened


def _turn(q: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Orientations turned by rotation vectors (N, 3) in crystal axes."""
    angle = vectors.norm(dim=1, keepdim=True)
    scale = torch.where(angle > 0, torch.sin(angle / 2) / angle.clamp(min=1e-30), 0.5)
    turn = torch.cat([torch.cos(angle / 2), scale * vectors], dim=1)
    return torch.nn.functional.normalize(product(turn, q), dim=1)
