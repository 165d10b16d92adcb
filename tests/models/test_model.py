"""Model files: what is saved comes back, what is damaged is refused, the shipped weights are what their card says."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import published
from matscreen import models
from matscreen.models import Model, ModelError, dataset
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.elemnet import WIDTHS, dense_layers, elemnet
from matscreen.models.model import save


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    layers = [(w.numpy(), b.numpy()) for w, b in dense_layers(elemnet((0, 0, 0, 0), seed=1))]
    save(tmp_path / "mine.safetensors", layers, ELEMNET_ELEMENTS, {"metrics": {}})
    return tmp_path / "mine.safetensors"


def test_architecture_is_table_3_1() -> None:
    assert WIDTHS == (1024,) * 4 + (512,) * 3 + (256,) * 3 + (128,) * 3 + (64, 64, 32, 1)
    weights = sum(p.numel() for p in elemnet().parameters())
    assert 4.6e6 < weights < 4.7e6
    drops = [(i, m.p) for i, m in enumerate(elemnet()) if hasattr(m, "p")]
    assert [p for _, p in drops] == [0.2, 0.1, 0.3, 0.2]


def test_save_and_load(saved: Path) -> None:
    model = models.load(saved)
    assert model.name == "mine"
    energies = model.predict(["LiFePO4", "Fe2O3", "Fe4O6"])
    assert energies.dtype == np.float32
    assert energies[1] == energies[2]
    np.testing.assert_allclose(energies, model.predict(["LiFePO4", "Fe2O3", "Fe4O6"], backend="reference"), atol=2e-5)


def test_damage_is_seen(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ModelError, match="not the file that its card describes"):
        models.load(saved)
    saved.with_suffix(".json").write_text("{")
    with pytest.raises(ModelError, match="not a model card"):
        models.load(saved)
    saved.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="no such file"):
        models.load(saved)


@pytest.mark.parametrize("name", ["nonsense", "../weights/elemnet-oqmd", "/etc/passwd", "no/such.safetensors"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ModelError, match="no model|no such file"):
        models.load(name)


def test_cards_must_be_complete(saved: Path) -> None:
    card = json.loads(saved.with_suffix(".json").read_text())
    for key, bad in (("metrics", None), ("architecture", "transformer"), ("elements", ["Fe", "Zz"])):
        saved.with_suffix(".json").write_text(json.dumps(card | {key: bad}))
        with pytest.raises(ModelError):
            models.load(saved)


def test_elements_the_model_does_not_know(model: Model) -> None:
    with pytest.raises(ModelError, match="row 2: model .* does not know He"):
        model.predict(["Fe", "HeO"])


def test_shipped_card_tells_all(model: Model) -> None:
    card = model.card
    for key in ("description", "data", "training", "metrics", "weights_dtype", "history", "widths", "output"):
        assert card[key]
    assert card["widths"] == list(WIDTHS)
    assert len(card["data"]["sha256"]) == 64
    assert models.available()[model.name] == card["metrics"]
    assert model.source.with_suffix(".png").stat().st_size > 10_000
    shift = abs(card["metrics"]["test_mae_ev_atom"] - card["metrics"]["test_mae_float32_ev_atom"])
    assert shift < 0.001


def test_shipped_weights_have_the_test_error_of_their_card(model: Model) -> None:
    data, cleaning = dataset.load_clean(published("oqmd_formation_energy.parquet"))
    assert cleaning == model.card["data"]["cleaning"]
    parts = dataset.split(data, model.card["training"]["seed"])
    held_out = [data.formulas[i] for i in parts["test"]]
    error = np.abs(model.predict(held_out) - data.energies[parts["test"]])
    metrics = model.card["metrics"]
    assert error.mean() == pytest.approx(metrics["test_mae_ev_atom"], abs=2e-5)
    assert np.quantile(error, 0.9) == pytest.approx(metrics["test_90th_percentile_ev_atom"], abs=1e-4)
