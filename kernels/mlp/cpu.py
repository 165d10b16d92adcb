"""Float32 on the CPU: a gathered first layer (Numba), then products and ReLU in two buffers used over and over.

Every product has the same `BATCH` rows, the last batch padded with what the buffer held: a matrix library may sum in
another order for another shape, and a composition's energy must not depend on its neighbours. Larger batches leave the
cache, smaller ones starve the product (measured by `bench/mlp_cpu.py`).
"""

import numba
import numpy as np
import torch

from matscreen.kernels.mlp.layers import Layers

BATCH = 512


def forward(places: np.ndarray, fractions: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package. Uses as many threads as PyTorch is set to."""
    places = places.astype(np.int32, copy=False)
    fractions = fractions.astype(np.float32, copy=False)
    weights = [torch.from_numpy(w) for w in layers.weights]
    last = len(weights) - 1
    buffers = [torch.zeros(BATCH * max(w.shape[1] for w in weights)) for _ in range(2)]
    outputs = [buffers[i % 2][: BATCH * w.shape[1]].view(BATCH, -1) for i, w in enumerate(weights)]
    views = [output.numpy() for output in outputs]
    result = np.empty(len(places), np.float32)
    for start in range(0, len(places), BATCH):
        part = slice(start, start + BATCH)
        _first_layer(places[part], fractions[part], layers.weights[0], layers.biases[0], views[0])
        for i in range(1, len(weights)):
            torch.mm(outputs[i - 1], weights[i], out=outputs[i])
            _add_bias(views[i], layers.biases[i], -np.inf if i == last else 0.0)
        result[part] = views[last][: len(result) - start, 0]
    return result


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _first_layer(places, fractions, weight, bias, out):
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
def _add_bias(activation, bias, least):
    """activation ← max(activation + bias, least), one pass instead of the library's two."""
    least = np.float32(least)
    for n in range(len(activation)):
        row = activation[n]
        for j in range(len(bias)):
            row[j] = max(row[j] + bias[j], least)
