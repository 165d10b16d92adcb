"""Guard bands in cards: read with care, written without losing anything."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from matscreen import models
from matscreen.models import Model, ModelError, guard
from matscreen.models.catalogue import SHIPPED
from matscreen.models.guard import ENERGY_TOLERANCE, guard_band, write_guard_bands


@pytest.fixture
def own(tmp_path: Path) -> Model:
    """A model of one's own."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(SHIPPED / f"elemnet-oqmd{suffix}", tmp_path)
    card = json.loads((tmp_path / "elemnet-oqmd.json").read_text())
    card.pop("low_precision", None)
    (tmp_path / "elemnet-oqmd.json").write_text(json.dumps(card))
    return models.load(tmp_path / "elemnet-oqmd.safetensors")


def test_what_is_written_is_read(own: Model) -> None:
    assert guard_band(own, "fp32") == ENERGY_TOLERANCE
    with pytest.raises(ModelError, match=rf"no guard band for bf16: `matscreen guard {own.source} --precision bf16`"):
        guard_band(own, "bf16")
    write_guard_bands(own, {"bf16": {"guard_band_ev_atom": 0.02}, "tf32": {"guard_band_ev_atom": 0.03}})
    write_guard_bands(own, {"bf16": {"guard_band_ev_atom": 0.01}, "tf32": {"guard_band_ev_atom": 0.04}})
    again = models.load(own.source)
    assert (guard_band(again, "bf16"), guard_band(again, "tf32")) == (0.02, 0.04)  # what was seen may be seen again
    assert {key: value for key, value in again.card.items() if key != "low_precision"} == own.card
    with pytest.raises(ModelError, match="no guard band for fp8"):
        guard_band(again, "fp8")


@pytest.mark.parametrize("band", [0, -1, 1e9, "0.1", None, True, [0.1], float("nan"), float("inf")])
def test_what_is_no_band_is_refused(own: Model, band: Any) -> None:
    write_guard_bands(own, {"bf16": {"guard_band_ev_atom": band}})
    with pytest.raises(ModelError, match=r"elemnet-oqmd\.json names no guard band for bf16 that can be used"):
        guard_band(models.load(own.source), "bf16")
    write_guard_bands(own, {"bf16": {"guard_band_ev_atom": 0.02}})
    assert guard_band(models.load(own.source), "bf16") == 0.02


@pytest.mark.parametrize("told", [[], "bf16", {"bf16": 0.1}, 3, None])
def test_cards_of_another_shape_are_refused_and_mended(own: Model, told: Any) -> None:
    card = own.source.with_suffix(".json")
    card.write_text(json.dumps(own.card | {"low_precision": told}))
    with pytest.raises(ModelError, match="guard band for bf16"):
        guard_band(models.load(own.source), "bf16")
    write_guard_bands(own, {"bf16": {"guard_band_ev_atom": 0.02}})
    assert guard_band(models.load(own.source), "bf16") == 0.02


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weights_sha256": "another"}', "[" * 10**5])
def test_a_card_that_was_changed_meanwhile_is_left_alone(own: Model, text: str) -> None:
    card = own.source.with_suffix(".json")
    card.write_text(text)
    with pytest.raises(ModelError, match="is not the card of the model that was measured any more"):
        write_guard_bands(own, {"bf16": {"guard_band_ev_atom": 0.02}})
    assert card.read_text() == text


def test_eight_bits_are_guarded_on_the_chip_that_was_measured(own: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    write_guard_bands(own, {"fp8": {"guard_band_ev_atom": 0.2, "measured_on": "one chip"}})
    model = models.load(own.source)
    monkeypatch.setattr(guard, "gpu_here", lambda: "cuda")
    monkeypatch.setattr(guard.torch.cuda, "get_device_name", lambda: "one chip")
    assert guard_band(model, "fp8") == 0.2
    monkeypatch.setattr(guard.torch.cuda, "get_device_name", lambda: "another")
    with pytest.raises(ModelError, match="is of another chip"):
        guard_band(model, "fp8")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("name", ["elemnet-oqmd", "pairnet-oqmd"])
def test_shipped_models_are_guarded(name: str, precision: str) -> None:
    model = models.load(name)
    for one in (model, model.student.model) if model.student else (model,):
        assert 1e-4 < guard_band(one, precision) < 0.2  # type: ignore[arg-type]
        assert one.card["low_precision"][precision]["compositions"] >= 1_000_000
