"""Space groups from powder patterns: crystals that keep theirs, what is learnt of them, and the command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pymatgen.analysis.prototypes")
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matscreen.engine.cli.xrd_symmetry import read_pattern
from matscreen.engine.queue.prototypes import aflow
from matscreen.engine.xrd.crystals import PowderSet, decorated, held_out_prototypes, symmetric
from matscreen.engine.xrd.powder import powder_vector, resampled
from matscreen.models.errors import InputError
from matscreen.models.xrd.powder import SYSTEMS, PowderRecipe, disturbed, fit, load, system_of, system_probabilities


@pytest.mark.parametrize("number", [0, 40, 90, 150, 200, 260])
def test_crystals_keep_their_space_group(number: int) -> None:
    known = symmetric(aflow()[number])
    structures = list(decorated(known, 4, 0))
    for structure in structures:
        assert SpacegroupAnalyzer(structure, 1e-3).get_space_group_number() == known.space_group
    assert len({structure.composition.formula for structure in structures}) > 1
    assert len({round(structure.volume, 3) for structure in structures}) == 4
    again = list(decorated(known, 4, 0))
    assert all(a == b for a, b in zip(structures, again, strict=True))


def test_prototypes_are_held_out_whole() -> None:
    groups, prototypes = np.array([1, 1, 2, 2, 2, 2, 3]), np.array([0, 0, 1, 1, 2, 3, 4])
    held = held_out_prototypes(PowderSet(np.zeros((7, 1)), groups, prototypes), 0)
    assert len(held) == 1
    assert held[0] in (1, 2, 3)  # the only space group of several


def test_crystal_systems_are_sums_of_space_groups() -> None:
    assert [list(SYSTEMS)[n] for n in system_of(np.array([1, 3, 16, 75, 143, 168, 195, 230]))] == [
        *SYSTEMS,
        "cubic",
    ]
    groups = np.array([194, 195, 225])
    np.testing.assert_allclose(system_probabilities(np.array([[0.4, 0.3, 0.3]]), groups)[0, -2:], [0.4, 0.6])


def test_it_learns_what_tells_space_groups_apart(tmp_path: Path) -> None:
    known = [symmetric(aflow()[n]) for n in (60, 200, 280)]
    assert len({one.space_group for one in known}) == 3
    patterns = np.array([powder_vector(s) for one in known for s in decorated(one, 30, 1)])
    groups = np.repeat([one.space_group for one in known], 30)
    validation = np.arange(90) % 5 == 0
    recipe = PowderRecipe(epochs=12, batch=16)
    model = fit("powder-small", patterns.astype(np.float16), groups, validation, tmp_path / "p.safetensors", recipe)
    found = model.groups[model.probabilities(patterns[validation]).argmax(axis=1)]
    assert (found == groups[validation]).mean() > 0.7
    with pytest.raises(ValueError, match="1601"):
        model.probabilities(patterns[:, :100])
    with pytest.raises(InputError, match="no network"):
        fit("x", patterns, groups, validation, tmp_path / "q.safetensors", recipe)
    with pytest.raises(InputError, match="two space groups"):
        fit("powder-small", patterns, groups * 0 + 1, validation, tmp_path / "q.safetensors", recipe)
    with pytest.raises(InputError, match="no model of powder patterns"):
        load("none")


def test_disturbed_patterns_are_still_theirs() -> None:
    structure = Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3])
    plain = torch.from_numpy(powder_vector(structure)).float()[None].repeat(64, 1)
    torch.manual_seed(0)
    found = disturbed(plain)
    assert found.shape == plain.shape
    assert found.min() >= 0
    assert found.amax(dim=1).mean() == pytest.approx(1, abs=0.05)
    assert (found != disturbed(plain)).any()
    shifts = (found.argmax(dim=1) - plain.argmax(dim=1)).abs()
    assert shifts.median() <= 3  # the strongest peak is where it was, but where another became stronger
    assert found[:, :200].mean() > 1e-4  # noise, where nothing reflects


def test_a_pattern_measured_with_other_x_rays_is_the_same() -> None:
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.41), ["Ce", "O"], [[0, 0, 0], [0.25] * 3])
    expected = powder_vector(structure)
    grid = np.linspace(3, 60, 40_000)
    wavelength = 0.7
    angles = np.degrees(2 * np.arcsin(np.sin(np.radians(np.linspace(10, 90, 40_000) / 2)) * wavelength / 1.54184))
    fine = powder_vector(structure, points=40_000)
    found = resampled(grid, np.interp(grid, angles, fine, left=0, right=0), wavelength)
    np.testing.assert_allclose(found, expected, atol=0.02)
    with pytest.raises(InputError, match="rising"):
        resampled(np.array([2.0, 1.0]), np.ones(2), 1.0)
    with pytest.raises(InputError, match="nothing of the pattern"):
        resampled(np.array([0.1, 0.2]), np.ones(2), 1.0)


def test_at_the_command_line(tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Rock salt, measured on a smooth background, is cubic."""
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    angles = np.linspace(10, 90, 1601)
    counts = 1000 * powder_vector(structure) + 300 * np.exp(-angles / 40)
    good, bad, empty = tmp_path / "salt.xy", tmp_path / "bad.xy", tmp_path / "empty.xy"
    good.write_text(
        "# salt\n2theta intensity\n" + "\n".join(f"{a:.3f}, {c:.2f}" for a, c in zip(angles, counts, strict=True))
    )
    bad.write_text("10 1\n11 x\n")
    empty.write_text("")
    np.testing.assert_allclose(read_pattern(good)[0], angles, atol=1e-3)
    assert run("xrd", "symmetry", str(good), "--format", "json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["crystal_system"] == "cubic"
    assert len(found["space_groups"]) == 3
    for form in ("table", "csv"):
        assert run("xrd", "symmetry", str(good), "--format", form) == 0
        assert "cubic" in capsys.readouterr().out
    assert run("xrd", "symmetry", str(bad), str(good), str(empty)) == 1
    told = capsys.readouterr()
    assert "line 2: not two numbers" in told.err
    assert "no angles" in told.err
    assert "2 of 3 files were left out" in told.err
    assert run("xrd", "symmetry", str(tmp_path / "none.xy")) == 2
    assert run("xrd", "symmetry", str(good), "--wavelength", "-1") == 2
