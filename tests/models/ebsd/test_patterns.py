"""Geometry, preparation and refinement of patterns."""

import numpy as np
import pytest
import torch

from matscreen.kernels.disorientation import disorientation_angle
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.patterns import prepared
from matscreen.models.ebsd.refinement import refined
from matscreen.models.ebsd.simulation import CLEAN, Crystal, Disturbance, disturbed, simulated, turned
from matscreen.models.ebsd.training import random_orientations
from matscreen.models.errors import InputError


def test_detector_axes_are_those_of_kikuchipy() -> None:
    kp = pytest.importorskip("kikuchipy")
    for tilts in ((70, 0, 0, 0), (70, 10, 0, 0), (60, -5, 7, 3), (0, 0, -20, 11)):
        theirs = kp.detectors.EBSDDetector(
            shape=(6, 8), sample_tilt=tilts[0], tilt=tilts[1], azimuthal=tilts[2], twist=tilts[3]
        )
        expected = (~theirs.sample_to_detector).to_matrix()[0]
        np.testing.assert_allclose(Geometry((6, 8), (0.5, 0.5, 0.5), *tilts).axes, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shape": (3, 60)}, "pixels"),
        ({"centre": (0.5, 0.5, 0.0)}, "out of range"),
        ({"centre": (0.5, 40, 0.5)}, "out of range"),
        ({"centre": (float("nan"), 0.5, 0.5)}, "out of range"),
        ({"sample_tilt": 400.0}, "sample_tilt"),
        ({"tilt": float("nan")}, "tilt"),
    ],
)
def test_impossible_geometry_is_refused(given: dict[str, float], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Geometry(**{"shape": (60, 60), "centre": (0.5, 0.5, 0.5), **given})


def test_brightness_contrast_and_background_do_not_count(crystal: Crystal, geometry: Geometry) -> None:
    q = random_orientations(20, "432", 0)
    images = simulated(crystal, geometry, q)
    plain = prepared(images)
    np.testing.assert_allclose(plain.norm(dim=1), 1, atol=1e-5)
    np.testing.assert_allclose(plain.mean(dim=1), 0, atol=1e-6)
    np.testing.assert_allclose(prepared(1000 * images + 50), plain, atol=2e-3)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side) for side in geometry.shape), indexing="ij")
    for slanted in (images * (1 + 0.3 * x), images * torch.exp(0.3 * y), images + 0.3 * x):
        assert (prepared(slanted) * plain).sum(dim=1).min() > 0.9
    static = 5 + x + y**2
    without = (prepared(0.2 * images + static) * plain).sum(dim=1)
    assert ((prepared(0.2 * images + static, static) * plain).sum(dim=1) > without).all()
    assert not prepared(torch.ones(2, *geometry.shape)).any()


def test_disturbances_are_those_asked_for(crystal: Crystal, geometry: Geometry) -> None:
    q = random_orientations(400, "432", 0)
    clean = disturbed(crystal, geometry, q, CLEAN)
    np.testing.assert_allclose(clean, prepared(simulated(crystal, geometry, q)), atol=1e-5)
    torch.manual_seed(5)
    once = disturbed(crystal, geometry, q, Disturbance())
    torch.manual_seed(5)
    np.testing.assert_array_equal(once, disturbed(crystal, geometry, q, Disturbance()))
    alike = (once * clean).sum(dim=1)
    assert alike.median() < 0.8
    assert alike.min() > 0
    many = q.repeat(50, 1)
    angles = np.degrees(disorientation_angle(turned(many, 2.0).numpy(), many.numpy()))
    assert abs((angles**2).mean() - 3 * 2.0**2) < 0.5


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_refinement_finds_what_was_simulated(crystal: Crystal, geometry: Geometry, noise: float) -> None:
    q = random_orientations(40, "432", 1)
    torch.manual_seed(0)
    centres = np.array(geometry.centre) + 0.01 * np.random.default_rng(0).normal(size=(40, 3))
    images = simulated(crystal, geometry, q, torch.from_numpy(centres))
    images = images + noise * images.std((1, 2), keepdim=True) * torch.randn(images.shape)
    start = turned(q, 0.8).numpy()
    before = start.copy()
    found, score = refined(prepared(images), start, centres, crystal, geometry)
    np.testing.assert_array_equal(start, before)
    off = np.degrees(disorientation_angle(found, q.numpy()))
    at_start = np.degrees(disorientation_angle(start, q.numpy()))
    assert np.median(off) < (0.02 if noise == 0 else 0.6 * np.median(at_start))
    made = prepared(simulated(crystal, geometry, torch.from_numpy(found), torch.from_numpy(centres)))
    np.testing.assert_allclose((made * prepared(images)).sum(1), score, atol=1e-4)


def test_refinement_never_makes_it_worse(crystal: Crystal, geometry: Geometry) -> None:
    torch.manual_seed(0)
    noise = prepared(torch.randn(30, *geometry.shape))
    q = random_orientations(30, "432", 2)
    before = (prepared(simulated(crystal, geometry, q)) * noise).sum(dim=1).numpy()
    found, score = refined(noise, q.numpy(), np.array(geometry.centre), crystal, geometry)
    assert (score >= before - 1e-6).all()
    assert np.isfinite(found).all()
