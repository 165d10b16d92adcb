"""Float32 on the CPU: a gathered first layer (Numba), then products with their bias, and ReLU.

Every product has the same `BATCH` rows, the last batch padded with what the buffer held: a matrix library may sum in
another order for another shape, and a composition's energy must not depend on its neighbours. Larger batches leave the
cache and pad more, smaller ones starve the product.
"""

from collections.abc import Callable

import numba
import numpy as np
import torch

from matscreen.kernels.embedding.cpu import add_up
from matscreen.kernels.embedding.tables import Sums
from matscreen.kernels.mlp.layers import Layers
from matscreen.kernels.products import added_product, product

BATCH = 512


def forward(places: np.ndarray, fractions: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package. Uses as many threads as PyTorch is set to."""
    places = places.astype(np.int32, copy=False)
    fractions = fractions.astype(np.float32, copy=False)
    inputs, first = _buffer(len(layers.weights[0])), _buffer(len(layers.biases[0]))
    from_inputs = any(shortcut and shortcut.source == 0 for shortcut in layers.shortcuts)

    def batch(part: slice) -> torch.Tensor:
        if from_inputs:
            _scatter(places[part], fractions[part], inputs.numpy())
        _gather(places[part], fractions[part], layers.weights[0], layers.biases[0], first.numpy())
        return _after({0: inputs}, first, layers)

    return _in_batches(len(places), layers, batch)


def forward_dense(inputs: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package. Uses as many threads as PyTorch is set to."""
    given = _buffer(len(layers.weights[0]))

    def batch(part: slice) -> torch.Tensor:
        given.numpy()[: len(inputs[part])] = inputs[part]
        return _after({0: given}, None, layers)

    return _in_batches(len(inputs), layers, batch)


def forward_embedded(
    places: np.ndarray, fractions: np.ndarray, beside: np.ndarray, rows: Sums, layers: Layers
) -> np.ndarray:
    """See the package; rows and layers as in `Embedded.absorbed`. Uses as many threads as PyTorch is set to."""
    places = places.astype(np.int32, copy=False)
    fractions = fractions.astype(np.float32, copy=False)
    beside = beside.astype(np.float32, copy=False)
    inputs, first = _buffer(len(layers.weights[0])), _buffer(len(layers.biases[0]))
    weight, own = torch.from_numpy(layers.weights[0]), len(layers.weights[0]) - beside.shape[1]

    def batch(part: slice) -> torch.Tensor:
        given = inputs.numpy()
        add_up(places[part], fractions[part], rows, given, first.numpy())
        given[: len(places[part]), own:] = beside[part]
        return _after({}, added_product(first, inputs, weight).relu_(), layers)

    return _in_batches(len(places), layers, batch)


def _buffer(width: int) -> torch.Tensor:
    return torch.zeros(BATCH, width)


def _in_batches(count: int, layers: Layers, outputs: Callable[[slice], torch.Tensor]) -> np.ndarray:
    """(count, outputs) of rows that are given a batch at a time."""
    result = np.empty((count, len(layers.biases[-1])), np.float32)
    for start in range(0, count, BATCH):
        result[start : start + BATCH] = outputs(slice(start, start + BATCH)).numpy()[: count - start]
    return result


def _after(kept: dict[int, torch.Tensor], first: torch.Tensor | None, layers: Layers) -> torch.Tensor:
    """Output of the last layer from activations by their number; `first` is that of layer 1 before its shortcut.

    An activation that no layer reads again is let go, so that a later one can take its place in the cache.
    """
    last = len(layers.weights)
    for number in range(1, last + 1):
        if number > 1 or first is None:
            weight, bias = (torch.from_numpy(of[number - 1]) for of in (layers.weights, layers.biases))
            made = product(kept[number - 1], weight, bias, relu=number < last)
        else:
            made = first
        if shortcut := layers.shortcuts[number - 1]:
            source = kept[shortcut.source]
            if shortcut.projection is None:
                made = made.add_(source)
            else:
                made = added_product(made, source, torch.from_numpy(shortcut.projection))
        read_again = {other.source for other in layers.shortcuts[number:] if other}
        kept = {n: activation for n, activation in kept.items() if n in read_again} | {number: made}
    return made


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _gather(places, fractions, weight, bias, out):
    """The first layer: a row of nearly all zeros times a matrix is the few rows of the matrix that it picks out."""
    for n in range(len(places)):
        row = out[n]
        for j in range(len(bias)):
            row[j] = bias[j]
        for k in range(places.shape[1]):
            fraction = fractions[n, k]
            if fraction != 0:
                picked = weight[places[n, k]]
                for j in range(len(bias)):
                    row[j] += fraction * picked[j]
        for j in range(len(bias)):
            row[j] = max(row[j], np.float32(0))


@numba.njit(cache=True, nogil=True)
def _scatter(places, fractions, out):
    """The same rows with their zeros."""
    for n in range(len(places)):
        out[n] = 0
        for k in range(places.shape[1]):
            out[n, places[n, k]] += fractions[n, k]
