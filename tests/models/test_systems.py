"""A network of chemical systems: against a plain reading of its definition, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matscreen import models
from matscreen.engine.distill.systems import EACH, RECIPE, ratios_of, sample
from matscreen.engine.schema import composition_arrays
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.systems import by_system
from matscreen.models import Model, ModelError
from matscreen.models.catalogue import SHIPPED, systems_file
from matscreen.models.elements import FORMULA_ORDER
from matscreen.models.errors import InputError
from matscreen.models.loop import Progress
from matscreen.models.model import save
from matscreen.models.system_training import learn_systems
from matscreen.models.systems import ORDER_OF_LABELS, SystemModel, load_systems

SPACE = CompositionSpace("all")


@pytest.fixture
def systems(model: Model) -> SystemModel:
    assert model.systems
    return model.systems.model


@pytest.fixture
def compositions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    _, elements, amounts = composition_arrays(SPACE.take(rng.integers(0, len(SPACE), 3000)))
    return elements, amounts


def test_a_composition_is_an_output_for_its_elements_in_order(
    systems: SystemModel, compositions: tuple[np.ndarray, np.ndarray]
) -> None:
    found = systems.energies(*compositions)
    (member,) = systems.network.members
    tables = member.encoding.tables
    assert tables
    names, known = systems.network.target.properties, systems.network.elements.tolist()
    for row, (elements, amounts) in enumerate(zip(*compositions, strict=True)):
        if row % 100:
            continue
        there = sorted((FORMULA_ORDER[z], int(z), int(n)) for z, n in zip(elements, amounts, strict=True) if z)
        slots = [known.index(z) + 86 * place for place, (_, z, _) in enumerate(there)]
        share = 1 / len(there)
        near = share * tables.linear[slots].sum(axis=0) + tables.bias
        pairs = share**2 * tables.left[slots].sum(axis=0) * tables.right[slots].sum(axis=0)
        root, presence = np.sqrt(share) * tables.root[slots].sum(axis=0), tables.presence[slots].sum(axis=0)
        y = np.concatenate([pairs, np.maximum(near, 0), root, presence]).astype(np.float64)
        for number, (weight, bias, shortcut) in enumerate(zip(*member.layers, strict=True)):
            last = number == len(member.layers.weights) - 1
            made = y @ weight + bias
            y = made if last else np.maximum(made, 0) + (y if shortcut else 0)
        assert found[row] == pytest.approx(y[names.index(":".join(str(n) for _, _, n in there))], abs=2e-5)


def test_neighbours_do_not_matter(systems: SystemModel, compositions: tuple[np.ndarray, np.ndarray]) -> None:
    elements, amounts = compositions
    found = systems.energies(elements, amounts)
    order = np.lexsort(elements.T)
    np.testing.assert_array_equal(systems.energies(elements[order], amounts[order]), found[order])
    np.testing.assert_array_equal(systems.energies(elements[7:8], amounts[7:8]), found[7:8])
    np.testing.assert_allclose(systems.energies(elements[:200], amounts[:200], "reference"), found[:200], atol=2e-5)
    whole = composition_arrays(SPACE.chunk(10**8, 10**8 + 5000))[1:]
    np.testing.assert_array_equal(systems.energies(*whole)[1234:1235], systems.energies(*(a[1234:1235] for a in whole)))
    assert len(systems.energies(elements[:0], amounts[:0])) == 0


def test_the_shipped_one_is_near_its_teacher(
    model: Model, systems: SystemModel, compositions: tuple[np.ndarray, np.ndarray]
) -> None:
    assert len(systems.ratios) == len(ratios_of(SPACE))
    apart = systems.energies(*compositions) - model.energies(*compositions)
    card = systems.card["distillation"]
    assert np.sqrt(np.mean(apart**2)) == pytest.approx(card["rmse_ev_atom"]["4"], rel=0.25)
    assert card["teacher_sha256"] == model.checksum
    assert sum(card["calibrated_on"].values()) >= 10_000_000


def test_what_it_does_not_know(systems: SystemModel) -> None:
    iron = np.array([[8, 26, 0, 0], [8, 26, 0, 0]], np.uint8)
    twice = np.array([[3, 2, 0, 0], [6, 4, 0, 0]], np.uint8)
    assert systems.knows(iron[:1], twice[:1])
    assert not systems.knows(iron, twice)
    with pytest.raises(ModelError, match=r"row 2: model pairnet-oqmd\.systems does not know this ratio of atoms"):
        systems.energies(iron, twice)
    helium = np.array([[8, 26, 0, 0], [8, 26, 0, 0], [2, 26, 0, 0]], np.uint8)  # the second system, the third row
    assert not systems.knows(helium, twice[[0, 0, 0]])
    with pytest.raises(ModelError, match=r"row 3: model pairnet-oqmd\.systems does not know He"):
        systems.energies(helium, twice[[0, 0, 0]])


def test_files_that_are_none(model: Model, systems: SystemModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="predicts whole systems for the scans of another model"):
        models.load(systems_file(SHIPPED / "pairnet-oqmd.safetensors"))
    with pytest.raises(ModelError, match="it is no network of systems"):
        load_systems(SHIPPED / "pairnet-oqmd.safetensors")
    names = systems.network.target.properties
    for wrong, why in (
        (("1:1", *names[:-1]), "two of its ratios are the same"),
        (("a", *names[1:]), "invalid literal"),
        (("1:2:3:4:5", *names[1:]), "is no ratio"),
        (("16:1", *names[1:]), "is no ratio"),
        (names[1:], "has 345 outputs, its card says 344"),
    ):
        path = tmp_path / "wrong.safetensors"
        target = replace(systems.network.target, properties=wrong)
        save(path, systems.network.members, systems.network.elements.tolist(), target, {"metrics": {}})
        with pytest.raises(ModelError, match=why):
            load_systems(path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"elements": card["elements"][1:]}))
    with pytest.raises(ModelError, match="its card lists 85 elements"):
        load_systems(path)


def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    space = CompositionSpace("Li,Na,Mg,Al,Ti,Fe,O,S", arity=(2, 3))
    elements, amounts = sample(space, 300, np.random.default_rng(0))
    ratios = ratios_of(space)
    own, system, ratio = by_system(elements, amounts, ratios, ORDER_OF_LABELS)
    energies = (np.sin(amounts).sum(axis=1) + elements.sum(axis=1) / 50).astype(np.float32)
    given = own[system[::EACH]], ratio.reshape(-1, EACH), energies.reshape(-1, EACH), len(ratios)
    recipe = replace(RECIPE, epochs=6, batch=32)
    whole, history = learn_systems(*given, recipe, tmp_path / "whole")
    assert history[-1]["validation_error"] < 0.8 * history[0]["validation_error"]

    def stop(progress: Progress) -> None:
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_systems(*given, recipe, tmp_path / "killed", stop)
    again, told = learn_systems(*given, recipe, tmp_path / "killed")
    assert [h["validation_error"] for h in told] == [h["validation_error"] for h in history]
    for one, other in zip(whole.layers.weights, again.layers.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="belongs to another recipe or data set"):
        learn_systems(
            given[0], given[1], given[2] + np.float32(1), given[3], replace(recipe, seed=1), tmp_path / "killed"
        )


def test_what_is_sampled(rng: np.random.Generator) -> None:
    elements, amounts = sample(SPACE, 3000, rng)
    assert elements.shape == (3000 * EACH, 4)
    of_one = elements.reshape(-1, EACH, 4)
    assert (of_one == of_one[:, :1]).all()
    assert len(np.unique(amounts, axis=0)) == len(ratios_of(SPACE))
    arity = (of_one[:, 0] > 0).sum(axis=1)
    assert (np.bincount(arity)[2:] > 50).all()
