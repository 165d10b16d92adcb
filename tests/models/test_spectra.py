"""Networks of spectrum and composition: members as one and alone, gradients, stages, files; the simulation's slopes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import functional_call

from matscreen.models.errors import InputError
from matscreen.models.spectra.network import Plan, SpectralEnsemble, SpectralNetwork
from matscreen.models.spectra.simulation import (
    ALLOYING,
    ELEMENTS,
    MOST,
    Simulated,
    distortion,
    exact_slopes,
    performance,
    simulate,
    spectral_slopes,
    spectrum,
)
from matscreen.models.spectra.training import SpectralModel, SpectralRecipe, fit, load, write

QUICK = SpectralRecipe(epochs=(10, 30, 15), seeds=2)


@pytest.fixture(scope="module")
def made() -> Simulated:
    return simulate(3, 400)


@pytest.fixture(scope="module")
def model(made: Simulated) -> SpectralModel:
    learnt = np.zeros((2, 400), bool)
    learnt[:, :320] = True
    return fit(made.spectra, made.fractions, made.values, learnt, QUICK, told={"elements": list(ELEMENTS)})


def test_samples_are_as_planned(made: Simulated) -> None:
    np.testing.assert_allclose(made.fractions.sum(axis=1), 1)
    alloyed = made.fractions[:, 2:]
    assert set((alloyed > 0).sum(axis=1).tolist()) == {1, 2}
    assert alloyed.max() <= MOST
    assert set(np.round(made.fractions[:, 0] / made.fractions[:, 1], 3).tolist()) == {1.083, 1.006, 0.926}
    assert ELEMENTS[2:] == ALLOYING
    again = simulate(3, 400)
    assert again.spectra.tobytes() == made.spectra.tobytes()
    assert simulate(4, 400).spectra.tobytes() != made.spectra.tobytes()
    assert 0.9 < np.quantile(made.spectra.max(axis=1), 0.05) < 1.3


def test_its_slopes_are_exact(made: Simulated) -> None:
    x, h, step = made.fractions[:20], made.made[:20], 1e-6
    by_fractions, by_made = exact_slopes(x, made.made[:20])
    moves, moves_made = spectral_slopes(x, h)

    def both(x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = torch.from_numpy(x), torch.from_numpy(h)
        return performance(given[0], distortion(*given)).numpy(), spectrum(*given).numpy()

    for k in range(len(ELEMENTS)):
        shift = step * np.eye(len(ELEMENTS))[k]
        (p1, s1), (p0, s0) = both(x + shift, h), both(x - shift, h)
        np.testing.assert_allclose(by_fractions[:, k], (p1 - p0) / (2 * step), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(moves[:, k], (s1 - s0) / (2 * step), atol=1e-5 * np.abs(moves).max())
    (p1, s1), (p0, s0) = both(x, h + step), both(x, h - step)
    np.testing.assert_allclose(by_made, (p1 - p0) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(moves_made, (s1 - s0) / (2 * step), atol=1e-6)


def test_an_ensemble_is_its_members() -> None:
    ensemble = SpectralEnsemble(Plan(), 60, 7, (0, 1, 2)).eval()
    s, x = torch.randn(3, 5, 60), torch.rand(3, 5, 7)
    for part in ("spectrum", "composition", "both"):
        found = ensemble(s, x, part)
        for member in range(3):
            alone = SpectralNetwork(Plan(), 60, 7, member).eval()
            torch.testing.assert_close(found[member], alone(s[member], x[member], part))
            weights = {name.replace(":", "."): weight[member] for name, weight in ensemble.weights.items()}
            torch.testing.assert_close(found[member], functional_call(alone, weights, (s[member], x[member], part)))


def test_the_first_layer_is_the_published_one() -> None:
    weights = SpectralEnsemble(Plan(), 628, 7, (0,)).weights
    assert weights["dense:0:weight"].shape == (1, 16, 7)
    assert weights["convolution:2:weight"].shape == (1, 2, 1, 7)
    assert [weights[f"of_both:{n}:weight"].shape[1:] for n in (0, 2, 4)] == [(32, 48), (32, 32), (1, 32)]


def test_it_learns_and_its_slopes_point_the_right_way(made: Simulated, model: SpectralModel) -> None:
    test = slice(320, 400)
    predicted = model.members(made.spectra[test], made.fractions[test])
    assert predicted.shape == (2, 80)
    assert 1 - ((predicted.mean(axis=0) - made.values[test]) ** 2).mean() / made.values[test].var() > 0.5
    x = made.fractions[test]
    by_points, by_fractions = model.gradients(made.spectra[test], x)
    exact, _ = exact_slopes(x, made.made[test])
    moves, moves_made = spectral_slopes(x, made.made[test])
    along = (by_fractions + np.einsum("mnl,nkl->mnk", by_points, moves)).mean(axis=0)

    def towards(gradient: np.ndarray) -> np.ndarray:
        slopes: np.ndarray = gradient - (gradient * x).sum(axis=1, keepdims=True)
        return slopes

    found, true = towards(along), towards(exact)
    cosine = (found * true).sum(axis=1) / np.sqrt((found**2).sum(axis=1) * (true**2).sum(axis=1))
    assert np.median(cosine) > 0.9
    assert (np.einsum("mnl,nl->mn", by_points, moves_made).mean(axis=1) < 0).all()  # the distortion is bad


def test_gradients_against_differences(made: Simulated, model: SpectralModel) -> None:
    s, x, step = made.spectra[:6].astype(np.float64), made.fractions[:6], 0.02
    by_points, by_fractions = model.gradients(s, x)
    rng = np.random.default_rng(0)
    for _ in range(4):
        ds, dx = rng.normal(0, 0.1, s.shape), rng.normal(0, 0.01, x.shape)
        up, down = (model.members(s + sign * step * ds, x + sign * step * dx) for sign in (1, -1))
        expected = (up - down) / (2 * step)
        along = np.einsum("mnl,nl->mn", by_points, ds) + np.einsum("mne,ne->mn", by_fractions, dx)
        np.testing.assert_allclose(along, expected, atol=0.02 * np.abs(expected).max())


def test_in_and_out_of_a_file(made: Simulated, model: SpectralModel, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    write(model, out)
    again = load(out)
    found, kept = (one.members(made.spectra, made.fractions) for one in (again, model))
    np.testing.assert_allclose(found, kept, atol=0.02 * made.values.std())  # weights are kept in half precision
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["members"] == 2
    for change in (
        {"plan": 1},
        {"scales": {}},
        {"points": 9},
        {"elements": ["Bi"]},
        {"training": None},
        {"members": 10**9},
    ):
        out.with_suffix(".json").write_text(json.dumps(card | change))
        with pytest.raises(InputError, match="no network that can be used"):
            load(out)
    out.with_suffix(".json").write_text(json.dumps(card))
    out.write_bytes(out.read_bytes()[:-1])
    with pytest.raises(InputError, match="is not the file that its card describes"):
        load(out)


def test_the_same_again(made: Simulated) -> None:
    quick = replace(QUICK, epochs=(1, 1, 1))
    learnt = np.ones((2, 100), bool)
    first, second = (fit(made.spectra[:100], made.fractions[:100], made.values[:100], learnt, quick) for _ in range(2))
    for name, weight in first.ensemble.weights.items():
        assert torch.equal(weight, second.ensemble.weights[name])


@pytest.mark.parametrize(
    ("epochs", "layers"),
    [
        ((2, 0, 0), ("convolution", "of_spectrum")),
        ((0, 2, 0), ("dense", "of_composition")),
        ((0, 0, 2), ("convolution", "dense", "of_both")),
    ],
)
def test_stages_train_their_own_layers(epochs: tuple[int, int, int], layers: tuple[str, ...], made: Simulated) -> None:
    """Those that the third goes on from are those of the first two: they have no others."""
    learnt = np.ones((1, 100), bool)
    part = made.spectra[:100], made.fractions[:100], made.values[:100]
    found = fit(*part, learnt, replace(QUICK, epochs=epochs)).ensemble.weights
    fresh = SpectralEnsemble(Plan(), made.spectra.shape[1], 7, (0,)).weights
    for name, weight in fresh.items():
        assert torch.equal(weight, found[name]) != name.startswith(layers), name


def test_what_is_held_out_says_nothing(made: Simulated) -> None:
    """Not by its scale either."""
    learnt = np.ones((1, 120), bool)
    learnt[:, 100:] = False
    values = made.values[:120].copy()
    found = []
    for _ in range(2):
        model = fit(made.spectra[:120], made.fractions[:120], values, learnt, replace(QUICK, epochs=(1, 1, 1)))
        found.append(model.members(made.spectra[:120], made.fractions[:120]))
        values[100:] += 100
    np.testing.assert_array_equal(*found)


def test_what_cannot_be_learnt(made: Simulated) -> None:
    uneven = np.ones((2, 100), bool)
    uneven[0, 0] = False
    for learnt in (uneven, np.ones((1, 20), bool)):
        count = learnt.shape[1]
        with pytest.raises(InputError, match="as many samples"):
            fit(made.spectra[:count], made.fractions[:count], made.values[:count], learnt, QUICK)
