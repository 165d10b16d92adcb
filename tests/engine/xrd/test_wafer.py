"""The simulated wafer: its crystals against pymatgen, its spread, its images against pyFAI's integration."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyFAI")
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matscreen.engine.xrd import simulation, wafer
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
        assert sum(amount for amount, _ in sample.phases.values()) == pytest.approx(1)
        assert sum(sample.measured) == pytest.approx(1)
        tin = sum(amount * share for phase, (amount, share) in sample.phases.items())
        if sample.region == "rutile + anatase":  # in which the lever rule keeps the tin
            assert tin == pytest.approx(sample.fractions[0] / (sample.fractions[0] + sample.fractions[1]))
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
    middle = slac.two_theta[:, slac.shape[1] // 2]
    assert (middle.min(), middle.max()) == pytest.approx((5.365, 58.566), abs=0.15)
    for detector, (low, high) in zip(detectors(INSTRUMENTS["nist"], 64), ((10, 40), (30, 60)), strict=True):
        middle = detector.two_theta[:, detector.shape[1] // 2]
        assert (middle.min(), middle.max()) == pytest.approx((low, high), abs=0.1)


def test_integrated_frames_are_the_powder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a film without texture, spots and background pyFAI integrates the peaks of the powder off the counts."""
    monkeypatch.setattr(simulation, "Film", lambda *_: Film(texture=0.0, spots=0.0, size=1e4, bright=1e3))
    sample = next(s for s in wafer.spread() if s.region == "zincite")
    powder = XRDCalculator(0.9762).get_pattern(PHASES["zincite"].structure(0), two_theta_range=(10, 60))
    instrument = replace(INSTRUMENTS["slac"], background=0.0, rings=20)
    looking = detectors(instrument, 1024)
    (image,) = frames(sample, instrument, looking)
    angle, intensity = looking[0].geometry.integrate1d(
        image.astype(np.float32), 1500, unit="2th_deg", method=("bbox", "csr", "cython")
    )[:2]
    checked = 0
    for place, height in zip(powder.x, powder.y, strict=True):
        if 12 < place < 58 and height > 3:
            near = np.abs(angle - place) < 0.3
            assert intensity[near].max() / 20e3 == pytest.approx(height / 100, rel=0.12)
            checked += 1
    assert checked >= 8


@pytest.mark.parametrize("tilt", [0.0, 0.7, np.pi / 2])
def test_a_fibre_has_what_a_powder_has_over_all_directions(tilt: float) -> None:
    grid = np.linspace(0, np.pi, 2001)
    found = simulation._fibre(np.array([tilt]), np.array([3.0]), np.array([0]), grid[None])[0]
    assert np.trapezoid(found * np.sin(grid), grid) / 2 == pytest.approx(3.0, rel=2e-3)
    assert grid[found.argmax()] == pytest.approx(tilt, abs=0.01)


@pytest.mark.parametrize(("name", "low", "high"), [("slac", 200, 4000), ("nist", 3, 12)])
def test_backgrounds_are_as_high_as_told(name: str, low: float, high: float) -> None:
    looking = detectors(INSTRUMENTS[name], 64)
    medians = [np.median(frames(sample, INSTRUMENTS[name], looking)[0]) for sample in wafer.spread()[:3]]
    assert low < min(medians) < max(medians) < high
    assert (max(medians) > 1.3 * min(medians)) == (name == "slac")  # another for every sample


def test_tilts_are_angles_between_planes() -> None:
    angles, _, tilts = reflections_of("spinel", 1.0, 1.5406, 40.0)
    d111 = 8.657 / np.sqrt(3)
    own = tilts[np.abs(angles - 2 * np.degrees(np.arcsin(1.5406 / 2 / d111))) < 1e-6]
    expected = np.arccos([1, 1 / 3, 1 / 3, 1 / 3, -1 / 3, -1 / 3, -1 / 3, -1])
    np.testing.assert_allclose(np.sort(own), np.sort(expected), atol=1e-6)


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


def test_a_wafer_in_files_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "FINEST", 64)  # a sixteenth as fine, which takes seconds
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
