"""The simulated wafer: its crystals against pymatgen, its spread, its images against pyFAI's integration."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyFAI")
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matscreen.engine.xrd import wafer
from matscreen.engine.xrd.phases import PHASES, reflections_of
from matscreen.engine.xrd.simulation import INSTRUMENTS, Film, detectors, frames, ring_table
from matscreen.engine.xrd.wafer_files import write_wafer
from matscreen.models.errors import InputError


@pytest.mark.parametrize(
    ("phase", "group", "formula", "bond"),
    [
        ("rutile", 136, "TiO2", 1.95),
        ("anatase", 141, "TiO2", 1.93),
        ("spinel", 227, "TiZn2O4", 1.99),
        ("zincite", 186, "ZnO", 1.97),
    ],
)
def test_crystals(phase: str, group: int, formula: str, bond: float) -> None:
    structure = PHASES[phase].structure(0.0)
    assert SpacegroupAnalyzer(structure).get_space_group_number() == group
    assert structure.composition.reduced_formula == formula
    nearest = min(near.nn_distance for near in structure.get_all_neighbors(2.5)[0])
    assert nearest == pytest.approx(bond, abs=0.02)
    theirs = XRDCalculator(1.5406).get_pattern(structure, scaled=True, two_theta_range=(10, 70))
    angles, strengths, tilts = reflections_of(phase, 0.0, 1.5406, 70.0)
    for angle, height in zip(theirs.x, theirs.y, strict=True):
        own = np.abs(angles - angle) < 1e-3
        assert strengths[own].sum() / strengths[np.abs(angles - theirs.x[theirs.y.argmax()]) < 1e-3].sum() == (
            pytest.approx(height / 100, abs=2e-3)
        )
    fibre = np.array(PHASES[phase].fibre)
    along = reflections_of(phase, 0.0, 1.5406, 70.0)[2]
    assert along.min() == pytest.approx(0, abs=1e-6), fibre  # the fibre planes themselves, or a multiple of them
    assert tilts.max() <= np.pi


def test_the_spread_has_the_published_imbalance() -> None:
    samples = wafer.spread()
    counts = Counter(sample.region for sample in samples)
    assert len(samples) == 177
    assert set(counts) == set(wafer.REGIONS)
    assert (min(counts.values()), max(counts.values())) == (7, 37)
    for sample in samples:
        assert set(sample.phases) <= set(wafer.REGIONS[sample.region])
        assert sum(sample.phases.values()) == pytest.approx(1)
        assert sum(sample.measured) == pytest.approx(1)
    assert [s.measured for s in wafer.spread(1)] != [s.measured for s in samples]
    assert [s.fractions for s in wafer.spread(1)] == [s.fractions for s in samples]


@pytest.mark.parametrize("name", list(INSTRUMENTS))
def test_frames_are_counts_of_a_seed(name: str) -> None:
    looking = detectors(INSTRUMENTS[name], 96)
    samples = wafer.spread()[:2]
    first = frames(samples[0], INSTRUMENTS[name], looking)
    assert len(first) == (1 if name == "slac" else 2)
    assert all(image.shape == (96, 96) and image.dtype == np.uint16 for image in first)
    again = frames(samples[0], INSTRUMENTS[name], looking, threads=2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for other in (frames(samples[1], INSTRUMENTS[name], looking), frames(samples[0], INSTRUMENTS[name], looking, 1)):
        assert (other[0] != first[0]).any()


def test_frames_look_where_the_text_says() -> None:
    (slac,) = detectors(INSTRUMENTS["slac"], 512)
    middle = slac.two_theta[:, 256]
    assert (middle.min(), middle.max()) == pytest.approx((5.365, 58.566), abs=0.15)
    for detector, (low, high) in zip(detectors(INSTRUMENTS["nist"], 64), ((10, 40), (30, 60)), strict=True):
        middle = detector.two_theta[:, 32]
        assert (middle.min(), middle.max()) == pytest.approx((low, high), abs=0.4)


def test_integrated_rings_are_those_of_the_powder() -> None:
    """Without texture, spots and background the detector's rings, integrated by pyFAI, are the powder's peaks."""
    instrument = INSTRUMENTS["nist"]
    sample = next(s for s in wafer.spread() if s.region == "zincite")
    film = Film(texture=0.0, spots=0.0, size=1e4, bright=1.0)
    angles, widths, heights = ring_table(sample, film, instrument, 70.0, np.random.default_rng(0))
    assert np.ptp(heights, axis=1).max() < 1e-6 * heights.max()
    powder = XRDCalculator(1.5406).get_pattern(PHASES["zincite"].structure(0), two_theta_range=(10, 60))
    from matscreen.kernels.diffraction_rings import rings

    detector = detectors(instrument, 512)[0]
    image = rings(detector.two_theta, detector.azimuth, angles, widths, heights)
    angle, intensity = detector.geometry.integrate1d(
        image, 600, unit="2th_deg", method=("bbox", "csr", "cython"), correctSolidAngle=False
    )[:2]
    for place, height in zip(powder.x, powder.y, strict=True):
        if 12 < place < 38:
            near = np.abs(angle - place) < 0.3
            assert intensity[near].max() == pytest.approx(height / 100, rel=0.06)


def test_texture_gathers_rings_and_keeps_their_sum() -> None:
    instrument, sample = INSTRUMENTS["nist"], wafer.spread()[0]
    rng = np.random.default_rng
    plain = ring_table(sample, Film(0.0, 0.0, 20, 1), instrument, 60.0, rng(0))
    textured = ring_table(sample, Film(0.9, 0.0, 20, 1), instrument, 60.0, rng(0))
    spotted = ring_table(sample, Film(0.0, 0.9, 20, 1), instrument, 60.0, rng(0))
    np.testing.assert_array_equal(plain[0], textured[0])
    first = int(np.argmin(np.abs(plain[0] - 26.6)))  # 110, the fibre planes: they reflect upwards
    upwards, aslant = 180, 90  # azimuths of 720; 110 has equivalents at 90 degrees, and none at 45
    assert textured[2][first, upwards] > 5 * plain[2][first, upwards]
    assert textured[2][first, aslant] < 0.2 * plain[2][first, aslant]
    np.testing.assert_allclose(spotted[2].mean(axis=1), plain[2].mean(axis=1), rtol=1e-5)


def test_a_wafer_in_files_is_made_once(tmp_path: Path) -> None:
    out = tmp_path / "w"
    seen: list[int] = []
    assert write_wafer(out, "slac", 64, 0, 2, lambda: seen.append(1)) == 177
    assert len(seen) == 177
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "S010_1.tif").unlink()
    assert write_wafer(out, "slac", 64, 0, 1) == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    with pytest.raises(InputError, match="another simulation"):
        write_wafer(out, "slac", 64, 1, 1)
    with pytest.raises(InputError, match="not empty"):
        write_wafer(tmp_path, "slac", 64, 1, 1)
    with pytest.raises(InputError, match="--pixels takes"):
        write_wafer(tmp_path / "x", "slac", 10, 1, 1)
    with pytest.raises(InputError, match="no instrument"):
        write_wafer(tmp_path / "x", "esrf", 64, 1, 1)
