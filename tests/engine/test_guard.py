"""Measuring how far low precision strays."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matscreen import models
from matscreen.engine import guard
from matscreen.engine.distill import sample
from matscreen.engine.guard import MARGIN, measure
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.backend import gpu_here
from matscreen.models import Model
from matscreen.models.catalogue import SHIPPED
from matscreen.models.errors import InputError
from matscreen.models.guard import ENERGY_TOLERANCE, guard_band
from matscreen.models.target import Target


@pytest.fixture
def student(model: Model) -> Model:
    assert model.student
    return model.student.model


def test_the_band_is_that_of_the_largest_difference(student: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "AT_ONCE", 1100)
    reported: list[int] = []
    told = measure(student, ["bf16", "tf32"], 3000, reported.append)
    assert reported == [1100, 2200, 3000]
    generator, space = np.random.default_rng(0), CompositionSpace("all")
    parts = [sample(space, count, generator) for count in (1100, 1100, 800)]
    elements, amounts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    for precision, figures in told.items():
        found = student.energies(elements, amounts, "cpu", precision)  # type: ignore[arg-type]
        largest = np.abs(found - student.energies(elements, amounts)).max()
        assert figures["largest_difference_ev_atom"] == pytest.approx(largest, abs=1e-6)
        assert 0 <= figures["guard_band_ev_atom"] - MARGIN * largest <= 1e-4
        assert figures["quantile_0.99999_ev_atom"] <= figures["largest_difference_ev_atom"]
        assert figures["compositions"] == 3000
    assert measure(student, ["bf16"], 3000)["bf16"] == told["bf16"]


def test_what_cannot_be_measured_is_refused(student: Model) -> None:
    with pytest.raises(InputError, match="at least 1,000"):
        measure(student, ["bf16"], 999)
    with pytest.raises(InputError, match="predicts .*, not formation energies"):
        measure(replace(student, target=Target(("band_gap_ev",))), ["bf16"])
    for asked in ([], ["fp32"], ["bf16", "fp32"]):
        with pytest.raises(InputError, match="some of tf32, bf16 and fp8"):
            measure(student, asked)  # type: ignore[arg-type]
    if gpu_here() != "cuda":
        with pytest.raises(InputError, match="fp8 is summed as each chip sums it"):
            measure(student, ["fp8"])


def test_energies_that_are_none_are_not_guarded(student: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "energies", lambda _, elements, *__: np.full(len(elements), np.nan, np.float32))
    with pytest.raises(InputError, match="predicts no energies in bf16 that could be guarded"):
        measure(student, ["bf16"], 1000)
    monkeypatch.setattr(Model, "energies", lambda _, elements, *__: np.zeros(len(elements), np.float32))
    assert measure(student, ["bf16"], 1000)["bf16"]["guard_band_ev_atom"] == ENERGY_TOLERANCE


def test_the_command_writes_the_card(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in SHIPPED.glob("pairnet-oqmd*"):
        if file.suffix in (".safetensors", ".json"):
            shutil.copy(file, tmp_path)
    path = tmp_path / "pairnet-oqmd.safetensors"
    for card in (path.with_suffix(".json"), path.with_suffix(".student.json")):
        card.write_text(json.dumps({k: v for k, v in json.loads(card.read_text()).items() if k != "low_precision"}))
    assert run("guard", str(path), "--precision", "bf16,bf16", "--samples", "1500") == 0
    assert capsys.readouterr().out.count("bf16") == 2
    model = models.load(path)
    assert model.student
    for one in (model, model.student.model):
        assert guard_band(one, "bf16") > 0
        assert json.loads(one.source.with_suffix(".json").read_text())["low_precision"]["bf16"]["compositions"] == 1500
    for wrong in ("fp32", "bf17", ""):
        assert run("guard", str(path), "--precision", wrong) == 2
        assert "some of tf32, bf16 and fp8" in capsys.readouterr().err
    assert run("guard", str(tmp_path / "none.safetensors")) == 2
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert run("guard", str(path)) == 2
    assert "copy the model and its card to a folder of yours" in capsys.readouterr().err
