"""Raman spectra and a property of simulated Bi-V-oxide photoanodes, with a gradient that is known exactly.

It stands in for the published data (1,379 samples), which are not bundled, and is made to the same plan: scheelite-like
bismuth vanadates of three Bi/V ratios with up to two of Mo, W, Tb, Gd and Dy. What is known of their spectra is in it:
the symmetric stretch of VO4 near 829 cm⁻¹, the doublet of its bend at 327 and 367 cm⁻¹ that closes as the monoclinic
distortion goes, lattice modes, and bands of the vanadium sites that other metals take. The rest (strengths, shifts, the
property itself) is made up, smooth, and the same for ever: what is judged by it is whether an analysis finds what was
put in.

The property depends on the composition and on the distortion m, and m on the composition and on how the sample was
made, which only the spectrum shows: P = P(x, m(x, h)).
"""

from dataclasses import dataclass

import numpy as np
import torch

ELEMENTS = ("Bi", "V", "Mo", "W", "Tb", "Gd", "Dy")
ALLOYING = ELEMENTS[2:]
RATIOS = (1.083, 1.006, 0.926)
"""Bi to V."""
SAMPLES = 1379
BLOCK = 2000
"""Spectra made at a time."""
MOST = 0.08
"""Fraction of an alloying element."""
WAVENUMBERS = np.arange(80.0, 1335.0, 2.0)
"""cm⁻¹; the published spectra have the same range."""

_SUPPRESSES = torch.tensor([0.2, -0.1, 14.0, 11.0, 19.0, 17.0, 18.0], dtype=torch.float64)
"""By how much a fraction of each element closes the distortion."""
_HELPS = torch.tensor([0.6, -0.4, 9.0, 6.0, 4.0, 5.0, 4.5], dtype=torch.float64)
"""Of each element on the property, at once."""
_TOO_MUCH = torch.tensor([0.0, 0.0, 70.0, 55.0, 25.0, 20.0, 22.0], dtype=torch.float64)
_TOGETHER = 90.0
"""What a transition metal and a rare earth do together."""
_OF_DISTORTION = -1.3
_STRETCH = torch.tensor([0.0, 0.0, -55.0, -40.0, 25.0, 22.0, 28.0], dtype=torch.float64)
"""Shift of the stretch, cm⁻¹ for all atoms."""


@dataclass(frozen=True)
class Simulated:
    """Samples.

    Attributes
    ----------
    wavenumbers : (L,) float64, cm⁻¹
    spectra : (N, L) float32, the highest point of each near 1
    fractions : (N, 7) float64, of atoms of `ELEMENTS`
    made : (N,) float64, what the distortion owes to how a sample was made, unseen but for the spectrum
    values : (N,) float64, the property with the noise of its measurement
    """

    wavenumbers: np.ndarray
    spectra: np.ndarray
    fractions: np.ndarray
    made: np.ndarray
    values: np.ndarray


def simulate(seed: int, samples: int = SAMPLES, noise: float = 0.12) -> Simulated:
    """Samples of one seed; `noise` is the standard deviation of the property's measurement."""
    rng = np.random.default_rng(seed)
    fractions = np.zeros((samples, len(ELEMENTS)))
    for row in fractions:
        ratio = rng.choice(RATIOS)
        added = rng.choice(len(ALLOYING), rng.integers(1, 3), replace=False)
        row[2 + added] = rng.uniform(0, MOST, len(added))
        row[:2] = np.array([ratio, 1]) / (1 + ratio) * (1 - row.sum())
    made = rng.normal(0, 0.6, samples)
    x, h = torch.from_numpy(fractions), torch.from_numpy(made)
    parts = zip(torch.split(x, BLOCK), torch.split(h, BLOCK), strict=True)
    clean = np.concatenate([spectrum(*part).numpy() for part in parts])
    counts = 4000 * clean
    background = rng.uniform(0.01, 0.06, (samples, 1)) * np.exp(-np.linspace(0, rng.uniform(0, 2), clean.shape[1]))
    noisy = (rng.poisson(counts) / 4000 + background) * rng.uniform(0.95, 1.05, (samples, 1))
    values = performance(x, distortion(x, h)).numpy() + rng.normal(0, noise, samples)
    return Simulated(WAVENUMBERS, noisy.astype(np.float32), fractions, made, values)


def distortion(x: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """(N,) monoclinic distortion between 0 and 1, of fractions (N, 7) and how the samples were made (N,)."""
    return torch.sigmoid(1.2 - x @ _SUPPRESSES + made)


def performance(x: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    """(N,) property, mW/cm² in the published units' order, of fractions (N, 7) and distortions (N,)."""
    alone = x @ _HELPS - x**2 @ _TOO_MUCH
    together = _TOGETHER * x[:, 2:4].sum(dim=1) * x[:, 4:].sum(dim=1)
    return 2.0 + alone + together + _OF_DISTORTION * m


def spectrum(x: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """(N, L) float64, without noise, of fractions (N, 7) and how the samples were made (N,)."""
    at = torch.from_numpy(WAVENUMBERS)
    m = distortion(x, made)
    alloyed = x[:, 2:].sum(dim=1)

    def band(place: torch.Tensor | float, width: torch.Tensor | float, height: torch.Tensor | float) -> torch.Tensor:
        place, width, height = (
            torch.as_tensor(a, dtype=torch.float64).expand(len(x))[:, None] for a in (place, width, height)
        )
        return height * width**2 / ((at - place) ** 2 + width**2)

    broad = 1 + 4 * alloyed
    bands = [
        band(829 + x @ _STRETCH - 4 * (1 - m), 14 * broad, 1.0),  # symmetric stretch of VO4
        band(710, 16 * broad, 0.06 + 0.04 * m),
        band(346 + 21 * m, 11 * broad, 0.16 + 0.04 * m),  # bend, its two parts closing on each other
        band(346 - 19 * m, 12 * broad, 0.26 - 0.04 * m),
        band(213, 10 * broad, 0.16),
        band(129, 9 * broad, 0.20),
        band(880, 13, 2.2 * x[:, 2]),  # Mo-O
        band(917, 13, 1.8 * x[:, 3]),  # W-O
        band(799, 12, 1.5 * x[:, 4:].sum(dim=1)),  # V-O beside a rare earth, as in fergusonite
        band(471, 15, 0.9 * (x[:, 4] + 0.8 * x[:, 5] + 1.1 * x[:, 6])),
    ]
    return torch.stack(bands).sum(dim=0)


def exact_slopes(x: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the property by fractions (N, 7), which the distortion follows, and by how they were made (N,)."""
    given = torch.from_numpy(x).requires_grad_(), torch.from_numpy(made).requires_grad_()
    by_fractions, by_made = torch.autograd.grad(performance(given[0], distortion(*given)).sum(), given)
    return by_fractions.numpy(), by_made.numpy()


def spectral_slopes(x: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of spectra: by fractions (N, 7, L), and by how samples were made (N, L)."""
    given = torch.from_numpy(x), torch.from_numpy(made)
    columns = []
    for k in range(x.shape[1]):
        direction = torch.zeros_like(given[0])
        direction[:, k] = 1
        columns.append(torch.func.jvp(lambda a: spectrum(a, given[1]), (given[0],), (direction,))[1])
    by_made = torch.func.jvp(lambda h: spectrum(given[0], h), (given[1],), (torch.ones_like(given[1]),))[1]
    return torch.stack(columns, dim=1).numpy(), by_made.numpy()
