"""Autoencoders: losses as defined, learning, resuming, and files that can be read again or are refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from scipy.stats import norm

from matscreen.models.errors import InputError
from matscreen.models.latent import training
from matscreen.models.latent.network import PLANS, Autoencoder
from matscreen.models.latent.training import RECIPES, Latent, fit, load

QUICK = replace(RECIPES["composition"], epochs=3, batch=64)


@pytest.fixture
def fractions(rng: np.random.Generator) -> np.ndarray:
    """Binaries of ten elements: (600, 86)."""
    amounts = np.zeros((600, 86), np.float32)
    for row in amounts:
        row[rng.choice(10, 2, replace=False)] = rng.integers(1, 5, 2)
    return amounts / amounts.sum(axis=1, keepdims=True)


def test_losses_are_those_of_the_equation(fractions: np.ndarray) -> None:
    """Reconstruction against SciPy's relative entropy, divergence against an integral."""
    network = Autoencoder(PLANS["composition"], 1).eval()
    inputs = torch.from_numpy(fractions[:5])
    with torch.no_grad():
        mean, log_variance = network.encode(inputs)
        torch.manual_seed(7)
        lost, divergence = network.losses(inputs)
        torch.manual_seed(7)
        back = network.decode(mean + torch.exp(log_variance / 2) * torch.randn_like(mean)).numpy()
    np.testing.assert_allclose(back.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(lost.numpy(), 100 * rel_entr(fractions[:5], back).sum(axis=1), rtol=1e-3)
    grid = np.linspace(-12, 12, 20_001)
    for own, told, found in zip(mean.numpy(), log_variance.numpy(), divergence.numpy(), strict=True):
        q = norm.pdf(grid[:, None], own, np.exp(told / 2))
        each = np.trapezoid(rel_entr(q, norm.pdf(grid)[:, None]), grid, axis=0)
        assert found == pytest.approx(each.sum(), rel=1e-4)


def test_a_perfect_copy_loses_nothing() -> None:
    network = Autoencoder(PLANS["pattern"], 0)
    pattern = torch.rand(2, 1601).clamp(0.01, 0.99)
    copied = network._lost(torch.logit(pattern), pattern)
    np.testing.assert_allclose(copied.numpy(), 0, atol=2e-2)  # of about a thousand
    assert (network._lost(torch.logit(pattern.flip(1)), pattern) > 100).all()


def test_sizes_are_those_published() -> None:
    layers = [tuple(p.shape) for name, p in Autoencoder(PLANS["pattern"], 0).named_parameters() if "weight" in name]
    assert layers[:5] == [(16, 1, 4), (17, 16, 4), (37, 17, 4), (693, 37 * 200), (403, 693)]
    narrow = Autoencoder(PLANS["composition"], 0)
    assert [tuple(p.shape) for name, p in narrow.encoder.named_parameters() if "weight" in name] == [(95, 86), (50, 95)]
    assert narrow.mean.weight.shape == (24, 50)


@pytest.mark.parametrize("plan", PLANS)
def test_codes_and_back(plan: str) -> None:
    sizes = PLANS[plan]
    latent = Latent({}, Autoencoder(sizes, 0).eval())
    codes = latent.codes(np.random.default_rng(0).random((3, sizes.inputs)))
    assert codes.shape == latent.spread(np.zeros((3, sizes.inputs))).shape == (3, sizes.latent)
    back = latent.decoded(codes)
    assert back.shape == (3, sizes.inputs)
    assert ((back >= 0) & (back <= 1)).all()
    with pytest.raises(ValueError, match="expected"):
        latent.codes(codes)


def test_compositions_come_back(fractions: np.ndarray, tmp_path: Path) -> None:
    held_out = np.arange(600) % 10 == 0
    recipe = replace(QUICK, epochs=40, learning_rate=5e-3)
    latent = fit("composition", fractions, held_out, tmp_path / "c.safetensors", recipe)
    back = latent.decoded(latent.codes(fractions[held_out]))
    moved = np.abs(back - fractions[held_out]).sum(axis=1) / 2
    assert np.median(moved) < 0.1  # 0.74 with the mean composition
    assert (latent.spread(fractions).mean(axis=0) < 0.5).sum() >= 3  # latent variables that tell something


def test_patterns_are_learnt(tmp_path: Path, rng: np.random.Generator) -> None:
    """Of one peak, somewhere."""
    peak = rng.uniform(100, 1500, (120, 1))
    patterns = np.exp(-0.5 * ((np.arange(1601) - peak) / 40) ** 2).astype(np.float32)
    held_out = np.arange(120) % 6 == 0
    recipe = replace(RECIPES["pattern"], epochs=2, batch=20)
    latent = fit("pattern", patterns, held_out, tmp_path / "p.safetensors", recipe)
    fresh = Autoencoder(PLANS["pattern"], 0).eval()
    told = torch.from_numpy(patterns[held_out])
    with torch.no_grad():
        assert latent.network.losses(told)[0].mean() < 0.5 * fresh.losses(told)[0].mean()


def test_a_killed_training_ends_with_the_same_weights(fractions: np.ndarray, tmp_path: Path) -> None:
    held_out = np.arange(600) % 10 == 0
    whole = fit("composition", fractions, held_out, tmp_path / "whole.safetensors", QUICK)

    class KilledError(Exception):
        pass

    def kill(state: training.Progress) -> None:
        if state.epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        fit("composition", fractions, held_out, tmp_path / "parts.safetensors", QUICK, kill)
    with pytest.raises(InputError, match="another recipe"):
        fit("composition", fractions, held_out, tmp_path / "parts.safetensors", replace(QUICK, l1=1e-3))
    parts = fit("composition", fractions, held_out, tmp_path / "parts.safetensors", QUICK)
    assert whole.card["weights_sha256"] == parts.card["weights_sha256"]


def test_what_cannot_be_learnt(fractions: np.ndarray, tmp_path: Path) -> None:
    out, some = tmp_path / "x.safetensors", np.arange(600) % 2 == 0
    with pytest.raises(InputError, match="no autoencoder 'music'"):
        fit("music", fractions, some, out, QUICK)
    for inputs in (fractions[:, :80], fractions * 3, np.full_like(fractions, np.nan)):
        with pytest.raises(InputError, match="learns from"):
            fit("composition", inputs, some, out, QUICK)
    with pytest.raises(InputError, match="to judge by"):
        fit("composition", fractions, some & False, out, QUICK)
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused(fractions: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "c.safetensors"
    fit("composition", fractions, np.arange(600) < 60, out, replace(QUICK, epochs=1))
    card = json.loads(out.with_suffix(".json").read_text())
    for changed, told in (
        ({"plan": "pattern"}, "no network that can be used"),
        ({"plan": "music"}, "no network that can be used"),
        ({"weights_sha256": "0"}, "is not the file that its card describes"),
        ({"architecture": "powder-net"}, "not a model card"),
    ):
        out.with_suffix(".json").write_text(json.dumps(card | changed))
        with pytest.raises(InputError, match=told):
            load(out)
    with pytest.raises(InputError, match="no autoencoder 'nothing'"):
        load("nothing")
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.safetensors")
