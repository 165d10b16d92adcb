"""Weights that come back from a file to learn again, and errors by kind of compound."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from matscreen import models
from matscreen.models import dataset
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import Encoding, fit_encoding
from matscreen.models.errors import InputError
from matscreen.models.evaluation import predictions, report
from matscreen.models.files import checksum
from matscreen.models.fit import fit
from matscreen.models.member import trained
from matscreen.models.model import Model, ModelError, save
from matscreen.models.recipe import Recipe
from matscreen.models.split import Split, split_of
from matscreen.models.target import FORMATION_ENERGY, Target
from matscreen.models.transfer import network_of


@pytest.fixture
def elemnet() -> Model:
    return models.load("elemnet-oqmd")


@pytest.mark.parametrize("name", ["elemnet", "plain-17", "srnet-24", "irnet-17", "pairnet"])
def test_a_network_comes_back_from_its_file(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    plan = ARCHITECTURES[name]
    fractions = rng.dirichlet(np.full(86, 0.02), 200).astype(np.float32)  # else the least of them are 0 only to some
    fractions[::2] = np.eye(86)[rng.integers(1, 86, 100)] * 0.75
    fractions[::2, 0] = 0.25  # of two stoichiometries, whether hydrogen is the more electronegative or not
    encoding = fit_encoding(plan.inputs, fractions)
    inputs = torch.from_numpy(encoding.before_training(fractions))
    network = DenseNetwork(plan, inputs.shape[1], seed=2, known=len(encoding.known))
    with torch.no_grad():
        network(inputs)  # batch norms see something
    path = tmp_path / "m.safetensors"
    save(
        path, [trained(network.eval(), encoding)], ELEMNET_ELEMENTS, FORMATION_ENERGY, {"metrics": {}, "network": name}
    )
    model = models.load(path)
    again, given = network_of(model, FORMATION_ENERGY)
    with torch.no_grad():
        found = again.eval()(torch.from_numpy(given.before_training(fractions)))[:, 0].numpy()
    expected = model.outputs(*dataset.sparse_rows(fractions), backend="reference")[0, :, 0]
    np.testing.assert_allclose(found / np.abs(expected).max(), expected / np.abs(expected).max(), atol=1e-4)
    ours = trained(again, given)
    for a, b in zip(ours.layers.weights, model.members[0].layers.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    if model.members[0].encoding.tables:
        assert ours.encoding.tables
        for a, b in zip(ours.encoding.tables, model.members[0].encoding.tables, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(p.requires_grad for p in again.parameters())


def test_a_file_from_before_stoichiometries_were_told_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    plan = replace(ARCHITECTURES["pairnet"], stoichiometry=0)
    encoding = replace(fit_encoding(plan.inputs, rng.dirichlet(np.full(86, 0.02), 200)), known=np.empty(0, np.int64))
    path = tmp_path / "old.safetensors"
    member = trained(DenseNetwork(plan, 86 + 1 + 145, seed=1), encoding)
    save(path, [member], ELEMNET_ELEMENTS, FORMATION_ENERGY, {"metrics": {}, "network": "pairnet"})
    tensors, card = safetensors.numpy.load_file(path), json.loads(path.with_suffix(".json").read_text())
    expected = models.load(path).predict(["LiFePO4", "NaCl"])
    for name in ("stoichiometry", "known"):
        del tensors[f"input.{name}"]
    safetensors.numpy.save_file(tensors, path)
    card["weights_sha256"] = checksum(path)
    path.with_suffix(".json").write_text(json.dumps(card))
    old = models.load(path)
    np.testing.assert_array_equal(old.predict(["LiFePO4", "NaCl"]), expected)
    network, given = network_of(old, FORMATION_ENERGY)
    assert network.embedding
    assert network.embedding.stoichiometry.shape == (1, 0)
    network(torch.from_numpy(given.before_training(np.eye(3, 86)))).sum().backward()
    del tensors["input.left"]
    safetensors.numpy.save_file(tensors, path)
    card["weights_sha256"] = checksum(path)
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="input.left"):
        models.load(path)


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ({"input.known": np.array([2, 1])}, "above 0 and rising"),
        ({"input.known": np.array([0, 1])}, "above 0 and rising"),
        ({"input.known": np.array([np.nan, 1.0])}, "must be integers"),
        ({"input.known": np.array([1, 2, 3])}, "stoichiometry must have 4 rows"),
        ({"input.stoichiometry": np.zeros((3, 64), np.float32) * np.nan}, "stoichiometry has a number that is not"),
        ({"input.stoichiometry": np.zeros((3, 63), np.float32)}, "it takes 977 inputs, its card says 976"),
        ({"input.linear": np.zeros((85, 192), np.float32)}, "its card lists 86 elements, its tables have 85"),
    ],
)
def test_stoichiometries_that_a_damaged_file_holds(
    named: dict[str, np.ndarray], complaint: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    plan = ARCHITECTURES["pairnet"]
    encoding = replace(fit_encoding(plan.inputs, rng.dirichlet(np.full(86, 0.02), 200)), known=np.array([1, 257]))
    path = tmp_path / "m.safetensors"
    member = trained(DenseNetwork(plan, 86 + 1 + 145, known=2), encoding)
    save(path, [member], ELEMNET_ELEMENTS, FORMATION_ENERGY, {"metrics": {}, "network": "pairnet"})
    assert models.load(path)
    safetensors.numpy.save_file(safetensors.numpy.load_file(path) | named, path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"weights_sha256": checksum(path)}))
    with pytest.raises(ModelError, match=complaint):
        models.load(path)


@pytest.mark.parametrize("name", ["elemnet", "pairnet"])
def test_elements_are_mapped_by_symbol(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    few, plan = [26, 8, 3], ARCHITECTURES[name]
    encoding = fit_encoding(plan.inputs, rng.dirichlet(np.full(86, 0.02), 200))
    if name == "pairnet":
        encoding = replace(encoding, known=np.array([1, 256 * 256 * 3 + 256 * 2 + 1]))
    network = DenseNetwork(plan, 3 if name == "elemnet" else 3 + 1 + 145, known=len(encoding.known))
    path = tmp_path / "few.safetensors"
    member = trained(network, encoding, elements=few)
    save(path, [member], few, FORMATION_ENERGY, {"metrics": {}, "network": name})
    model = models.load(path)
    fractions = np.zeros((1, 86), np.float32)
    fractions[0, [ELEMNET_ELEMENTS.index(z) for z in few]] = 2 / 6, 3 / 6, 1 / 6
    mapped, given = network_of(model, FORMATION_ENERGY)
    with torch.no_grad():
        found = float(mapped.eval()(torch.from_numpy(given.before_training(fractions))))
    assert found == pytest.approx(float(model.predict(["LiFe2O3"])[0]), rel=1e-4, abs=1e-5)


def test_a_card_that_names_another_network(tmp_path: Path) -> None:
    network = DenseNetwork(ARCHITECTURES["elemnet"], 86)
    card = {"metrics": {}, "network": "irnet-17"}
    save(tmp_path / "m.safetensors", [trained(network, Encoding())], ELEMNET_ELEMENTS, FORMATION_ENERGY, card)
    with pytest.raises(ModelError, match="does not hold the layers of irnet-17"):
        network_of(models.load(tmp_path / "m.safetensors"), FORMATION_ENERGY)


def test_another_target_gets_a_last_layer_of_its_own(elemnet: Model) -> None:
    gaps = Target(("band_gap_ev", "volume"))
    network, _ = network_of(elemnet, gaps, seed=3)
    again, _ = network_of(elemnet, gaps, seed=3)
    assert network.last.weight.shape[0] == 2
    assert torch.equal(network.last.weight, again.last.weight)
    kept, _ = network_of(elemnet, FORMATION_ENERGY)
    first = (net.stacks[0].sequences[0].dense.weight for net in (network, kept))
    assert torch.equal(*first)


def test_fine_tuning_starts_where_the_model_is(compounds: Path, tmp_path: Path, elemnet: Model) -> None:
    still = Recipe(epochs=1, batch=64, learning_rate=1e-30, one_cycle=False, weight_decay=0, anchors=0)
    same = fit("elemnet", compounds, tmp_path / "same.safetensors", still, start=elemnet)
    formulas = ["LiFePO4", "NaCl", "TiO2"]
    np.testing.assert_allclose(same.predict(formulas), elemnet.predict(formulas), atol=2e-3)  # half precision
    assert same.card["training"]["start_name"] == elemnet.name
    assert same.card["training"]["start"] == elemnet.checksum
    tuned_recipe = Recipe(epochs=6, batch=32, learning_rate=2e-4, weight_decay=0, anchors=0)
    tuned = fit("elemnet", compounds, tmp_path / "tuned.safetensors", tuned_recipe, start=elemnet)
    before, after = (m.card["metrics"]["test_mae_ev_atom"] for m in (same, tuned))
    assert after < 0.7 * before
    with pytest.raises(InputError, match="of the network elemnet, not irnet-17"):
        fit("irnet-17", compounds, tmp_path / "x.safetensors", still, start=elemnet)


def test_report(compounds: Path, elemnet: Model) -> None:
    data, predicted = predictions(elemnet, compounds, "all", Split())
    assert split_of(elemnet.card) == Split()
    np.testing.assert_allclose(predicted[:, 0], elemnet.predict(data.formulas), atol=1e-5)
    rows = {row["compounds"]: row for row in report(data, predicted)}
    error = predicted[:, 0].astype(float) - data.energies
    assert rows["all"]["number"] == rows["2 elements"]["number"] == len(data)
    assert rows["all"]["mae"] == pytest.approx(np.abs(error).mean())
    oxides = np.array(["O" in formula for formula in data.formulas])
    assert rows["oxides"]["number"] == oxides.sum()
    assert rows["oxides"]["mean_error"] == pytest.approx(error[oxides].mean())
    assert sum(rows[k]["number"] for k in ("oxides", "chalcogenides", "halides", "pnictides")) == len(data)
    assert "none of these" not in rows
    parts = [predictions(elemnet, compounds, part, Split(3))[0] for part in ("train", "validation", "test")]
    assert sorted(formula for part in parts for formula in part.formulas) == sorted(data.formulas)
    assert len(dataset.load_clean(compounds)[0]) == len(data)
