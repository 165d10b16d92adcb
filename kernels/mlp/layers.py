"""Weights of a dense network as the kernels want them."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

Precision = Literal["fp32", "tf32", "bf16", "fp8"]
"""What a GPU multiplies in; sums are float32, those of fp8 as the chip sums them."""


class Shortcut(NamedTuple):
    """What is added to a layer's output after its ReLU.

    Attributes
    ----------
    source : an activation: 0 is the network's input, l the output of layer l
    projection : (in, out) float32, contiguous: a linear map of it; None where the widths are equal
    """

    source: int
    projection: np.ndarray | None


class Layers(NamedTuple):
    """A dense network: activation l = ReLU(activation l−1 · weights[l−1] + biases[l−1]) + shortcut.

    The last layer has neither ReLU nor shortcut.

    Attributes
    ----------
    weights : of each layer (in, out) float32, contiguous
    biases : of each layer (out,) float32, contiguous
    shortcuts : of each layer, or None
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    shortcuts: tuple[Shortcut | None, ...]


def pack(
    layers: Iterable[tuple[np.ndarray, np.ndarray]],
    shortcuts: Sequence[tuple[int, np.ndarray | None] | None] = (),
) -> Layers:
    """`Layers` from (weight (out, in), bias (out,)) pairs, the usual order of the axes.

    `shortcuts` (none by default) has for each layer None or (source, projection (out, in) or None).

    ValueError if the widths do not chain or a weight is not finite.
    """
    pairs = [(np.asarray(w, np.float32), np.ascontiguousarray(b, np.float32)) for w, b in layers]
    for number, (weight, bias) in enumerate(pairs, start=1):
        if weight.ndim != 2 or bias.shape != (weight.shape[0],):
            raise ValueError(f"layer {number}: weight {weight.shape} and bias {bias.shape} do not fit")
        if number > 1 and weight.shape[1] != pairs[number - 2][0].shape[0]:
            raise ValueError(f"layer {number} takes {weight.shape[1]} inputs, layer {number - 1} gives another number")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"layer {number} has a weight that is not finite")
    if len(pairs) < 2:
        raise ValueError("a network has at least two layers")
    if len(shortcuts) not in (0, len(pairs)):
        raise ValueError(f"{len(shortcuts)} shortcuts do not fit {len(pairs)} layers")
    widths = [pairs[0][0].shape[1], *(len(bias) for _, bias in pairs)]
    packed = [
        _shortcut(given, number, widths) for number, given in enumerate(shortcuts or [None] * len(pairs), start=1)
    ]
    if packed[-1] is not None:
        raise ValueError("the last layer takes no shortcut")
    return Layers(
        tuple(np.ascontiguousarray(weight.T) for weight, _ in pairs), tuple(bias for _, bias in pairs), tuple(packed)
    )


def _shortcut(given: tuple[int, np.ndarray | None] | None, layer: int, widths: list[int]) -> Shortcut | None:
    if given is None:
        return None
    source, projection = given
    if not 0 <= source < layer:
        raise ValueError(f"layer {layer} cannot take a shortcut from activation {source}")
    if projection is None:
        if widths[source] != widths[layer]:
            raise ValueError(f"layer {layer}: a shortcut from width {widths[source]} needs a projection")
        return Shortcut(source, None)
    projection = np.asarray(projection, np.float32)
    if projection.shape != (widths[layer], widths[source]) or not np.isfinite(projection).all():
        raise ValueError(f"layer {layer}: projection {projection.shape} does not fit or is not finite")
    return Shortcut(source, np.ascontiguousarray(projection.T))
