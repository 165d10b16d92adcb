"""Weights that come back from a file to learn again, and errors by kind of compound."""

from pathlib import Path

import numpy as np
import pytest
import torch

from matscreen import models
from matscreen.kernels.mlp import forward_dense
from matscreen.models import dataset
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork, folded, kernel_layers
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import FRACTIONS, fit_encoding
from matscreen.models.errors import InputError
from matscreen.models.evaluation import predictions, report
from matscreen.models.fit import fit
from matscreen.models.model import Model, ModelError, save
from matscreen.models.training import Recipe
from matscreen.models.transfer import network_of


@pytest.mark.parametrize("name", ["elemnet", "plain-17", "srnet-24", "irnet-17"])
def test_a_network_comes_back_from_its_file(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    plan = ARCHITECTURES[name]
    fractions = rng.dirichlet(np.full(86, 0.02), 200)
    encoding = fit_encoding(plan.inputs, fractions)
    inputs = encoding.dense(fractions)
    network = DenseNetwork(plan, inputs.shape[1], seed=2)
    with torch.no_grad():
        network(torch.from_numpy(inputs))  # batch norms see something
    save(
        tmp_path / "m.safetensors",
        *folded(network.eval()),
        encoding,
        ELEMNET_ELEMENTS,
        {"metrics": {}, "network": name},
    )
    model = models.load(tmp_path / "m.safetensors")
    again = network_of(model)
    with torch.no_grad():
        found = again(torch.from_numpy(inputs))[:, 0].numpy()
    expected = forward_dense(inputs, model.layers, backend="reference")
    np.testing.assert_allclose(found / np.abs(expected).max(), expected / np.abs(expected).max(), atol=1e-4)
    ours = kernel_layers(again)
    assert all((a == b).all() for a, b in zip(ours.weights, model.layers.weights, strict=True))
    assert all(p.requires_grad for p in again.parameters())


def test_elements_are_mapped_by_symbol(tmp_path: Path) -> None:
    few = [26, 8, 3]
    network = DenseNetwork(ARCHITECTURES["elemnet"], 3)
    save(tmp_path / "few.safetensors", *folded(network), FRACTIONS, few, {"metrics": {}})
    model = models.load(tmp_path / "few.safetensors")
    fractions = np.zeros((1, 86), np.float32)
    fractions[0, [ELEMNET_ELEMENTS.index(z) for z in few]] = 2 / 6, 3 / 6, 1 / 6
    with torch.no_grad():
        found = float(network_of(model)(torch.from_numpy(fractions)))
    assert found == pytest.approx(float(model.predict(["LiFe2O3"])[0]), abs=1e-5)


def test_a_card_that_names_another_network(tmp_path: Path) -> None:
    network = DenseNetwork(ARCHITECTURES["elemnet"], 86)
    save(
        tmp_path / "m.safetensors",
        *folded(network),
        FRACTIONS,
        ELEMNET_ELEMENTS,
        {"metrics": {}, "network": "irnet-17"},
    )
    with pytest.raises(ModelError, match="does not hold the layers of irnet-17"):
        network_of(models.load(tmp_path / "m.safetensors"))


def test_fine_tuning_starts_where_the_model_is(compounds: Path, tmp_path: Path, model: Model) -> None:
    still = Recipe(epochs=1, batch=64, learning_rate=1e-30, one_cycle=False, weight_decay=0, anchors=0)
    same = fit("elemnet", compounds, tmp_path / "same.safetensors", still, lambda _: None, model)
    formulas = ["LiFePO4", "NaCl", "TiO2"]
    np.testing.assert_allclose(same.predict(formulas), model.predict(formulas), atol=2e-3)  # half precision
    assert same.card["training"]["start_name"] == model.name
    assert same.card["training"]["start"] == model.checksum
    tuned_recipe = Recipe(epochs=6, batch=32, learning_rate=2e-4, weight_decay=0, anchors=0)
    tuned = fit("elemnet", compounds, tmp_path / "tuned.safetensors", tuned_recipe, lambda _: None, model)
    before, after = (m.card["metrics"]["test_mae_ev_atom"] for m in (same, tuned))
    assert after < 0.7 * before
    with pytest.raises(InputError, match="of the network elemnet, not irnet-17"):
        fit("irnet-17", compounds, tmp_path / "x.safetensors", still, lambda _: None, model)


def test_report(compounds: Path, model: Model) -> None:
    data, predicted = predictions(model, compounds, "all", 0)
    np.testing.assert_allclose(predicted, model.predict(data.formulas), atol=1e-5)
    rows = {row["compounds"]: row for row in report(data, predicted)}
    error = predicted.astype(float) - data.energies
    assert rows["all"]["number"] == rows["2 elements"]["number"] == len(data)
    assert rows["all"]["mae_ev_atom"] == pytest.approx(np.abs(error).mean())
    oxides = np.array(["O" in formula for formula in data.formulas])
    assert rows["oxides"]["number"] == oxides.sum()
    assert rows["oxides"]["mean_error_ev_atom"] == pytest.approx(error[oxides].mean())
    assert sum(rows[k]["number"] for k in ("oxides", "chalcogenides", "halides", "pnictides")) == len(data)
    assert "none of these" not in rows
    parts = [predictions(model, compounds, part, 3)[0] for part in ("train", "validation", "test")]
    assert sorted(formula for part in parts for formula in part.formulas) == sorted(data.formulas)
    assert len(dataset.load_clean(compounds)[0]) == len(data)
