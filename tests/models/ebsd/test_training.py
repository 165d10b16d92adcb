"""Training of OMNet: it learns, resumes exactly, and what it writes can be read again or is refused."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from matscreen.kernels.disorientation import disorientation_angle
from matscreen.models.ebsd import model as models
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.network import PLANS, OMNet, Plan
from matscreen.models.ebsd.simulation import CLEAN, Crystal, disturbed
from matscreen.models.ebsd.training import OrientationRecipe, fit, random_orientations
from matscreen.models.errors import InputError

SMALL = Plan(((12, 1), "pool", (16, 1), "pool"), 64, (32,), True)
QUICK = OrientationRecipe(epochs=3, batch=32, disturbance=replace(CLEAN, noise=0.5))


@pytest.fixture(autouse=True)
def small_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLANS, "small", SMALL)


@pytest.fixture(scope="module")
def grid() -> np.ndarray:
    return random_orientations(256, "432", 9).numpy()


@pytest.mark.parametrize(("representation", "loss"), [("cubic", "mse"), ("quaternion", "mde")])
def test_it_learns(
    representation: str, loss: str, crystal: Crystal, geometry: Geometry, grid: np.ndarray, tmp_path: Path
) -> None:
    recipe = replace(QUICK, epochs=28, representation=representation, loss=loss)
    model = fit("small", crystal, geometry, grid, tmp_path / "m.safetensors", recipe)
    history = model.card["training"]["epochs_run"]
    assert history == 28
    q = torch.from_numpy(grid)
    found = model.orientations(disturbed(crystal, geometry, q, CLEAN))
    off = np.degrees(disorientation_angle(found, grid))
    assert np.median(off) < 25  # of random ones it is 41°


def test_a_killed_training_ends_with_the_same_weights(
    crystal: Crystal, geometry: Geometry, grid: np.ndarray, tmp_path: Path
) -> None:
    whole = fit("small", crystal, geometry, grid, tmp_path / "whole.safetensors", QUICK)

    class KilledError(Exception):
        pass

    def kill(state: object) -> None:
        if getattr(state, "epoch", 0) == 2:
            raise KilledError

    with pytest.raises(KilledError):
        fit("small", crystal, geometry, grid, tmp_path / "parts.safetensors", QUICK, kill)
    assert (tmp_path / "parts.checkpoint").is_file()
    with pytest.raises(InputError, match="another recipe"):
        fit("small", crystal, geometry, grid, tmp_path / "parts.safetensors", replace(QUICK, loss="mae"))
    parts = fit("small", crystal, geometry, grid, tmp_path / "parts.safetensors", QUICK)
    assert whole.card["weights_sha256"] == parts.card["weights_sha256"]
    assert not (tmp_path / "parts.checkpoint").exists()


def test_the_published_plan_has_its_sizes() -> None:
    plan = PLANS["omnet"]
    assert [step[0] for step in plan.trunk if step != "pool"] == [256, 256, 512, 512, 256, 256, 96, 96]
    assert (plan.trunk.count("pool"), plan.dense, plan.branch) == (2, 8192, (2048, 1024, 256))
    network = OMNet(SMALL, (24, 20), (1, 1, 1), 0)
    assert network(torch.zeros(5, 480)).shape == (5, 3)
    assert len(network.branches) == 3


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"loss": "mad"}, "no loss"),
        ({"representation": "axis"}, "no representation"),
        ({"representation": "cubic", "loss": "mde"}, "take mse"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    changed: dict[str, str], told: str, crystal: Crystal, geometry: Geometry, grid: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        fit("small", crystal, geometry, grid, tmp_path / "m.safetensors", replace(QUICK, **changed))
    with pytest.raises(InputError, match="no network"):
        fit("omninet", crystal, geometry, grid, tmp_path / "m.safetensors", QUICK)
    with pytest.raises(InputError, match="that is for 432"):
        fit("small", replace(crystal, symmetry="622"), geometry, grid, tmp_path / "m.safetensors", QUICK)


def test_damaged_models_are_refused(crystal: Crystal, geometry: Geometry, grid: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    fit("small", crystal, geometry, grid, out, replace(QUICK, epochs=1))
    content, card = out.read_bytes(), json.loads(out.with_suffix(".json").read_text())
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert models.load(out).card == card
    assert torch.equal(torch.rand(3), drawn)  # what a caller draws does not depend on what was read
    weights = safetensors.torch.load(content)
    out.write_bytes(safetensors.torch.save(weights | {next(iter(weights)): torch.tensor(torch.inf)}))
    told = card | {"weights_sha256": hashlib.sha256(out.read_bytes()).hexdigest()}
    out.with_suffix(".json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="is not finite"):
        models.load(out)
    out.with_suffix(".json").write_text(json.dumps(card))
    out.write_bytes(content[:-1])
    with pytest.raises(InputError, match="is not the file that its card describes"):
        models.load(out)
    out.write_bytes(content)
    for key in ("geometry", "plan", "phase", "training"):
        out.with_suffix(".json").write_text(json.dumps({k: v for k, v in card.items() if k != key}))
        with pytest.raises(InputError, match="no network that can be used"):
            models.load(out)
    out.with_suffix(".json").write_text(json.dumps({**card, "phase": {**card["phase"], "symmetry": "5"}}))
    with pytest.raises(InputError, match="no network that can be used"):
        models.load(out)
    out.with_suffix(".json").write_text("[1]")
    with pytest.raises(InputError, match="not a model card"):
        models.load(out)
    with pytest.raises(InputError, match="no orientation model"):
        models.load("omnet-iron")
    with pytest.raises(InputError, match="no such file"):
        models.load(tmp_path / "none.safetensors")


def test_training_goes_on_from_other_weights(
    crystal: Crystal, geometry: Geometry, grid: np.ndarray, tmp_path: Path
) -> None:
    first = fit("small", crystal, geometry, grid, tmp_path / "first.safetensors", QUICK)
    still = replace(QUICK, epochs=1, learning_rate=1e-9)
    moved = replace(geometry, centre=(0.46, 0.3, 0.6))
    second = fit("small", crystal, moved, grid, tmp_path / "second.safetensors", still, start=first)
    assert second.card["training"]["start"] == first.card["weights_sha256"]
    weights = [model.network.dense[0].weight for model in (first, second)]
    np.testing.assert_allclose(*(w.detach().numpy() for w in weights), atol=1e-4)
    with pytest.raises(InputError, match="another network"):
        fit("omnet-small", crystal, geometry, grid, tmp_path / "third.safetensors", QUICK, start=first)
    larger = replace(geometry, shape=(48, 40))
    with pytest.raises(InputError, match="another size"):
        fit("small", crystal, larger, grid, tmp_path / "third.safetensors", QUICK, start=first)
