"""A composition spread of Sn-Ti-Zn-O on a wafer: where its samples lie, of what they are, and in which phase region.

It stands in for the wafer of Jha 2020, chapter 7, whose images are not public: 177 samples in eight phase regions, of
which the smallest has 7 and the largest 37.
"""

from dataclasses import dataclass

import numpy as np

SAMPLES = 177
SPACING = 5.0
"""Between samples, mm."""
STEEPNESS = 0.0744
"""Of the logarithm of each gun's rate, a mm towards it."""
AVERAGE = (0.37, 0.34, 0.29)
"""Shares of tin, titanium and zinc in the middle of the wafer."""
ERROR = 0.01
"""Standard deviation of a measured share."""

REGIONS: dict[str, tuple[str, ...]] = {
    "rutile": ("rutile",),
    "rutile + anatase": ("rutile", "anatase"),
    "anatase": ("anatase",),
    "rutile + spinel": ("rutile", "spinel"),
    "anatase + spinel": ("anatase", "spinel"),
    "spinel": ("spinel",),
    "spinel + zincite": ("spinel", "zincite"),
    "zincite": ("zincite",),
}
"""The phases of each region."""

SOLVED, FILLED, LEFT, PURE = 0.084, 0.56, 0.74, 0.91
"""Shares of zinc: what rutile and anatase dissolve; where spinel takes all; where zincite begins; and is alone."""
ANATASE, RUTILE = 0.33, 0.69
"""Tin shares Sn / (Sn + Ti) below which anatase, and above which rutile is alone."""


@dataclass(frozen=True)
class Sample:
    """A spot on the wafer.

    Attributes
    ----------
    name : `S001` …
    place : x and y on the wafer, mm
    fractions : of tin, titanium and zinc among the metals
    measured : the same as an instrument tells them
    region : of `REGIONS`
    phases : what it is of: how much of each, adding up to 1, and the tin share Sn / (Sn + Ti) in it
    """

    name: str
    place: tuple[float, float]
    fractions: tuple[float, float, float]
    measured: tuple[float, float, float]
    region: str
    phases: dict[str, tuple[float, float]]


def spread(seed: int = 0) -> list[Sample]:
    """The samples of a wafer; `seed` is that of the errors in their compositions alone."""
    rng = np.random.default_rng([seed, 177])
    samples = []
    for number, place in enumerate(_places()):
        fractions = composition(place)
        told = np.maximum(fractions + rng.normal(0, ERROR, 3), 0)
        region, phases = phases_of(fractions)
        measured = tuple(float(v) for v in told / told.sum())
        samples.append(Sample(f"S{number + 1:03d}", place, fractions, measured, region, phases))  # type: ignore[arg-type]
    return samples


def composition(place: tuple[float, float]) -> tuple[float, float, float]:
    """Shares of tin, titanium and zinc at x, y in mm: three guns at 120°, whose rates fall off exponentially."""
    turns = np.radians([90, 210, 330])
    towards = np.cos(turns) * place[0] + np.sin(turns) * place[1]
    rates = np.array(AVERAGE) * np.exp(STEEPNESS * towards)
    first, second, third = (float(v) for v in rates / rates.sum())
    return first, second, third


def phases_of(fractions: tuple[float, float, float]) -> tuple[str, dict[str, tuple[float, float]]]:
    """Region and phases, by the lever rule along the zinc share and, with little zinc, along the tin share.

    In a mixture of rutile and anatase each keeps the tin share at which its region ends, and so does the one of them
    that spinel leaves, the nearer one: a triangle of three phases would be narrow, and is left out.
    """
    tin, titanium, zinc = fractions
    share = tin / max(tin + titanium, 1e-12)
    if zinc >= PURE:
        return "zincite", {"zincite": (1.0, share)}
    if zinc > LEFT:
        more = (zinc - LEFT) / (PURE - LEFT)
        return "spinel + zincite", {"spinel": (1 - more, share), "zincite": (more, share)}
    if zinc >= FILLED:
        return "spinel", {"spinel": (1.0, share)}
    if zinc > SOLVED:
        more = (zinc - SOLVED) / (FILLED - SOLVED)
        if share > (ANATASE + RUTILE) / 2:
            return "rutile + spinel", {"rutile": (1 - more, max(share, RUTILE)), "spinel": (more, share)}
        return "anatase + spinel", {"anatase": (1 - more, min(share, ANATASE)), "spinel": (more, share)}
    if share >= RUTILE:
        return "rutile", {"rutile": (1.0, share)}
    if share <= ANATASE:
        return "anatase", {"anatase": (1.0, share)}
    more = (share - ANATASE) / (RUTILE - ANATASE)
    return "rutile + anatase", {"rutile": (more, RUTILE), "anatase": (1 - more, ANATASE)}


def _places() -> list[tuple[float, float]]:
    """Of a hexagonal lattice the points nearest to the middle, from the top."""
    steps = np.arange(-20, 21)
    i, j = (a.ravel() for a in np.meshgrid(steps, steps))
    points = np.stack([SPACING * (i + 0.5 * (j % 2)), SPACING * np.sqrt(0.75) * j], axis=1)
    far = np.hypot(points[:, 0], points[:, 1])
    chosen = points[np.lexsort((i, j, np.round(far, 6)))[:SAMPLES]]
    order = np.lexsort((chosen[:, 0], -chosen[:, 1]))
    return [(float(x), float(y)) for x, y in chosen[order]]
