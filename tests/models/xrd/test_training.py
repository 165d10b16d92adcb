"""Training PADNet: it learns, goes on after an interruption, and its files are checked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from matscreen.models import loop
from matscreen.models.errors import InputError
from matscreen.models.xrd.model import load
from matscreen.models.xrd.training import RegionRecipe, Samples, fit, folds, split

QUICK = RegionRecipe(epochs=8, batch=8)
TOLD = {"background": "none", "background_size": 0, "masked_pixels": 0}


@pytest.fixture(scope="module")
def rings() -> Samples:
    """Images of a ring that is narrow or wide, on a background that tells nothing."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    y, x = np.mgrid[:128, :128]
    radius = np.hypot(x - 64, y - 10)
    images = []
    for label in labels:
        ring = np.exp(-(((radius - (40 if label else 75)) / 2) ** 2)) * rng.uniform(200, 600)
        cloud = rng.uniform(50, 500) * (1 + 0.5 * np.sin(x / 40 + rng.uniform(0, 6)))
        images.append([rng.poisson(ring + cloud)])
    compositions = np.full((60, 2), 0.5, np.float32)
    return Samples(
        np.array(images, np.float32), compositions, labels.astype(np.int64), ("wide", "narrow"), ("Sn", "Ti")
    )


@pytest.mark.parametrize("trained", [False, True])
def test_it_learns(trained: bool, rings: Samples, tmp_path: Path) -> None:
    recipe = replace(QUICK, trained=trained, epochs=4 if trained else 8)
    model = fit("padnet-small", rings, tmp_path / "p.safetensors", recipe, TOLD, held_out=np.arange(10))
    chances = model.probabilities(rings.images[:10], rings.compositions[:10])
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert (chances.argmax(axis=1) == rings.labels[:10]).mean() >= 0.8
    card = json.loads((tmp_path / "p.json").read_text())
    assert card["classes"] == ["wide", "narrow"]
    assert card["training"]["step_bytes"] > 1e6
    assert not (tmp_path / "p.checkpoint").exists()


def test_killed_and_called_again_it_ends_the_same(rings: Samples, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=3)
    whole = fit("padnet-small", rings, tmp_path / "whole.safetensors", recipe, TOLD)
    out = tmp_path / "again.safetensors"

    def kill(state: loop.Progress) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit("padnet-small", rings, out, recipe, TOLD, kill)
    again = fit("padnet-small", rings, out, recipe, TOLD)
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_parts_hold_every_class() -> None:
    labels = np.repeat(np.arange(3), [7, 37, 20])
    parts = folds(labels, 7, 0)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all(set(labels[part]) == {0, 1, 2} for part in parts)
    learnt, judged = split(labels, np.concatenate(parts[1:]), 0)
    assert set(labels[judged]) == {0, 1, 2}
    assert not set(judged) & {*learnt, *parts[0]}
    with pytest.raises(InputError, match="--folds takes"):
        folds(labels, 1, 0)


def test_what_cannot_be_learnt_is_told(rings: Samples, tmp_path: Path) -> None:
    out = tmp_path / "p.safetensors"
    small = replace(rings, images=rings.images[..., :40, :40])
    for samples, plan, told in (
        (rings, "padnot", "no network 'padnot'"),
        (small, "padnet-small", "too small"),
        (replace(rings, labels=np.zeros(60, np.int64)), "padnet-small", "at least two phase regions"),
    ):
        with pytest.raises(InputError, match=told):
            fit(plan, samples, out, QUICK, TOLD)


def test_files_that_are_no_model(rings: Samples, tmp_path: Path) -> None:
    out = tmp_path / "p.safetensors"
    fit("padnet-small", rings, out, replace(QUICK, epochs=1), TOLD)
    card = out.with_suffix(".json")
    good = card.read_text()
    for change, told in (({"plan": "x"}, "can be used"), ({"architecture": "omnet"}, "not a model card")):
        card.write_text(json.dumps(json.loads(good) | change))
        with pytest.raises(InputError, match=told):
            load(out)
    card.write_text(good)
    out.write_bytes(out.read_bytes()[:-9])
    with pytest.raises(InputError, match="SHA-256"):
        load(out)
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.safetensors")
