"""The definition: dense products in float64."""

import numpy as np

from matscreen.kernels.mlp.layers import Layers


def forward(places: np.ndarray, fractions: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package; (N, outputs) float64."""
    inputs = np.zeros((len(places), layers.weights[0].shape[0]))
    np.add.at(inputs, (np.arange(len(places))[:, None], places), fractions)
    return forward_dense(inputs, layers)


def forward_dense(inputs: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package; (N, outputs) float64."""
    return activations(inputs, layers)[-1]


def activations(inputs: np.ndarray, layers: Layers) -> list[np.ndarray]:
    """The inputs and what every layer makes of them, (N, width) float64 each."""
    found = [inputs.astype(np.float64)]
    for weight, bias, shortcut in zip(*layers, strict=True):
        activation = found[-1] @ weight.astype(np.float64) + bias
        if len(found) < len(layers.weights):
            activation = np.maximum(activation, 0)
        if shortcut:
            source = found[shortcut.source]
            activation += source if shortcut.projection is None else source @ shortcut.projection.astype(np.float64)
        found.append(activation)
    return found
