"""Orientations as numbers that a network can put out.

euler        Bunge angles, as published: they jump by 2π, and where the fundamental zone ends
quaternion   no jump within the fundamental zone, but at its end
cubic        the sum over the three fourfold axes a (in specimen axes) of a ⊗ a ⊗ a ⊗ a, which is the same for all 24
             equivalent orientations of 432 and different for all others: it jumps nowhere. Of its 15 components nine
             are free, as the sum of a_i a_j |a|² is δ_ij.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from matscreen.kernels.disorientation import SYMMETRY
from matscreen.kernels.disorientation.differentiable import product

_FREE = ((0, 0, 0, 0), (1, 1, 1, 1), (2, 2, 2, 2), (0, 0, 0, 1), (0, 1, 1, 1), (0, 0, 0, 2), (0, 2, 2, 2))
FREE = (*_FREE, (1, 1, 1, 2), (1, 2, 2, 2))
"""The nine components of the cubic tensor that a network puts out."""
STEPS = 12
"""Of the search for the orientation that a cubic tensor means; each leaves the cube of the angle."""


@dataclass(frozen=True)
class Representation:
    """One of them.

    Attributes
    ----------
    branches : how many numbers each branch of the network puts out
    encode : (N, sum(branches)) of unit quaternions (N, 4) in the fundamental zone
    decode : unit quaternions (N, 4) of what a network put out
    differentiable : whether gradients flow through `decode`
    symmetry : the only one that it is for, if not any
    """

    branches: tuple[int, ...]
    encode: Callable[[torch.Tensor], torch.Tensor]
    decode: Callable[[torch.Tensor], torch.Tensor]
    differentiable: bool = True
    symmetry: str | None = None


def fundamental(q: torch.Tensor, symmetry: str) -> torch.Tensor:
    """(N, 4): the equivalent of each unit quaternion that turns least, w >= 0; the first where several do."""
    operations = torch.as_tensor(np.array(SYMMETRY[symmetry]), dtype=q.dtype, device=q.device)
    real = (operations * operations.new_tensor([1, -1, -1, -1])) @ q.T  # of O q for each operation
    chosen = product(operations[real.abs().argmax(dim=0)], q)
    return torch.where(chosen[:, :1] < 0, -chosen, chosen)


def euler_of(q: torch.Tensor) -> torch.Tensor:
    """Bunge angles φ1, Φ, φ2 (N, 3) in radians, φ1 and φ2 from 0 to 2π, of unit quaternions (N, 4)."""
    w, x, y, z = q.unbind(1)
    half_sum, half_difference = torch.atan2(-z, w), torch.atan2(-y, -x)
    middle = 2 * torch.atan2(torch.hypot(x, y), torch.hypot(w, z))
    turn = 2 * torch.pi
    return torch.stack([(half_sum + half_difference) % turn, middle, (half_sum - half_difference) % turn], dim=1)


def of_euler(angles: torch.Tensor) -> torch.Tensor:
    """Unit quaternions (N, 4), passive as everywhere, of Bunge angles (N, 3) in radians."""
    first, middle, second = angles.unbind(1)
    half_sum, half_difference = (first + second) / 2, (first - second) / 2
    cosine, sine = torch.cos(middle / 2), torch.sin(middle / 2)
    return torch.stack(
        [
            cosine * torch.cos(half_sum),
            -sine * torch.cos(half_difference),
            -sine * torch.sin(half_difference),
            -cosine * torch.sin(half_sum),
        ],
        dim=1,
    )


def matrices(q: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3): v_crystal = matrix · v_specimen; the rows are crystal axes in specimen axes."""
    w, x, y, z = q.unbind(1)
    return torch.stack(
        [
            *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
            *(2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
            *(2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
        ],
        dim=1,
    ).reshape(-1, 3, 3)


def cubic_of(q: torch.Tensor) -> torch.Tensor:
    """(N, 9): the free components of Σ a ⊗ a ⊗ a ⊗ a."""
    axes = matrices(q)
    return torch.stack([axes[:, :, list(places)].prod(dim=2).sum(dim=1) for places in FREE], dim=1)


def of_cubic(free: torch.Tensor) -> torch.Tensor:
    """The orientation whose tensor is nearest to the one with these free components (N, 9), in the fundamental zone.

    From the best of a few hundred orientations by steps ω = Σ a × t(a) / 2, with t(a)_i = T_ijkl a_j a_k a_l: near the
    end ⟨T(ω), T⟩ = 3 − 4 ω², whichever way ω points, so that these are Newton's steps.
    """
    tensor = _whole(free.double())
    starts = _starts().to(free.device)
    alike = torch.einsum("mijkl,nijkl->nm", _whole(cubic_of(starts)), tensor)
    q = starts[alike.argmax(dim=1)]
    for _ in range(STEPS):
        axes = matrices(q)
        pull = torch.einsum("nijkl,naj,nak,nal->nai", tensor, axes, axes, axes)
        step = torch.linalg.cross(axes, pull, dim=2).sum(dim=1) / 2
        angle = step.norm(dim=1, keepdim=True).clamp(max=0.3)  # a tensor of no orientation may point anywhere
        way = torch.nn.functional.normalize(step, dim=1)
        # Turning the crystal by ω in specimen axes turns the passive rotation by its inverse, from the right.
        q = product(q, torch.cat([torch.cos(angle / 2), -torch.sin(angle / 2) * way], dim=1))
        q = torch.nn.functional.normalize(q, dim=1)
    return fundamental(q, "432").to(free.dtype)


def _whole(free: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3, 3, 3) symmetric tensors of their free components."""
    known = dict(zip(FREE, free.unbind(1), strict=True))
    x, y, z = (known[(i,) * 4] for i in range(3))
    known |= {(0, 0, 1, 1): (1 - x - y + z) / 2, (0, 0, 2, 2): (1 - x - z + y) / 2, (1, 1, 2, 2): (1 - y - z + x) / 2}
    known[0, 1, 2, 2] = -known[0, 0, 0, 1] - known[0, 1, 1, 1]
    known[0, 1, 1, 2] = -known[0, 0, 0, 2] - known[0, 2, 2, 2]
    known[0, 0, 1, 2] = -known[1, 1, 1, 2] - known[1, 2, 2, 2]
    places = torch.cartesian_prod(*[torch.arange(3)] * 4).tolist()
    return torch.stack([known[tuple(sorted(p))] for p in places], dim=1).reshape(-1, 3, 3, 3, 3)


def _starts() -> torch.Tensor:
    """(N, 4): a few hundred orientations about evenly over the fundamental zone of 432."""
    q = np.random.default_rng(0).normal(size=(600, 4))
    return fundamental(torch.from_numpy(q / np.linalg.norm(q, axis=1, keepdims=True)), "432")


REPRESENTATIONS = {
    "euler": Representation((1, 1, 1), euler_of, of_euler),
    "quaternion": Representation((2, 2), lambda q: q, lambda x: torch.nn.functional.normalize(x, dim=1)),
    "cubic": Representation((3, 3, 3), cubic_of, of_cubic, False, "432"),
}
