"""The 126 structure attributes on crystals whose values are known by symmetry, and on published ones."""

import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure

from conftest import published
from matscreen.models import structures
from matscreen.models.errors import InputError
from matscreen.models.structures import structure_feature_names, structure_features


def test_rock_salt_and_caesium_chloride() -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    caesium = Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    values = structure_features([salt, caesium])
    names = structure_feature_names()
    assert values.shape == (2, 126) == (2, len(set(names)))
    by_name = dict(zip(names, values[0], strict=True))
    assert by_name["mean CN_VoronoiNN"] == pytest.approx(6)
    assert by_name["mean absolute deviation in relative bond length"] == pytest.approx(0, abs=1e-6)
    assert by_name["mean local difference in Number"] == pytest.approx(17 - 11)
    assert by_name["mean local difference in Electronegativity"] == pytest.approx(3.16 - 0.93)
    assert by_name["mean ordering parameter shell 1"] == pytest.approx(1)  # every neighbour is of the other kind
    at = names.index("mean local difference in Number")
    assert values[1, at] < 55 - 17  # a caesium cell has small faces to other caesium, which differ by nothing


def test_published_perovskites() -> None:
    table = pq.read_table(published("structures/perov_5_test.parquet"))
    rng = np.random.default_rng(0)
    some = []
    for text in table["cif"].to_pylist()[:4]:
        ideal = Structure.from_str(text, fmt="cif")
        # In an ideal one many cells meet in a point, and rounding tells which of them are neighbours.
        moved = ideal.cart_coords + rng.normal(0, 0.02, ideal.cart_coords.shape)
        some.append(Structure(ideal.lattice, ideal.species, moved, coords_are_cartesian=True))
    values = structure_features(some)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values, structure_features([s * (1, 1, 2) for s in some]), atol=1e-3)
    assert structure_features([]).shape == (0, 126)


def test_sites_outside_the_cell() -> None:
    lattice = Lattice.from_parameters(4.1, 4.6, 5.2, 82, 97, 105)
    sites = np.array([[0.02, 0.05, 0.01], [0.47, 0.55, 0.52]])
    inside, outside = (Structure(lattice, ["Na", "Cl"], sites + shift) for shift in ([0, 0, 0], [1, -2, 0]))
    np.testing.assert_allclose(structure_features([outside]), structure_features([inside]), atol=1e-9)


def test_what_has_no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="structure 1 .* has no attributes"):
        structure_features([mixed])
    structures._featurizers.cache_clear()
    monkeypatch.setitem(sys.modules, "matminer.featurizers", None)
    with pytest.raises(InputError, match="need matminer"):
        structure_features([mixed])
    structures._featurizers.cache_clear()
