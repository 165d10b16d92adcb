"""The float32 forward pass against float64 and against PyTorch, and its independence of the batch.

Tolerance: 17 layers of sums of up to 1024 products in float32 (machine epsilon 6e-8) lose some 1e-6 of outputs of
order 1; 2e-5 is the bound asked for.
"""

import itertools

import numpy as np
import pytest
import torch

from matscreen.kernels.embedding import Tables, checked, embed
from matscreen.kernels.mlp import Layers, Shortcut, absorb, forward, forward_dense, forward_embedded, pack, reference
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork, folded


@pytest.fixture(scope="module")
def network() -> DenseNetwork:
    return DenseNetwork(ARCHITECTURES["elemnet"], 86, seed=3).eval()


def kernel_layers(network: DenseNetwork) -> Layers:
    return pack(*folded(network))


def compositions(n: int, rng: np.random.Generator, width: int = 4) -> tuple[np.ndarray, np.ndarray]:
    places = np.argsort(rng.random((n, 86)), axis=1)[:, :width]
    fractions = rng.dirichlet(np.ones(width), n)
    if width > 1:
        fractions[::3, -1] = 0  # an empty place
    return places, (fractions / fractions.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 63, 512, 513, 1500])
@pytest.mark.parametrize("width", [1, 4, 7])
def test_against_reference_and_torch(network: DenseNetwork, rng: np.random.Generator, n: int, width: int) -> None:
    places, fractions = compositions(n, rng, width)
    if width == 1:
        fractions[:] = 1
    layers = kernel_layers(network)
    ours = forward(places, fractions, layers)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, forward(places, fractions, layers, backend="reference"), atol=2e-5)
    dense = np.zeros((n, 86), np.float32)
    np.put_along_axis(dense, places, fractions, axis=1)
    with torch.no_grad():
        np.testing.assert_allclose(ours, network(torch.from_numpy(dense)).numpy(), atol=2e-5)


def settled(name: str, inputs: int, rng: np.random.Generator) -> DenseNetwork:
    """A network whose batch norms have seen data, so that folding them is not trivial."""
    network = DenseNetwork(ARCHITECTURES[name], inputs, seed=1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    network.train()
    with torch.no_grad():
        for _ in range(30):
            network(torch.from_numpy(rng.normal(size=(256, inputs)).astype(np.float32)))
    return network.eval()


@pytest.mark.parametrize("name", [name for name, plan in ARCHITECTURES.items() if plan.inputs == "attributes"])
def test_folded_batch_norm_and_shortcuts_change_nothing(name: str, rng: np.random.Generator) -> None:
    network = settled(name, 145, rng)
    inputs = rng.normal(size=(700, 145)).astype(np.float32)
    layers = kernel_layers(network)
    ours = forward_dense(inputs, layers)
    with torch.no_grad():
        plain = network(torch.from_numpy(inputs)).numpy()
        exact = network.double()(torch.from_numpy(inputs).double()).numpy()
    scale = np.abs(exact).max()
    pairs, jumps = folded(network)
    in_float64 = Layers(
        tuple(weight.T for weight, _ in pairs),
        tuple(bias for _, bias in pairs),
        tuple(jump and Shortcut(jump[0], None if jump[1] is None else jump[1].T) for jump in jumps),
    )
    np.testing.assert_allclose(reference.forward_dense(inputs, in_float64) / scale, exact / scale, atol=1e-9)
    rounding = np.abs(plain - exact).max()  # of float32 over so many layers, as PyTorch has it
    assert np.abs(ours - exact).max() < 3 * rounding + 1e-6 * scale
    order = rng.permutation(700)
    np.testing.assert_array_equal(forward_dense(inputs[order], layers), ours[order])


@pytest.mark.parametrize("name", ["srnet-17", "irnet-24"])
def test_shortcuts_from_sparse_inputs(name: str, rng: np.random.Generator) -> None:
    network = settled(name, 86, rng)
    places, fractions = compositions(600, rng)
    layers = kernel_layers(network)
    dense = np.zeros((600, 86), np.float32)
    np.put_along_axis(dense, places, fractions, axis=1)
    expected = forward(places, fractions, layers, backend="reference")
    scale = np.abs(expected).max()
    np.testing.assert_allclose(forward(places, fractions, layers) / scale, expected / scale, atol=1e-4)
    np.testing.assert_allclose(forward_dense(dense, layers) / scale, expected / scale, atol=1e-4)


def test_shortcuts_that_do_not_fit() -> None:
    pairs = [(np.ones((n, m)), np.ones(n)) for m, n in ((3, 4), (4, 4), (4, 1))]
    with pytest.raises(ValueError, match="from activation 2"):
        pack(pairs, [None, (2, None), None])
    with pytest.raises(ValueError, match="from width 3 needs a projection"):
        pack(pairs, [(0, None), None, None])
    with pytest.raises(ValueError, match=r"projection \(3, 4\) does not fit"):
        pack(pairs, [(0, np.ones((3, 4))), None, None])
    with pytest.raises(ValueError, match="last layer takes no shortcut"):
        pack(pairs, [None, None, (2, np.ones((1, 4)))])
    with pytest.raises(ValueError, match="2 shortcuts do not fit 3 layers"):
        pack(pairs, [None, None])
    with pytest.raises(ValueError, match="must be"):
        forward_dense(np.ones((2, 4)), pack(pairs))


def test_an_element_given_twice_adds_up(network: DenseNetwork) -> None:
    layers = kernel_layers(network)
    twice = forward(np.array([[5, 5, 7]]), np.array([[0.25, 0.25, 0.5]]), layers)
    once = forward(np.array([[5, 7]]), np.array([[0.5, 0.5]]), layers)
    np.testing.assert_allclose(twice, once, atol=1e-6)


def test_a_composition_has_the_same_bits_wherever_it_stands(network: DenseNetwork, rng: np.random.Generator) -> None:
    layers = kernel_layers(network)
    places, fractions = compositions(1400, rng)
    energies = forward(places, fractions, layers)
    order = rng.permutation(1400)
    np.testing.assert_array_equal(forward(places[order], fractions[order], layers), energies[order])
    np.testing.assert_array_equal(forward(places[777:778], fractions[777:778], layers), energies[777:778])


def embedding(rng: np.random.Generator, widths: tuple[int, int, int, int, int]) -> Tables:
    pairs, linear, root, presence, stoichiometry = widths
    drawn = [rng.normal(size=(86, width)) for width in (pairs, pairs, linear)]
    others = [rng.normal(size=(86, width)) for width in (root, presence)]
    known, order = np.array([1, 257, 65793]), rng.permutation(86)  # one to three elements, as much of each
    of_stoichiometries = rng.normal(size=(4, stoichiometry))
    return checked(Tables(*drawn, rng.normal(size=linear), *others, of_stoichiometries, known, order))


@pytest.mark.parametrize("widths", [(48, 32, 16, 8, 24), (5, 0, 7, 9, 0), (0, 6, 0, 3, 2), (0, 0, 0, 4, 2)])
@pytest.mark.parametrize("jump", [None, (0, "projected"), (1, None)])
def test_an_embedding_that_the_first_layer_absorbs(
    widths: tuple[int, int, int, int, int], jump: tuple[int, str | None] | None, rng: np.random.Generator
) -> None:
    """Against the definition: embed, then multiply; tolerances as above, of numbers up to some hundreds."""
    tables, beside = embedding(rng, widths), rng.normal(size=(1100, 11))
    sizes = [sum(widths) + 11, 40, 40, 2]
    pairs = [(rng.normal(size=(n, m)) / m**0.5, rng.normal(size=n)) for m, n in itertools.pairwise(sizes)]
    projection = rng.normal(size=(40, sizes[0])) / sizes[0] ** 0.5
    layers = pack(pairs, [None, jump and (jump[0], projection if jump[1] else None), None])
    network = absorb(tables, layers)
    assert (network.absorbed is None) == (jump is not None and jump[0] == 0)
    places, fractions = compositions(1100, rng)
    fractions[::2] = [0.5, 0.5, 0, 0]
    expected = forward_embedded(places, fractions, beside, network, backend="reference")
    exact = np.concatenate([embed(places, fractions, tables, backend="reference"), beside], axis=1)
    np.testing.assert_array_equal(expected, reference.forward_dense(exact, layers))
    ours = forward_embedded(places, fractions, beside, network)
    assert ours.dtype == np.float32
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours / scale, expected / scale, atol=2e-6)
    order = rng.permutation(1100)
    shuffled = forward_embedded(places[order], fractions[order], beside[order], network)
    np.testing.assert_array_equal(shuffled, ours[order])
    alone = forward_embedded(places[777:778], fractions[777:778], beside[777:778], network)
    np.testing.assert_array_equal(alone, ours[777:778])
    rounded = forward_embedded(places, fractions, beside, network, "cpu", "bf16")
    assert 0 < np.abs(rounded - expected).max() < 0.05 * scale


def test_nine_elements_in_an_embedding(rng: np.random.Generator) -> None:
    network = absorb(
        embedding(rng, (5, 4, 2, 2, 1)),
        pack([(rng.normal(size=(20, 16)), np.ones(20)), (np.ones((1, 20)), np.ones(1))]),
    )
    places = np.argsort(rng.random((50, 86)), axis=1)[:, :9]
    fractions = rng.dirichlet(np.ones(9), 50)
    given = places, fractions, rng.normal(size=(50, 2)), network
    expected = forward_embedded(*given, backend="reference")
    np.testing.assert_allclose(forward_embedded(*given), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_what_is_no_number_has_no_energy(network: DenseNetwork, rng: np.random.Generator) -> None:
    """Else nobody would be told of it: ReLUs could make numbers of it again."""
    layers, (places, fractions) = kernel_layers(network), compositions(3, rng)
    fractions[1, 0] = np.nan
    dense = np.zeros((3, 86), np.float32)
    dense[1, 5] = np.nan
    tables = embedding(rng, (5, 4, 2, 2, 1))
    small = absorb(tables, pack([(np.ones((20, 16)), np.ones(20)), (np.ones((1, 20)), np.ones(1))]))
    for found in (
        forward(places, fractions, layers),
        forward_dense(dense, layers),
        forward_embedded(places, fractions, np.ones((3, 2)), small),
    ):
        assert np.isnan(found[:, 0]).tolist() == [False, True, False]


def test_embeddings_that_do_not_fit(rng: np.random.Generator) -> None:
    tables = embedding(rng, (5, 4, 2, 2, 1))
    layers = pack([(np.ones((4, 16)), np.ones(4)), (np.ones((1, 4)), np.ones(1))])
    network, (places, fractions) = absorb(tables, layers), compositions(3, rng)
    with pytest.raises(ValueError, match=r"beside must be \(3, 2\), not \(3, 3\)"):
        forward_embedded(places, fractions, np.ones((3, 3)), network)
    with pytest.raises(ValueError, match="0 … 85"):
        forward_embedded(places + 80, fractions, np.ones((3, 2)), network)
    with pytest.raises(ValueError, match="an embedding of 14 numbers does not fit 13 inputs"):
        absorb(tables, layers._replace(weights=(layers.weights[0][:13], layers.weights[1])))


def test_errors(network: DenseNetwork) -> None:
    pairs, _ = folded(network)
    layers = pack(pairs)
    with pytest.raises(ValueError, match="0 … 85"):
        forward(np.array([[86]]), np.array([[1.0]]), layers)
    with pytest.raises(ValueError, match=r"must both be \(N, K\)"):
        forward(np.array([1]), np.array([1.0]), layers)
    with pytest.raises(ValueError, match="layer 2 takes"):
        pack([pairs[0], pairs[5]])
    with pytest.raises(ValueError, match="at least two layers"):
        pack(pairs[:1])
    broken = [(w.copy(), b) for w, b in pairs]
    broken[3][0][7, 7] = np.nan
    with pytest.raises(ValueError, match="layer 4 has a weight that is not finite"):
        pack(broken)
