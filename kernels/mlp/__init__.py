"""Forward pass of a dense ReLU network, with or without shortcuts (ElemNet, plain, SRNet and IRNet of Jha 2020).

A composition has at most a few elements, so the first layer is not a product with a mostly empty row but the sum of the
few rows of the weight matrix that its elements pick out. After an embedding (`kernels.embedding`) three of its terms
enter the first layer in the same way.
"""

from typing import Literal

import numpy as np

from matscreen.kernels.backend import Backend, device_of, on_gpu, resolve
from matscreen.kernels.embedding import embed
from matscreen.kernels.mlp import cpu, reference, rounded
from matscreen.kernels.mlp.embedded import Embedded, absorb
from matscreen.kernels.mlp.layers import Layers, Precision, Shortcut, pack
from matscreen.kernels.places import check_places

__all__ = [
    "Embedded",
    "Layers",
    "Precision",
    "Shortcut",
    "absorb",
    "activations",
    "forward",
    "forward_dense",
    "forward_embedded",
    "pack",
]


def forward(
    places: np.ndarray, fractions: np.ndarray, layers: Layers, backend: Backend = "auto", precision: Precision = "fp32"
) -> np.ndarray:
    """Output of a network of element fractions for each composition.

    Parameters
    ----------
    places : (N, K) integer: which input each element of the composition is, 0 … inputs − 1; any of
        them where the fraction is 0
    fractions : (N, K) float: fraction of atoms of each, 0 in empty places
    layers : from `pack`
    precision : that the GPU multiplies in; the CPU rounds in the same places, for comparison. The reference knows none.
        Not fp8, which needs the range of the activations: see `weights.network`

    Returns
    -------
    (N, outputs) float32 (float64 from the reference). On the CPU a composition's result does not
    depend on the others given.

    Raises
    ------
    ValueError
        Shapes that do not fit, a place that is no input of the network, or a precision that cannot be had.
    """
    check_places(places, fractions, layers.weights[0].shape[0])
    chosen = _resolve(backend, precision)
    if chosen == "gpu":
        from matscreen.kernels.mlp import gpu, weights

        (p, f), back = on_gpu(places.astype(np.int32), fractions.astype(np.float32))
        with device_of(p):
            return back(gpu.forward(p, f, weights.network(layers, precision, str(p.device))))  # type: ignore[no-any-return]
    if chosen == "reference":
        return reference.forward(places, fractions, layers)
    if precision != "fp32":
        return rounded.forward(places, fractions, layers, precision)
    return cpu.forward(places, fractions, layers)


def _resolve(backend: Backend, precision: Precision) -> Literal["reference", "cpu", "gpu"]:
    """As `resolve`; ValueError for a precision that is not had here."""
    if precision not in ("fp32", *rounded.ROUNDED):
        named = " or ".join(["fp32", *rounded.ROUNDED])
        raise ValueError(f"precision must be {named} here, not {precision!r} (fp8 takes a model on a GPU)")
    return resolve(backend, "mlp", gpu=True)


def activations(inputs: np.ndarray, layers: Layers) -> list[np.ndarray]:
    """What a network makes of its inputs, (N, inputs) float, layer by layer: (N, width) float64 each, the inputs first.

    For looking into a network (Jha 2020, 3.3.8), at the reference's speed.
    """
    return reference.activations(inputs, layers)


def forward_dense(
    inputs: np.ndarray, layers: Layers, backend: Backend = "auto", precision: Precision = "fp32"
) -> np.ndarray:
    """Output of a network of any other inputs, such as the 145 attributes, for each row.

    Parameters
    ----------
    inputs : (N, inputs of the network) float, finite
    layers : from `pack`
    precision : as in `forward`

    Returns
    -------
    (N, outputs) float32 (float64 from the reference). On the CPU a row's result does not depend on the others given.
    """
    if inputs.ndim != 2 or inputs.shape[1] != layers.weights[0].shape[0]:
        raise ValueError(f"inputs must be (N, {layers.weights[0].shape[0]}), not {inputs.shape}")
    chosen = _resolve(backend, precision)
    if chosen == "gpu":
        from matscreen.kernels.mlp import gpu, weights

        (given,), back = on_gpu(inputs.astype(np.float32))
        with device_of(given):
            return back(  # type: ignore[no-any-return]
                gpu.forward_dense(given, weights.network(layers, precision, str(given.device)))
            )
    if chosen == "reference":
        return reference.forward_dense(inputs, layers)
    if precision != "fp32":
        return rounded.forward_dense(inputs, layers, precision)
    return cpu.forward_dense(inputs, layers)


def forward_embedded(
    places: np.ndarray,
    fractions: np.ndarray,
    beside: np.ndarray,
    network: Embedded,
    backend: Backend = "auto",
    precision: Precision = "fp32",
) -> np.ndarray:
    """Output of a network that goes on from an embedding of each composition and other numbers beside it.

    Parameters
    ----------
    places, fractions : (N, K) integer and float, as `kernels.embedding.embed` takes them
    beside : (N, A) float, finite: the inputs after the embedding, such as the 145 attributes
    network : from `absorb`
    precision : as in `forward`

    Returns
    -------
    (N, outputs) float32 (float64 from the reference). On the CPU a composition's result does not depend on the others
    given.

    Raises
    ------
    ValueError
        As `forward`, and for too few or too many numbers beside.
    """
    tables, layers, absorbed = network
    chosen = _resolve(backend, precision)
    wanted = (len(places), len(layers.weights[0]) - tables.width)
    if beside.shape != wanted:
        raise ValueError(f"beside must be {wanted}, not {beside.shape}")
    if chosen != "cpu" or precision != "fp32" or absorbed is None:
        embedded = embed(places, fractions, tables, chosen)
        return forward_dense(np.concatenate([embedded, beside], axis=1), layers, chosen, precision)
    check_places(places, fractions, len(tables.linear))
    return cpu.forward_embedded(places, fractions, beside, *absorbed)
