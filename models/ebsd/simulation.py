"""Patterns as a detector would see them, and as it might: displaced, unevenly lit, noisy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from matscreen.kernels.disorientation.differentiable import product
from matscreen.kernels.master_pattern import project_patterns
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.patterns import prepared


@dataclass(frozen=True)
class Crystal:
    """A phase and what it scatters.

    Attributes
    ----------
    name : of the phase
    symmetry : its proper point group, a key of `kernels.disorientation.SYMMETRY`
    master : (2, S, S) float32, its master pattern (see `kernels.master_pattern`)
    energy_kev : of the electrons
    lattice : a, b, c in Å and α, β, γ in degrees
    point_group : in full, as `m-3m`
    """

    name: str
    symmetry: str
    master: np.ndarray
    energy_kev: float
    lattice: tuple[float, float, float, float, float, float]
    point_group: str


@dataclass(frozen=True)
class Disturbance:
    """How far what is learnt from differs from a clean simulation; each is drawn anew for every pattern.

    Attributes
    ----------
    orientation : degrees, about how far a pattern's orientation lies from that of the grid: half of its spacing
    centre : standard deviation of the pattern centre and the distance, in heights of the detector
    background : standard deviation of the coefficients of a quadratic background, in standard deviations of the pattern
    contrast : the same of the logarithms of the contrast and of the noise, which vary over the detector
    exponent : median of the exponent of intensities: detectors show far less of the brightest spots than simulations
        do. On the real nickel patterns the likeness is highest, and the skewness the same, at about 0.35
    gain : standard deviation of the logarithm of that exponent
    noise : most noise, in standard deviations of the pattern; from 0 to this
    patches : the same of random patches, a 5th to a 20th of the detector wide: what is left of the real nickel patterns
        when the simulated ones are taken away is noise, and as much as the simulation itself in patches of this size
    """

    orientation: float = 1.0
    centre: float = 0.005
    background: float = 1.0
    contrast: float = 0.5
    exponent: float = 0.35
    gain: float = 0.5
    noise: float = 3.0
    patches: float = 2.0


CLEAN = Disturbance(0, 0, 0, 0, 1, 0, 0, 0)


def simulated(
    crystal: Crystal, geometry: Geometry, orientations: torch.Tensor, centres: torch.Tensor | None = None
) -> torch.Tensor:
    """(N, rows, columns) float32 on the device of the orientations (N, 4)."""
    places = orientations.new_tensor(geometry.centre) if centres is None else centres
    master = torch.from_numpy(crystal.master).to(orientations.device)
    project: Any = project_patterns  # whose types tell of arrays alone
    patterns: torch.Tensor = project(
        master, orientations, places, geometry.shape, geometry.axes, threads=torch.get_num_threads()
    )
    return patterns


def turned(orientations: torch.Tensor, degrees: float) -> torch.Tensor:
    """The orientations, each turned by a random rotation vector of so many degrees' standard deviation."""
    half = torch.randn(len(orientations), 3, device=orientations.device, dtype=orientations.dtype)
    small = torch.cat([torch.ones_like(half[:, :1]), half * (np.radians(degrees) / 2)], dim=1)
    return torch.nn.functional.normalize(product(small, orientations), dim=1)


def disturbed(
    crystal: Crystal, geometry: Geometry, orientations: torch.Tensor, how: Disturbance, prepare: bool = True
) -> torch.Tensor:
    """Simulated patterns with all but `how.orientation`, from PyTorch's generator: prepared, or (N, rows, columns)."""
    count, device = len(orientations), orientations.device
    centres = orientations.new_tensor(geometry.centre) + how.centre * torch.randn(
        count, 3, device=device, dtype=orientations.dtype
    )
    centres[:, 2].clamp_(min=0.05)
    patterns = simulated(crystal, geometry, orientations, centres)
    least = patterns.amin((1, 2), keepdim=True)
    span = (patterns.amax((1, 2), keepdim=True) - least).clamp(min=1e-12)
    exponents = how.exponent * torch.exp(how.gain * torch.randn(count, 1, 1, device=device))
    patterns = ((patterns - least) / span) ** exponents
    spread = patterns.std((1, 2), keepdim=True)
    y, x = (torch.linspace(-1, 1, side, device=device) for side in geometry.shape)
    waves = torch.stack([s.expand(geometry.shape) for s in (x, y[:, None], x * y[:, None], x**2, y[:, None] ** 2)])

    def smooth(size: float) -> torch.Tensor:
        return torch.einsum("nk,kij->nij", size * torch.randn(count, len(waves), device=device), waves)

    patterns = patterns * torch.exp(smooth(how.contrast)) + spread * smooth(how.background)
    if how.patches:
        most = how.patches * torch.rand(count, 1, 1, device=device)
        patterns = patterns + spread * most * _patches(count, geometry.shape, device)
    loud = how.noise * torch.rand(count, 1, 1, device=device) * torch.exp(smooth(how.contrast))
    patterns = patterns + spread * loud * torch.randn(patterns.shape, device=device)
    return prepared(patterns) if prepare else patterns


def _patches(count: int, shape: tuple[int, int], device: torch.device) -> torch.Tensor:
    """(N, rows, columns): random fields of standard deviation about 0.9, of one grain for all."""
    grains = int(torch.randint(5, 21, ()))
    rows, columns = (max(2, round(grains * side / max(shape))) for side in shape)
    coarse = torch.randn(count, 1, rows, columns, device=device)
    return torch.nn.functional.interpolate(coarse, shape, mode="bicubic", align_corners=False)[:, 0]
