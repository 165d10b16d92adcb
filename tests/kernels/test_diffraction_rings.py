"""Rings against their definition, NumPy profiles and areas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscreen.kernels.diffraction_rings import rings


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 40), bins=st.integers(1, 50), lorentzian=st.floats(0, 1))
@settings(max_examples=40)
def test_as_defined(seed: int, count: int, bins: int, lorentzian: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 30, 2))
    angles = np.sort(np.round(rng.uniform(0, 60, count), 1))  # some equal
    given = (
        np.round(rng.uniform(0, 60, shape), 1),  # some at a ring
        rng.choice([0, np.pi, -np.pi, 2 * np.pi, 40.0], shape) + rng.choice([0.0, 0.3], shape),
        angles,
        rng.choice([0.11, 0.53, 3.07], count),
        rng.random((count, bins)),
        lorentzian,
    )
    expected = rings(*given, backend="reference")
    for threads in (1, 3):
        np.testing.assert_allclose(rings(*given, threads=threads), expected, rtol=2e-6, atol=1e-6)


def test_a_ring_has_the_width_and_area_of_its_profile() -> None:
    two_theta = np.linspace(0, 40, 40_001)[None]
    width = 0.5
    for lorentzian, area in ((0.0, np.sqrt(np.pi / np.log(2)) / 2), (1.0, np.arctan(24.0))):  # 12 widths each side
        found = rings(two_theta, np.zeros_like(two_theta), [20.0], [width], [[3.0]], lorentzian)[0]
        assert found.max() == pytest.approx(3.0)
        above = two_theta[0][found >= 1.5]
        assert np.ptp(above) == pytest.approx(width, abs=2e-3)
        assert found.sum() * 1e-3 == pytest.approx(3.0 * width * area, rel=1e-3)


def test_heights_turn_with_the_azimuth() -> None:
    azimuth = np.linspace(-2 * np.pi, 2 * np.pi, 33)[None]
    heights = np.array([[1.0, 2.0, 3.0, 2.0]])
    found = rings(np.full_like(azimuth, 20.0), azimuth, [20.0], [0.2], heights)[0]
    expected = np.interp(azimuth[0] % (2 * np.pi), np.arange(5) * np.pi / 2, [1, 2, 3, 2, 1])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"two_theta": np.zeros(3)}, "must be"),
        ({"angles": [2.0, 1.0]}, "must rise"),
        ({"widths": [0.1, 0.0]}, "positive"),
        ({"widths": [0.1]}, "angles and widths"),
        ({"heights": np.zeros((2, 0))}, "no azimuth"),
        ({"heights": [[np.nan], [1]]}, "not finite"),
        ({"lorentzian": 1.1}, "Lorentzian"),
    ],
)
def test_what_is_no_ring(change: dict[str, object], told: str) -> None:
    right = {"two_theta": np.zeros((2, 2)), "azimuth": np.zeros((2, 2)), "angles": [1.0, 2.0], "widths": [0.1, 0.1]}
    with pytest.raises(ValueError, match=told):
        rings(**{**right, "heights": np.ones((2, 1)), **change})  # type: ignore[arg-type]
