"""Powder reflections against the sum over all of the reciprocal lattice and against pymatgen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from matscreen.engine.xrd.powder import crystal_of, powder_vector
from matscreen.kernels.powder_pattern import Crystal, gaussian_profile, peaks
from matscreen.models.errors import InputError

STRUCTURES = {
    "rock salt": lambda: Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]),
    "rutile": lambda: Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    ),
    "quartz": lambda: Structure.from_spacegroup(
        "P3_221", Lattice.hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]
    ),
    "half full": lambda: Structure(
        Lattice.orthorhombic(3, 4, 5), [{"Fe": 0.5, "Ni": 0.3}, "O"], [[0, 0, 0], [0.5, 0.5, 0.4]]
    ),
}


def random_crystal(rng: np.random.Generator, sites: int) -> Crystal:
    lattice = np.diag(rng.uniform(2.5, 7, 3)) + rng.normal(size=(3, 3)) * 0.4
    scattering = np.array([[11.0, 2.2, 50.0, 1.1, 10.0], [17.0, 1.5, 30.0, 0.7, 4.0], [8.0, 0.5, 12.0, 0.0, 0.0]])
    return Crystal(lattice, rng.random((sites, 3)), rng.integers(0, 3, sites), rng.uniform(0.2, 1, sites), scattering)


@given(seed=st.integers(0, 2**32 - 1), sites=st.integers(1, 9))
@settings(max_examples=25)
def test_as_defined(seed: int, sites: int) -> None:
    rng = np.random.default_rng(seed)
    crystal = random_crystal(rng, sites)
    for two_theta in ((0.0, 70.0), (25.0, 50.0)):
        angles, intensities = peaks(crystal, 1.54, two_theta)
        expected = peaks(crystal, 1.54, two_theta, backend="reference")
        np.testing.assert_allclose(angles, expected[0], atol=1e-9)
        np.testing.assert_allclose(intensities, expected[1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", list(STRUCTURES))
@pytest.mark.parametrize("wavelength", ["CuKa", "MoKa"])
def test_equals_pymatgen(name: str, wavelength: str) -> None:
    structure = STRUCTURES[name]()
    theirs = XRDCalculator(wavelength)
    expected = theirs.get_pattern(structure, two_theta_range=(0, 90))
    for cell in (structure, structure * (2, 1, 1)):  # the same crystal, told otherwise
        angles, intensities = peaks(crystal_of(cell), theirs.wavelength)
        np.testing.assert_allclose(angles, expected.x, atol=2e-5)  # they round to 1e-5 degrees
        np.testing.assert_allclose(intensities, expected.y, atol=1e-3)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 30), width=st.floats(0.01, 3))
def test_profiles_are_those_of_the_definition(seed: int, count: int, width: float) -> None:
    rng = np.random.default_rng(seed)
    angles, intensities = np.sort(rng.uniform(0, 100, count)), rng.uniform(0, 100, count)
    grid = np.linspace(10, 90, 801)
    found = gaussian_profile(angles, intensities, grid, width)
    np.testing.assert_allclose(found, gaussian_profile(angles, intensities, grid, width, "reference"), atol=1e-10)
    sigma = width / np.sqrt(8 * np.log(2))
    whole = np.exp(-(((grid[:, None] - angles) / sigma) ** 2) / 2) @ intensities
    np.testing.assert_allclose(found, whole, atol=1e-10)


def test_profiles_keep_areas() -> None:
    grid = np.linspace(10, 90, 8001)
    profile = gaussian_profile(np.array([20.0, 40.0]), np.array([100.0, 50.0]), grid, 0.5)
    width = grid[profile > 50]
    assert abs((width[-1] - width[0]) - 0.5) < 0.02
    area = np.trapezoid(profile, grid)
    np.testing.assert_allclose(area, 150 * 0.5 * np.sqrt(np.pi / np.log(2)) / 2, rtol=1e-6)
    vector = powder_vector(STRUCTURES["rutile"]())
    assert vector.shape == (1601,)
    assert vector.max() == 1
    highest = 10 + 80 * vector.argmax() / 1600
    assert abs(highest - 27.4) < 0.2  # rutile 110


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lattice": np.zeros((3, 3))}, "no volume"),
        ({"lattice": np.eye(2)}, "lattice"),
        ({"coordinates": np.full((4, 3), np.nan)}, "not finite"),
        ({"species": np.array([0, 1, 2, 3])}, "rows of scattering"),
        ({"occupancies": np.ones(3)}, "coordinates"),
        ({"lattice": np.eye(3) * 1000}, "reflections"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, np.ndarray], told: str, rng: np.random.Generator) -> None:
    crystal = random_crystal(rng, 4)
    with pytest.raises(ValueError, match=told):
        peaks(crystal._replace(**change))
    for wrong in ((10, 5), (0, 180), (-1, 20)):
        with pytest.raises(ValueError, match="angles from 0"):
            peaks(crystal, 1.5, wrong)
    with pytest.raises(ValueError, match="angles from 0"):
        peaks(crystal, 0.0)


def test_elements_without_form_factors_are_told() -> None:
    with pytest.raises(InputError, match="Og"):
        crystal_of(Structure(Lattice.cubic(3), ["Og"], [[0, 0, 0]]))
    empty = peaks(crystal_of(STRUCTURES["rock salt"]()), 1.54, (1.0, 2.0))
    assert len(empty[0]) == len(empty[1]) == 0
