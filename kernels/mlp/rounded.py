"""What the low precisions of a GPU give, on the CPU: the same roundings of weights and activations, sums in float32.

For bands that guard a first pass (`models.guard`) where no GPU is at hand; slower than float32.
"""

from collections.abc import Callable

import numpy as np
import torch

from matscreen.kernels.mlp.layers import Layers

BATCH = 4096


def _tf32(values: torch.Tensor) -> torch.Tensor:
    """The 13 last bits cut off: what a device does to factors was not measured here, and rounding would err less."""
    return (values.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)


def _bf16(values: torch.Tensor) -> torch.Tensor:
    return values.bfloat16().float()


ROUNDED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"tf32": _tf32, "bf16": _bf16}
"""How a float32 becomes a factor. fp8 is not here: chips sum it each in their own way."""


def forward(places: np.ndarray, fractions: np.ndarray, layers: Layers, precision: str) -> np.ndarray:
    """(N, outputs) float32; places and fractions as of the package. The gathered first layer is float32."""
    inputs = np.zeros((len(places), len(layers.weights[0])), np.float32)
    np.add.at(inputs, (np.arange(len(places))[:, None], places), fractions.astype(np.float32))
    return _forward(inputs, layers, precision, gathered=True)


def forward_dense(inputs: np.ndarray, layers: Layers, precision: str) -> np.ndarray:
    """(N, outputs) float32; inputs as of the package."""
    return _forward(inputs.astype(np.float32, copy=False), layers, precision, gathered=False)


def _forward(inputs: np.ndarray, layers: Layers, precision: str, gathered: bool) -> np.ndarray:
    rounded = ROUNDED[precision]
    weights = [torch.from_numpy(weight) for weight in layers.weights]
    factors = [weight if gathered and not number else rounded(weight) for number, weight in enumerate(weights)]
    biases = [torch.from_numpy(bias) for bias in layers.biases]
    jumps = [
        None if jump is None or jump.projection is None else rounded(torch.from_numpy(jump.projection))
        for jump in layers.shortcuts
    ]
    result = np.empty((len(inputs), len(biases[-1])), np.float32)
    for start in range(0, len(inputs), BATCH):
        given = torch.from_numpy(inputs[start : start + BATCH])
        found = [rounded(given)]
        for number, (factor, bias) in enumerate(zip(factors, biases, strict=True)):
            y = torch.addmm(bias, given if gathered and not number else found[-1], factor)
            if number + 1 < len(factors):
                y = torch.relu(y)
            if jump := layers.shortcuts[number]:
                source, projection = found[jump.source], jumps[number]
                added = source if projection is None else source @ projection
                # A gathered layer has left the device's registers before its shortcut is added.
                y = rounded(y) + rounded(added) if gathered and not number else y + added
            # A device keeps all bits of tf32 until they enter a product; cut off here they err a little more.
            found.append(y if number + 1 == len(factors) else rounded(y))
        result[start : start + BATCH] = found[-1].numpy()
    return result
