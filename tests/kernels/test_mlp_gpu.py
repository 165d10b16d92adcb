"""The Triton networks against the definition, in Triton's interpreter where there is no device.

Tolerance, relative to the largest output: 1e-5 in float32; 1e-2 in tf32, whose factors have 11 bits; 3e-2 in bf16,
whose activations are rounded to 8 bits after every layer. bf16 is compared with the same roundings on the processor
too, fp8 with the same in NumPy.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch

from interpreter import few_bits_as_on_a_device
from matscreen.kernels import enumeration
from matscreen.kernels.backend import gpu_here
from matscreen.kernels.mlp import Layers, Shortcut, forward, forward_dense, gpu, pack, weights

DEVICE = "cuda" if gpu_here() == "cuda" else "cpu"
TOLERANCE = {"fp32": 1e-5, "tf32": 1e-2, "bf16": 3e-2}


@pytest.fixture(autouse=True)
def few_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    few_bits_as_on_a_device(monkeypatch)


def network(widths: tuple[int, ...], shortcuts: str, rng: np.random.Generator) -> Layers:
    pairs = [(rng.normal(size=(o, i)) * np.sqrt(2 / i), rng.normal(size=o) * 0.1) for i, o in pairwise(widths)]
    cuts: list[tuple[int, np.ndarray | None] | None] = [None] * len(pairs)
    for number in range(1, len(pairs)):
        source = number - 1 if shortcuts == "layer" else max(number - 3, 0)
        if shortcuts == "layer" or (shortcuts == "stack" and number % 3 == 0):
            same = widths[source] == widths[number]
            matrix = None if same else rng.normal(size=(widths[number], widths[source])) / np.sqrt(widths[source])
            cuts[number - 1] = (source, matrix)
    return pack(pairs, cuts)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))


def assert_close(found: np.ndarray, expected: np.ndarray, precision: str) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[precision] * np.abs(expected).max())


@pytest.mark.parametrize("shortcuts", ["none", "layer", "stack"])
@pytest.mark.parametrize("widths", [(86, 160, 128, 128, 64, 32, 1), (40, 72, 72, 24, 24, 3), (20, 144, 1)])
def test_dense_inputs(widths: tuple[int, ...], shortcuts: str, rng: np.random.Generator) -> None:
    layers = network(widths, shortcuts, rng)
    inputs = rng.normal(size=(70, widths[0])).astype(np.float32)
    expected = forward_dense(inputs, layers, backend="reference")
    assert_close(forward_dense(inputs, layers, backend="gpu"), expected, "fp32")
    for precision in ("tf32", "bf16"):
        on_device = weights.network(layers, precision, DEVICE)
        found = gpu.forward_dense(torch.from_numpy(inputs).to(DEVICE), on_device).cpu().numpy()
        assert_close(found, expected, precision)
        here = forward_dense(inputs, layers, "cpu", precision)  # type: ignore[arg-type]
        assert_close(here, expected, precision)
        assert precision == "tf32" or distance(found, here) < 0.3 * distance(here, expected)


@pytest.mark.parametrize("shortcuts", ["none", "layer"])
def test_compositions(shortcuts: str, rng: np.random.Generator) -> None:
    layers = network((86, 160, 160, 64, 64, 1), shortcuts, rng)
    places = np.argsort(rng.random((90, 86)), axis=1)[:, :4]
    fractions = rng.dirichlet(np.ones(4), 90).astype(np.float32)
    fractions[::3, 3] = 0
    expected = forward(places, fractions, layers, backend="reference")
    assert_close(forward(places, fractions, layers, backend="gpu"), expected, "fp32")
    found, here = (forward(places, fractions, layers, backend, "bf16") for backend in ("gpu", "cpu"))  # type: ignore[arg-type]
    assert_close(found, expected, "bf16")
    assert distance(found, here) < 0.3 * distance(here, expected)


def test_shortcuts_from_the_inputs(rng: np.random.Generator) -> None:
    layers = network((40, 40, 40, 40, 1), "stack", rng)
    layers = layers._replace(shortcuts=(Shortcut(0, None), Shortcut(0, None), None, None))
    inputs = rng.normal(size=(20, 40)).astype(np.float32)
    for precision in ("fp32", "bf16"):
        on_device = weights.network(layers, precision, DEVICE)
        found = gpu.forward_dense(torch.from_numpy(inputs).to(DEVICE), on_device).cpu().numpy()
        assert_close(found, forward_dense(inputs, layers, backend="reference"), precision)
    places = np.argsort(rng.random((30, 40)), axis=1)[:, :3]
    fractions = rng.dirichlet(np.ones(3), 30).astype(np.float32)
    expected = forward(places, fractions, layers, backend="reference")
    assert_close(forward(places, fractions, layers, backend="gpu"), expected, "fp32")
    with pytest.raises(ValueError, match="shortcuts from its inputs"):
        gpu.ranker(torch.zeros(4, dtype=torch.int32), torch.zeros((3, 2), dtype=torch.uint8), on_device)


@pytest.mark.parametrize("arity", [1, 2, 3, 4])
def test_compositions_by_number(arity: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "BATCH", 64)
    layers = network((86, 48, 32, 1), "none", rng)
    free = np.sort(rng.choice(np.arange(1, 95), 86, replace=False)).astype(np.uint8)
    places = rng.permutation(86).astype(np.int32)
    ratios = enumeration.ratio_table(arity, 10)
    size = enumeration.block_size(86, 0, arity, len(ratios))
    on_device = weights.network(layers, "fp32", DEVICE)
    predict = gpu.ranker(*(torch.from_numpy(a).to(DEVICE) for a in (places, ratios)), on_device)
    for start in {0, size // 3, max(size - 100, 0)}:
        stop = min(start + 100, size)
        elements, amounts = enumeration.unrank(start, stop, free, free[:0], ratios, arity)
        inputs = places[np.searchsorted(free, elements)]
        fractions = amounts / amounts.sum(axis=1, keepdims=True)
        expected = forward(inputs, fractions, layers, backend="reference")
        found = predict(start, stop).cpu().numpy()
        assert_close(found, expected, "fp32")


def rounded(values: np.ndarray, kind: torch.dtype) -> np.ndarray:
    """As they come out of a float type of fewer bits."""
    largest = weights.LARGEST_FP8 if kind == torch.float8_e4m3fn else np.inf
    return torch.from_numpy(values.astype(np.float32)).clamp(max=largest).to(kind).double().numpy()


def in_eight_bits(inputs: np.ndarray, net: weights.Network, layers: Layers) -> np.ndarray:
    """What the rounded weights and activations of `net` give in float64."""
    x = rounded(inputs / np.float32(net.input_scale), torch.float8_e4m3fn)
    for number, layer in enumerate(net.dense[: net.tail], start=1):
        assert layer.scale is not None
        x = x @ layer.weight.double().numpy().T * layer.scale.double().numpy() + layer.bias.double().numpy()
        kind = torch.bfloat16 if number == net.tail else torch.float8_e4m3fn
        x = rounded(np.maximum(x, 0) / layer.output_scale, kind)
    for weight, bias in zip(layers.weights[net.tail :], layers.biases[net.tail :], strict=True):
        x = x[:, : len(weight)] @ rounded(weight, torch.bfloat16) + bias
        x = rounded(np.maximum(x, 0), torch.bfloat16) if len(bias) > 1 else x
    return x


def test_eight_bits(rng: np.random.Generator) -> None:
    layers = network((80, 160, 160, 128, 64, 1), "none", rng)
    inputs = rng.dirichlet(np.full(80, 0.05), 64).astype(np.float32)
    on_device = weights.network(layers, "fp8", DEVICE, sample=inputs)
    found = gpu.forward_dense(torch.from_numpy(inputs).to(DEVICE), on_device).cpu().numpy()
    expected = in_eight_bits(inputs, weights.network(layers, "fp8", "cpu", sample=inputs), layers)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.02 * np.abs(expected).max())  # a rounding may flip
    exact = forward_dense(inputs, layers, backend="reference")
    assert np.linalg.norm(found - exact) < 0.5 * np.linalg.norm(exact)
    with pytest.raises(ValueError, match="fp8 is for networks without shortcuts"):
        weights.network(network((8, 16, 16, 1), "layer", rng), "fp8", DEVICE, inputs)
    with pytest.raises(ValueError, match="unknown precision 'fp4'"):
        weights.network(layers, "fp4", DEVICE)
