"""What compounds decompose into, against the definition of the hull, and the loss that learns it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from matscreen.kernels.hull import build_index, reference
from matscreen.models import dataset, training
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.dataset import Dataset
from matscreen.models.decomposition import GROUPS, decompositions_of
from matscreen.models.device import here
from matscreen.models.encoding import fit_encoding
from matscreen.models.formula import composition_arrays
from matscreen.models.recipe import Recipe


@pytest.fixture
def data(compounds: Path) -> Dataset:
    return dataset.load_clean(compounds)[0]


def test_they_are_those_of_the_hull_of_the_other_groups(data: Dataset) -> None:
    rows = np.arange(len(data))[::2]
    found = decompositions_of(data, rows, seed=3)
    taken = found.fractions > 0
    assert set(found.phases[taken].tolist()) <= set(rows.tolist())
    assert not (taken & (found.phases == np.arange(len(data))[:, None])).any()
    assert not taken[1::2].any()
    missing = data.fractions - (found.fractions[:, :, None] * data.fractions[found.phases]).sum(axis=1)
    assert missing.min() > -1e-6  # pure elements make up for what compounds do not hold
    elements, amounts = composition_arrays(data.formulas)
    group = np.random.default_rng(3).integers(0, GROUPS, len(rows))
    energies = data.energies.astype(np.float64)
    for number in range(GROUPS):
        others, mine = rows[group != number], rows[group == number]
        index = build_index(elements[others], amounts[others], energies[others])
        expected = reference.hull_energies(elements[mine], amounts[mine], index)
        at_hull = (found.fractions[mine] * energies[found.phases[mine]]).sum(axis=1)
        np.testing.assert_allclose(at_hull, expected, atol=1e-6)


def test_one_compound_has_no_competitors(data: Dataset) -> None:
    assert not decompositions_of(data, np.array([7]), seed=0).fractions.any()


@pytest.mark.parametrize("size", [1, 2, 37, 64])
def test_the_loss_is_that_of_both_energies(data: Dataset, size: int) -> None:
    rows = np.arange(len(data))
    recipe = Recipe(decomposition=0.4, anchors=1)
    encoding = fit_encoding("fractions", data.fractions)
    task = training._task(data, encoding, {"train": rows, "validation": rows[:5]}, recipe, here())
    network = DenseNetwork(ARCHITECTURES["elemnet"], 86)
    batch = torch.randperm(len(task.rows), generator=torch.Generator().manual_seed(0))[:size]
    with torch.no_grad():
        predicted = network(task.inputs).double().numpy()[:, 0] * task.scale + task.mean
        got = float(task.losses(network, batch).mean()) * task.unit
    true = task.target.double().numpy()[:, 0] * task.scale + task.mean
    found = decompositions_of(data, rows, recipe.seed)

    def decomposition_energy(energies: np.ndarray, row: int) -> float:
        if row >= len(data):  # a pure element
            return float(energies[row])
        return float(energies[row] - (found.fractions[row] * energies[found.phases[row]]).sum())

    own = np.abs(predicted - true)[batch].mean()
    half = batch[: size // 2].tolist()
    apart = [abs(decomposition_energy(predicted, row) - decomposition_energy(true, row)) for row in half]
    expected = 0.6 * own + 0.4 * (float(np.mean(apart)) if apart else 0.0)
    assert got == pytest.approx(expected, rel=1e-4)
