"""The float32 forward pass against float64 and against PyTorch, and its independence of the batch.

Tolerance: 17 layers of sums of up to 1024 products in float32 (machine epsilon 6e-8) lose some 1e-6 of outputs of
order 1; 2e-5 is the bound asked for.
"""

import numpy as np
import pytest
import torch

from matscreen.kernels.mlp import forward, pack
from matscreen.models.elemnet import dense_layers, elemnet


@pytest.fixture(scope="module")
def network() -> torch.nn.Sequential:
    return elemnet((0, 0, 0, 0), seed=3).eval()


def compositions(n: int, rng: np.random.Generator, width: int = 4) -> tuple[np.ndarray, np.ndarray]:
    places = np.argsort(rng.random((n, 86)), axis=1)[:, :width]
    fractions = rng.dirichlet(np.ones(width), n)
    if width > 1:
        fractions[::3, -1] = 0  # an empty place
    return places, (fractions / fractions.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 63, 512, 513, 1500])
@pytest.mark.parametrize("width", [1, 4, 7])
def test_against_reference_and_torch(
    network: torch.nn.Sequential, rng: np.random.Generator, n: int, width: int
) -> None:
    places, fractions = compositions(n, rng, width)
    if width == 1:
        fractions[:] = 1
    layers = pack([(w.numpy(), b.numpy()) for w, b in dense_layers(network)])
    ours = forward(places, fractions, layers)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, forward(places, fractions, layers, backend="reference"), atol=2e-5)
    dense = np.zeros((n, 86), np.float32)
    np.put_along_axis(dense, places, fractions, axis=1)
    with torch.no_grad():
        np.testing.assert_allclose(ours, network(torch.from_numpy(dense))[:, 0].numpy(), atol=2e-5)


def test_an_element_given_twice_adds_up(network: torch.nn.Sequential) -> None:
    layers = pack([(w.numpy(), b.numpy()) for w, b in dense_layers(network)])
    twice = forward(np.array([[5, 5, 7]]), np.array([[0.25, 0.25, 0.5]]), layers)
    once = forward(np.array([[5, 7]]), np.array([[0.5, 0.5]]), layers)
    np.testing.assert_allclose(twice, once, atol=1e-6)


def test_a_composition_has_the_same_bits_wherever_it_stands(
    network: torch.nn.Sequential, rng: np.random.Generator
) -> None:
    layers = pack([(w.numpy(), b.numpy()) for w, b in dense_layers(network)])
    places, fractions = compositions(1400, rng)
    energies = forward(places, fractions, layers)
    order = rng.permutation(1400)
    np.testing.assert_array_equal(forward(places[order], fractions[order], layers), energies[order])
    np.testing.assert_array_equal(forward(places[777:778], fractions[777:778], layers), energies[777:778])


def test_errors(network: torch.nn.Sequential) -> None:
    pairs = [(w.numpy(), b.numpy()) for w, b in dense_layers(network)]
    layers = pack(pairs)
    with pytest.raises(ValueError, match="0 … 85"):
        forward(np.array([[86]]), np.array([[1.0]]), layers)
    with pytest.raises(ValueError, match=r"must both be \(N, K\)"):
        forward(np.array([1]), np.array([1.0]), layers)
    with pytest.raises(ValueError, match="layer 2 takes"):
        pack([pairs[0], pairs[5]])
    with pytest.raises(ValueError, match="last has one output"):
        pack(pairs[:2])
    broken = [(w.copy(), b) for w, b in pairs]
    broken[3][0][7, 7] = np.nan
    with pytest.raises(ValueError, match="layer 4 has a weight that is not finite"):
        pack(broken)
