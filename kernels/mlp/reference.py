"""The definition: dense products in float64."""

import numpy as np

from matscreen.kernels.mlp.layers import Layers


def forward(places: np.ndarray, fractions: np.ndarray, layers: Layers) -> np.ndarray:
    """See the package; (N,) float64."""
    activation = np.zeros((len(places), layers.weights[0].shape[0]))
    np.add.at(activation, (np.arange(len(places))[:, None], places), fractions)
    for layer, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        if layer:
            activation = np.maximum(activation, 0)
        activation = activation @ weight.astype(np.float64) + bias
    return activation[:, 0]
