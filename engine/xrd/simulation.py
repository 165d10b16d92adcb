"""Detector images of a wafer's samples: rings, arcs and spots on a background, counted photon by photon.

Two instruments, after those of Jha 2020, chapter 7: `slac`, one frame from 5.4 to 58.6 degrees, on a background higher
than most peaks that is another for every sample; `nist`, two frames of 30 degrees about 25 and 45, on a low background
that is the same for all.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from scipy.ndimage import zoom

from matscreen.engine.libraries import library
from matscreen.engine.xrd.phases import reflections_of
from matscreen.engine.xrd.wafer import Sample
from matscreen.kernels.diffraction_rings import rings
from matscreen.kernels.powder_pattern.reference import SAME_ANGLE

PIXELS = 2048
"""Of a side of the detector; fewer are each as much larger, and count as much as one of these."""
FINEST = 1024
"""Pixels a side, at which rings are told; images of fewer are means of these."""
FULL = 65535
"""Counts at which a pixel is saturated."""
AZIMUTHS = 720
SPREAD = np.radians(8)
"""Standard deviation of a textured film's crystals about the fibre axis."""
SPOT = np.radians(0.4)
"""The same of a mosaic spot's azimuths."""


@dataclass(frozen=True)
class Instrument:
    """A beam and where its frames stand.

    Attributes
    ----------
    wavelength : Å
    pixel : side of one of `PIXELS`, m
    frames : distance in m, the foot of the perpendicular from the sample (up and right of the detector's lower left, in
        sides of the detector), and the turn upwards in degrees, of each
    incidence : angle between beam and film, degrees
    width : full width of a ring at half height, degrees, of large crystals
    rings : counts at the strongest ring of a film of zincite, about
    background : counts beside it, about
    irregular : whether the background is another for every sample
    """

    wavelength: float
    pixel: float
    frames: tuple[tuple[float, float, float, float], ...]
    incidence: float
    width: float
    rings: float
    background: float
    irregular: bool

    def geometries(self, pixels: int = PIXELS) -> list[Any]:
        """A `pyFAI.AzimuthalIntegrator` for each frame of so many pixels a side."""
        integrator = library("pyFAI.integrator.azimuthal", "xrd").AzimuthalIntegrator
        side = self.pixel * PIXELS
        return [
            integrator(
                dist=distance,
                poni1=up * side,
                poni2=right * side,
                rot2=-np.radians(turn),
                pixel1=side / pixels,
                pixel2=side / pixels,
                wavelength=self.wavelength * 1e-10,
            )
            for distance, up, right, turn in self.frames
        ]


INSTRUMENTS: dict[str, Instrument] = {
    "slac": Instrument(0.9762, 79.1e-6, ((0.105, -0.061, 0.5, 0),), 7.0, 0.25, 900, 900, True),
    "nist": Instrument(1.5406, 68e-6, ((0.2598, 0.5, 0.5, 25), (0.2598, 0.5, 0.5, 45)), 10.0, 0.25, 120, 8, False),
}


@dataclass(frozen=True)
class Film:
    """How a sample's crystals lie: drawn for each.

    Attributes
    ----------
    texture : share of them that lie with the fibre planes flat
    spots : share of a ring's intensity that is in spots of single grains
    size : crystallites in nm, which widen the rings by Scherrer's equation
    bright : factor on all rings
    """

    texture: float
    spots: float
    size: float
    bright: float


@dataclass(frozen=True)
class Detector:
    """Where a frame looks, on a grid `times` as fine as its pixels; azimuths in radians, 90° upwards.

    Attributes
    ----------
    geometry : of its pixels, as pyFAI has it
    fine : the same of the finer grid
    pixels, times : a side, and the finer grid's share of it
    """

    geometry: Any
    fine: Any
    pixels: int
    times: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of the finer grid."""
        return self.pixels * self.times, self.pixels * self.times

    @cached_property
    def two_theta(self) -> np.ndarray:
        """(H, W) degrees."""
        return np.asarray(np.degrees(self.fine.center_array(self.shape, unit="2th_rad")))

    @cached_property
    def azimuth(self) -> np.ndarray:
        """(H, W) radians."""
        return np.asarray(self.fine.chiArray(self.shape))

    @cached_property
    def solid_angle(self) -> np.ndarray:
        """(H, W) of each pixel, over that of one at the foot of the perpendicular."""
        return np.asarray(self.fine.solidAngleArray(self.shape))

    def binned(self, image: np.ndarray) -> np.ndarray:
        """(pixels, pixels) means of an image on the finer grid."""
        side, times = self.pixels, self.times
        return np.asarray(image.reshape(side, times, side, times).mean(axis=(1, 3)))


def detectors(instrument: Instrument, pixels: int = PIXELS) -> list[Detector]:
    """Of each frame; made once for all samples, as their angles are the same."""
    times = max(1, -(-FINEST // pixels))
    pairs = zip(instrument.geometries(pixels), instrument.geometries(pixels * times), strict=True)
    return [Detector(geometry, fine, pixels, times) for geometry, fine in pairs]


def frames(
    sample: Sample, instrument: Instrument, looking: list[Detector], seed: int = 0, threads: int = 1
) -> list[np.ndarray]:
    """(H, W) uint16 of each frame, rows upwards as pyFAI has them; the same for the same sample and seed."""
    rng = np.random.default_rng([seed, int.from_bytes(sample.name.encode(), "big")])
    film = Film(rng.uniform(0, 0.9), rng.uniform(0, 0.6), float(rng.uniform(6, 40)), float(rng.lognormal(0, 0.25)))
    wanted = max(float(detector.two_theta.max()) for detector in looking) + 5
    sheet = ring_table(sample, film, instrument, min(wanted, 150.0), rng)
    shape = _irregular(rng) if instrument.irregular else _smooth
    found = []
    for detector in looking:
        scattered = rings(detector.two_theta, detector.azimuth, *sheet, threads=threads)
        mean = instrument.rings * film.bright * scattered + instrument.background * shape(detector)
        counts = rng.poisson(detector.binned(mean * detector.solid_angle))
        found.append(np.minimum(counts, FULL).astype(np.uint16))
    return found


def ring_table(
    sample: Sample, film: Film, instrument: Instrument, furthest: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles (K,), widths (K,) in degrees and heights (K, AZIMUTHS) of a sample's rings.

    The strongest ring of a film of large crystals of zincite, without texture, is of height 1.
    """
    strongest = _strongest(instrument.wavelength)
    angles, widths, heights = [], [], []
    for phase, (amount, share) in sorted(sample.phases.items()):
        places, strengths, tilts = reflections_of(phase, share, instrument.wavelength, furthest)
        begins = np.flatnonzero(np.diff(places, prepend=-1.0) > SAME_ANGLE)
        middle = places[begins]
        flat = _tilt_of(middle, instrument.incidence)
        fibre = _fibre(tilts, strengths, begins, flat)
        powder = np.add.reduceat(strengths, begins)[:, None]
        table = (1 - film.texture) * powder + film.texture * fibre
        table = table * (1 - film.spots + film.spots * _grains(rng, len(middle)))
        theta = np.radians(middle / 2)
        wide = instrument.width + np.degrees(0.9 * instrument.wavelength / (10 * film.size * np.cos(theta)))
        angles.append(middle)
        widths.append(wide)
        sharp = (instrument.width / wide)[:, None]  # the area of a ring stays
        heights.append(amount * table * sharp / strongest)
    order = np.argsort(np.concatenate(angles), kind="stable")
    return np.concatenate(angles)[order], np.concatenate(widths)[order], np.concatenate(heights)[order]


@lru_cache
def _strongest(wavelength: float) -> float:
    """Ring of zincite, in the units of `phases.reflections_of`."""
    places, strengths, _ = reflections_of("zincite", 0.0, wavelength, 90.0)
    return float(np.add.reduceat(strengths, np.flatnonzero(np.diff(places, prepend=-1.0) > SAME_ANGLE)).max())


def _tilt_of(angles: np.ndarray, incidence: float) -> np.ndarray:
    """(K, AZIMUTHS) radians between the film's normal and the planes that reflect to each azimuth of rings (K,)."""
    theta, lean = np.radians(angles / 2)[:, None], np.radians(incidence)
    upwards = np.sin(np.arange(AZIMUTHS) * (2 * np.pi / AZIMUTHS))
    return np.asarray(np.arccos(np.clip(np.sin(theta) * np.sin(lean) + np.cos(theta) * np.cos(lean) * upwards, -1, 1)))


def _fibre(tilts: np.ndarray, strengths: np.ndarray, begins: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """(K, AZIMUTHS): intensities of a fibre texture, in which the planes at `tilts` to the fibre's lie so to the film.

    A Gaussian about each tilt, and what it has at all directions together is what a powder has.
    """
    grid = np.linspace(0, np.pi, 361)
    weights = np.exp(-((grid[:, None] - tilts) ** 2) / (2 * SPREAD**2))
    whole = np.trapezoid(weights * np.sin(grid)[:, None], grid, axis=0) / 2
    each = weights / whole * strengths
    ring = np.add.reduceat(each, begins, axis=1)  # (G, K)
    return np.array([np.interp(line, grid, column) for line, column in zip(flat, ring.T, strict=True)])


def _grains(rng: np.random.Generator, count: int) -> np.ndarray:
    """(K, AZIMUTHS): rings of grains, each a spot at a random azimuth, of mean 1."""
    azimuths = np.arange(AZIMUTHS) * (2 * np.pi / AZIMUTHS)
    spot = np.exp(-((np.minimum(azimuths, 2 * np.pi - azimuths)) ** 2) / (2 * SPOT**2))
    hits = rng.poisson(0.15, (count, AZIMUTHS)) * rng.lognormal(0, 1, (count, AZIMUTHS))
    field = np.fft.irfft(np.fft.rfft(hits) * np.fft.rfft(spot), AZIMUTHS)
    return np.asarray(np.maximum(field, 0) / np.maximum(field.mean(axis=1, keepdims=True), 1e-12))


def _smooth(detector: Detector) -> np.ndarray:
    """Scattering by air and glass: a function of 2θ."""
    angle = detector.two_theta
    return np.asarray(np.exp(-angle / 25) + 0.4 * np.exp(-(((angle - 24) / 9) ** 2)))


def _irregular(rng: np.random.Generator) -> Any:
    """Another for each sample: air, two broad halos, shadows with straight edges and clouds; mean about 1."""
    level, halos = rng.lognormal(0, 0.5), rng.lognormal(-0.5, 0.5, 2)
    middles, wide = rng.uniform(12, 45, 2), rng.uniform(4, 12, 2)
    turns, cuts = rng.uniform(0, 2 * np.pi, 3), rng.uniform(-0.7, 0.7, 3)
    deep, soft = rng.uniform(0.2, 0.6, 3), 10 ** rng.uniform(-2.5, -1.5, 3)
    clouds, decay = rng.normal(0, 0.3, (8, 8)), rng.uniform(10, 30)

    def shape(detector: Detector) -> np.ndarray:
        angle = detector.two_theta
        side = np.linspace(-1, 1, len(angle))
        found = 0.8 * np.exp(-angle / decay)
        for high, middle, width in zip(halos, middles, wide, strict=True):
            found = found + 0.4 * high * np.exp(-(((angle - middle) / width) ** 2))
        for turn, cut, depth, edge in zip(turns, cuts, deep, soft, strict=True):
            across = np.cos(turn) * side + np.sin(turn) * side[:, None] - cut
            found = found * (1 - depth / (1 + np.exp(-np.clip(across / edge, -50, 50))))
        field = zoom(clouds, len(angle) / len(clouds), order=3, mode="nearest")
        found = found * np.exp(field)
        return np.asarray(level * found / found.mean())

    return shape
