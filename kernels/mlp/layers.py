"""Weights of a dense network as the kernels want them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Layers(NamedTuple):
    """weights[l] is (in, out) float32, contiguous; biases[l] is (out,) float32."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]


def pack(layers: Iterable[tuple[np.ndarray, np.ndarray]]) -> Layers:
    """`Layers` from (weight (out, in), bias (out,)) pairs, the usual order of the axes.

    ValueError if the widths do not chain, the last layer has more than one output, or a weight is not finite.
    """
    pairs = [(np.asarray(w, np.float32), np.asarray(b, np.float32)) for w, b in layers]
    for number, (weight, bias) in enumerate(pairs, start=1):
        if weight.ndim != 2 or bias.shape != (weight.shape[0],):
            raise ValueError(f"layer {number}: weight {weight.shape} and bias {bias.shape} do not fit")
        if number > 1 and weight.shape[1] != pairs[number - 2][0].shape[0]:
            raise ValueError(f"layer {number} takes {weight.shape[1]} inputs, layer {number - 1} gives another number")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"layer {number} has a weight that is not finite")
    if len(pairs) < 2 or pairs[-1][0].shape[0] != 1:
        raise ValueError("a network has at least two layers, and the last has one output")
    return Layers(tuple(np.ascontiguousarray(w.T) for w, _ in pairs), tuple(b for _, b in pairs))
