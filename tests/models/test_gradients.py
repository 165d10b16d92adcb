"""Slopes of predictions: against differences of the definition, exact where a network is known, on the simplex."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from matscreen import models
from matscreen.kernels.features import WARD_FEATURE_NAMES, attribute_slopes, composition_features
from matscreen.models import Model, ModelError
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import fit_encoding
from matscreen.models.gradients import on_simplex, slopes
from matscreen.models.member import trained
from matscreen.models.model import save
from matscreen.models.target import FORMATION_ENERGY, Target

POSSIBLE = WARD_FEATURE_NAMES.index("compound possible")


def compositions(rng: np.random.Generator, count: int, most: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Of one to `most` elements, in proportions without ties, where no oxidation states begin or cease to balance."""
    elements, amounts = anything(rng, 2 * count, most)
    possible = [
        composition_features(elements, amounts * (1 + 1e-4 * rng.normal(size=amounts.shape)))[:, POSSIBLE]
        for _ in range(10)
    ]
    steady = np.ptp(possible, axis=0) == 0
    assert steady.sum() >= count
    return elements[steady][:count], amounts[steady][:count]


def anything(rng: np.random.Generator, count: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    elements, amounts = np.zeros((count, most), np.uint8), np.zeros((count, most))
    for row in range(count):
        arity = 1 + row % most
        elements[row, :arity] = np.sort(rng.choice(ELEMNET_ELEMENTS, arity, replace=False))
        amounts[row, :arity] = rng.uniform(0.5, 3, arity)
    return elements, amounts


def untrained(name: str, folder: Path, members: int = 2, target: Target = FORMATION_ENERGY) -> Model:
    fractions = np.random.default_rng(0).dirichlet(np.full(86, 0.03), 200)
    fractions[:100] = 0  # of one stoichiometry, and others to be unlike
    fractions[:100, :2] = 0.5
    encoding = fit_encoding(ARCHITECTURES[name].inputs, fractions)
    inputs = encoding.before_training(fractions[:1]).shape[1]
    made = []
    for seed in range(members):
        network = DenseNetwork(
            ARCHITECTURES[name], inputs, seed=seed, outputs=target.outputs, known=len(encoding.known)
        )
        with torch.no_grad():
            for buffer in network.buffers():  # batch norm as if it had learnt
                if buffer.is_floating_point():
                    buffer.add_(0.1)
        made.append(trained(network.eval(), encoding))
    save(folder / f"{name}.safetensors", made, ELEMNET_ELEMENTS, target, {"metrics": {}})
    return models.load(folder / f"{name}.safetensors")


def test_attributes_against_differences(rng: np.random.Generator) -> None:
    elements, amounts = anything(rng, 400, 5)
    x = amounts / amounts.sum(axis=1, keepdims=True)
    found = attribute_slopes(elements, x)
    step = 1e-6
    for k in range(elements.shape[1]):
        rows = np.flatnonzero((elements[:, k] > 0) & ((elements > 0).sum(axis=1) > 1))
        towards = np.eye(elements.shape[1])[k] - x[rows]
        ahead, back = (
            composition_features(elements[rows], np.where(elements[rows] > 0, x[rows] + sign * step * towards, 0))
            for sign in (1, -1)
        )
        along = np.einsum("nk,nkf->nf", towards, found[rows])
        size = np.abs(along).max(axis=0) + 1
        defined = (ahead - back) / (2 * step)
        defined[:, POSSIBLE] = 0  # it jumps
        np.testing.assert_allclose(along / size, defined / size, atol=1e-6)
    assert (found[elements == 0] == 0).all()
    assert found.shape[2] == len(WARD_FEATURE_NAMES)


@pytest.mark.parametrize("name", ["elemnet", "irnet-17", "srnet-24", "pairnet"])
def test_networks_against_differences(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model = untrained(name, tmp_path)
    elements, amounts = compositions(rng, 60)
    elements[0], amounts[0] = [11, 17, 0, 0, 0], [1, 1, 0, 0, 0]
    found, defined = slopes(model, elements, amounts), slopes(model, elements, amounts, backend="reference")
    assert found.shape == (2, 60, 5)
    size = np.abs(defined).max()
    assert size > 1e-3
    off = np.abs(found - defined) / size
    assert np.quantile(off, 0.99) < 1e-3
    assert off.max() < 0.1  # a unit may turn on or off within the step, or by rounding
    x = amounts / amounts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose((found * x).sum(axis=2), 0, atol=1e-5 * size)
    flat = on_simplex(found, elements)
    np.testing.assert_allclose(flat.sum(axis=2), 0, atol=1e-5 * size)
    several = (elements > 0).sum(axis=1) > 1
    steps = rng.normal(size=elements.shape) * (elements > 0)
    steps -= (elements > 0) * steps.sum(axis=1, keepdims=True) / (elements > 0).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        (flat * steps).sum(axis=2)[:, several], (found * steps).sum(axis=2)[:, several], atol=1e-4 * size
    )


def test_the_shipped_ensemble(model: Model, rng: np.random.Generator) -> None:
    elements, amounts = compositions(rng, 40)
    found, defined = slopes(model, elements, amounts), slopes(model, elements, amounts, backend="reference")
    assert np.quantile(np.abs(found - defined), 0.99) < 1e-2 * np.abs(defined).max()


def test_probabilities(tmp_path: Path, rng: np.random.Generator) -> None:
    target = Target(("is_metal",), ("false", "true"))
    model = untrained("pairnet-student", tmp_path, 1, target)
    elements, amounts = compositions(rng, 60)
    no, yes = (slopes(model, elements, amounts, output) for output in (0, 1))
    np.testing.assert_allclose(no, -yes, atol=1e-6)
    defined = slopes(model, elements, amounts, 1, backend="reference")
    assert np.quantile(np.abs(yes - defined), 0.98) < 1e-3 * np.abs(defined).max()
    with pytest.raises(ModelError, match="no output 2"):
        slopes(model, elements, amounts, 2)


def test_elements_that_are_not_there(tmp_path: Path) -> None:
    elements, amounts = np.array([[8, 22, 26]], np.uint8), np.array([[2.0, 1.0, 0.0]])
    of_fractions = untrained("elemnet", tmp_path)
    towards = slopes(of_fractions, elements, amounts)
    np.testing.assert_allclose(
        towards, slopes(of_fractions, elements, amounts, backend="reference"), rtol=0.02, atol=1e-5
    )
    assert (towards[:, 0, 2] != 0).all()
    for name in ("irnet-17", "pairnet"):
        unseen = slopes(untrained(name, tmp_path), elements, amounts)
        assert np.isnan(unseen[:, 0, 2]).all()
        own = slopes(untrained(name, tmp_path), elements[:, :2], amounts[:, :2])
        np.testing.assert_allclose(unseen[:, :, :2], own, rtol=1e-5, atol=1e-5 * np.abs(own).max())


def test_slopes_stay_within_a_large_stoichiometry(tmp_path: Path) -> None:
    """A step away from 1 : 99, the largest formula unit that counts, its row is still that of the compound."""
    model = untrained("pairnet", tmp_path, 1)
    tables = model.members[0].encoding.tables
    assert tables
    known = tables._replace(known=np.array([1 + 256 * 99]), stoichiometry=tables.stoichiometry[-2:] * 100)
    encoding = replace(model.members[0].encoding, known=known.known, tables=known)
    model = replace(model, members=(replace(model.members[0], encoding=encoding),))
    elements, amounts = np.array([[11, 17]], np.uint8), np.array([[1.0, 99.0]])
    defined = slopes(model, elements, amounts, backend="reference")
    np.testing.assert_allclose(slopes(model, elements, amounts), defined, atol=1e-3 * np.abs(defined).max())


def test_unknown_elements(model: Model) -> None:
    with pytest.raises(ModelError, match="does not know He"):
        slopes(model, np.array([[2, 8]], np.uint8), np.ones((1, 2)))
