"""Disorientation angles of torch tensors, with gradients: the loss of orientation networks (Jha 2020, chapter 6).

With s the nearest rotation to d = q1 q2⁻¹ and ⟨s, d⟩ = cos h > 0, the angle 2h has the gradient −2 u with respect to d
on the unit sphere, u being the unit vector at d that points to s. It has length 2 everywhere; it is taken as 0 at angle
0, where u is no direction, and as that of the earlier s where two are equally near. Nothing is divided by a vanishing
sine.
"""

from typing import Any

import numpy as np
import torch

from matscreen.kernels.backend import device_of, gpu_here
from matscreen.kernels.disorientation.symmetry import between, checked_groups, components


def torch_angle(
    q1: torch.Tensor, q2: torch.Tensor, symmetry: str = "432", symmetry2: str | None = None
) -> torch.Tensor:
    """Disorientation angles (N,) in radians of pairs of unit quaternions (N, 4), differentiable in both.

    float32 or float64, on any device: by a Triton kernel on a CUDA device, else by PyTorch. The gradient is that on the
    sphere of unit quaternions: components along q itself are 0. Lengths are not checked; normalise what a network puts
    out before. ValueError for shapes that do not fit or an unknown group.
    """
    groups = checked_groups(symmetry, symmetry2)
    if q1.ndim != 2 or q1.shape[1] != 4 or q1.shape != q2.shape or q1.dtype != q2.dtype:
        raise ValueError(f"q1 and q2 must both be (N, 4) of one dtype, not {tuple(q1.shape)} and {tuple(q2.shape)}")
    rotations = torch.tensor(np.array(between(*groups)), dtype=q1.dtype, device=q1.device)
    angle: torch.Tensor = _Angle.apply(q1, q2, rotations)  # type: ignore[no-untyped-call]
    return angle


class _Angle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q1: torch.Tensor, q2: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
        if q1.device.type == "cuda" and gpu_here() == "cuda":
            from matscreen.kernels.disorientation import gpu

            with device_of(q1):
                angle, nearest = gpu.angles(q1, q2, rotations)
        else:
            turns = _turns(q1, q2)
            with torch.autocast(q1.device.type, enabled=False):  # its products would tell the wrong rotation
                dots = turns @ rotations.T
            nearest = dots.abs().argmax(dim=1)
            to_nearest = _to_nearest(turns, rotations, nearest)
            chord = (to_nearest**2).sum(dim=1)
            angle = 2 * torch.atan2((chord * (1 - chord / 4)).sqrt(), 1 - chord / 2)
        ctx.save_for_backward(q1, q2, rotations, nearest)
        return angle

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        q1, q2, rotations, nearest = ctx.saved_tensors
        if q1.device.type == "cuda" and gpu_here() == "cuda":
            from matscreen.kernels.disorientation import gpu

            with device_of(q1):
                return *gpu.gradients(q1, q2, rotations, nearest, outer[0]), None
        turns = _turns(q1, q2)
        across = _to_nearest(turns, rotations, nearest)
        across = across - (across * turns).sum(dim=1, keepdim=True) * turns
        sine = across.norm(dim=1, keepdim=True)
        gradient = outer[0][:, None] * torch.where(sine > 0, -2 * across / torch.where(sine > 0, sine, 1), 0)
        first, second = product(gradient, q2), product(inverse(gradient), q1)
        return first, second, None


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a · b of quaternions (N, 4): the rotation b, then a."""
    return torch.stack(components(a.unbind(1), b.unbind(1)), dim=1)


def inverse(q: torch.Tensor) -> torch.Tensor:
    """Of unit quaternions (N, 4)."""
    return q * q.new_tensor([1, -1, -1, -1])


def _turns(q1: torch.Tensor, q2: torch.Tensor) -> torch.Tensor:
    """q1 q2⁻¹ on the unit sphere, from which distances are told."""
    return torch.nn.functional.normalize(product(q1, inverse(q2)), dim=1)


def _to_nearest(turns: torch.Tensor, rotations: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
    """From d to ±s, of the sign that is nearer."""
    chosen = rotations[nearest.long()]
    return torch.where((chosen * turns).sum(dim=1, keepdim=True) < 0, -1, 1) * chosen - turns
