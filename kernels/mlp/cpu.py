"""Float32 on the CPU: a gathered first layer (Numba), then products and ReLU in a few buffers used over and over.

Every product has the same `BATCH` rows, the last batch padded with what the buffer held: a matrix library may sum in
another order for another shape, and a composition's energy must not depend on its neighbours. Larger batches leave the
cache, smaller ones starve the product (measured by `bench/mlp_cpu.py`).
"""

import numba
import numpy as np
import torch

from matscreen.kernels.embedding.cpu import add_up
from matscreen.kernels.embedding.tables import Tables
from matscreen.kernels.mlp.layers import Layers

BATCH = 512


def forward(places: np.ndarray, fractions: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package. Uses as many threads as PyTorch is set to."""
    places = places.astype(np.int32, copy=False)
    fractions = fractions.astype(np.float32, copy=False)
    activations = _activations(layers)
    inputs, first = activations[0].numpy(), activations[1].numpy()
    from_inputs = any(shortcut and shortcut.source == 0 for shortcut in layers.shortcuts)
    result = np.empty((len(places), len(layers.biases[-1])), np.float32)
    for start in range(0, len(places), BATCH):
        part = slice(start, start + BATCH)
        if from_inputs:
            _scatter(places[part], fractions[part], inputs)
        _gather(places[part], fractions[part], layers.weights[0], layers.biases[0], first)
        _shortcut(1, layers, activations)
        _rest(2, layers, activations)
        result[part] = activations[-1].numpy()[: len(result) - start]
    return result


def forward_dense(inputs: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package. Uses as many threads as PyTorch is set to."""
    activations = _activations(layers)
    result = np.empty((len(inputs), len(layers.biases[-1])), np.float32)
    for start in range(0, len(inputs), BATCH):
        rows = inputs[start : start + BATCH]
        activations[0].numpy()[: len(rows)] = rows
        _rest(1, layers, activations)
        result[start : start + BATCH] = activations[-1].numpy()[: len(rows)]
    return result


def forward_embedded(
    places: np.ndarray, fractions: np.ndarray, beside: np.ndarray, tables: Tables, layers: Layers
) -> np.ndarray:
    """See the package; tables and layers as in `Embedded.absorbed`. Uses as many threads as PyTorch is set to."""
    places = places.astype(np.int32, copy=False)
    fractions = fractions.astype(np.float32, copy=False)
    beside = beside.astype(np.float32, copy=False)
    activations = _activations(layers)
    inputs, first = activations[0].numpy(), activations[1].numpy()
    result = np.empty((len(places), len(layers.biases[-1])), np.float32)
    for start in range(0, len(places), BATCH):
        part = slice(start, start + BATCH)
        _embed(places[part], fractions[part], beside[part], tables, layers.biases[0], inputs, first)
        activations[1].addmm_(activations[0], torch.from_numpy(layers.weights[0])).relu_()
        _shortcut(1, layers, activations)
        _rest(2, layers, activations)
        result[part] = activations[-1].numpy()[: len(result) - start]
    return result


def _rest(first: int, layers: Layers, activations: list[torch.Tensor]) -> None:
    """Layers from number `first` on."""
    last = len(layers.weights)
    for number in range(first, last + 1):
        torch.mm(activations[number - 1], torch.from_numpy(layers.weights[number - 1]), out=activations[number])
        _add_bias(activations[number].numpy(), layers.biases[number - 1], -np.inf if number == last else 0.0)
        _shortcut(number, layers, activations)


def _shortcut(number: int, layers: Layers, activations: list[torch.Tensor]) -> None:
    shortcut = layers.shortcuts[number - 1]
    if shortcut is None:
        return
    source = activations[shortcut.source]
    if shortcut.projection is None:
        activations[number].add_(source)
    else:
        activations[number].addmm_(source, torch.from_numpy(shortcut.projection))


def _activations(layers: Layers) -> list[torch.Tensor]:
    """(BATCH, width) views for the input and every layer's output, in as few buffers as their lives allow."""
    widths = [layers.weights[0].shape[0], *(w.shape[1] for w in layers.weights)]
    last_use = [number + 1 for number in range(len(widths))]
    for number, shortcut in enumerate(layers.shortcuts, start=1):
        if shortcut:
            last_use[shortcut.source] = max(last_use[shortcut.source], number)
    buffers: list[torch.Tensor] = []
    free_from: list[int] = []  # of each buffer: the first layer that may write it
    views = []
    for number, width in enumerate(widths):
        place = next((i for i, free in enumerate(free_from) if free <= number), len(buffers))
        if place == len(buffers):
            buffers.append(torch.zeros(BATCH * max(widths)))
            free_from.append(0)
        free_from[place] = last_use[number] + 1
        views.append(buffers[place][: BATCH * width].view(BATCH, -1))
    return views


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
def _embed(places, fractions, beside, tables, bias, inputs, first):
    """What the first layer multiplies, and what is added to its products."""
    pairs, width = tables.left.shape[1], tables.left.shape[1] + tables.linear.shape[1]
    factor = np.empty(pairs, np.float32)
    for n in range(len(places)):
        row = inputs[n]
        first[n] = bias
        add_up(places[n], fractions[n], tables, factor, row[:pairs], row[pairs:width], first[n], first[n], first[n])
        row[width:] = beside[n]


@numba.njit(cache=True, nogil=True)
def _scatter(places, fractions, out):
    """The same rows with their zeros."""
    for n in range(len(places)):
        out[n] = 0
        for k in range(places.shape[1]):
            out[n, places[n, k]] += fractions[n, k]


@numba.njit(cache=True, nogil=True)
def _add_bias(activation, bias, least):
    """activation ← max(activation + bias, least), one pass instead of the library's two."""
    least = np.float32(least)
    for n in range(len(activation)):
        row = activation[n]
        for j in range(len(bias)):
            row[j] = max(row[j] + bias[j], least)
