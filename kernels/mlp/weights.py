"""Weights of a dense network as the Triton kernels want them: on the device, in few bits, padded, its end flat.

Precisions: fp32 (no tf32), tf32 and bf16 with float32 sums, and fp8 (e4m3, summed as the chip sums it) with weights
scaled per output and activations per layer, for networks without shortcuts; the narrow end of fp8 is bf16.
"""

from dataclasses import dataclass

import numpy as np
import torch
import triton

from matscreen.kernels.backend import BackendError
from matscreen.kernels.mlp.layers import Layers, Precision, Shortcut

LARGEST_FP8 = 448.0

KINDS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn}


@dataclass(frozen=True)
class Tile:
    """Of a product: rows, columns and depth of what a program holds, its warps, and loads in flight."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


TILES: dict[tuple[int, str, bool], Tile] = {
    (80, "bf16", False): Tile(128, 128, 64, 8, 3),
    (90, "bf16", False): Tile(128, 256, 64, 8, 3),
    (90, "fp8", False): Tile(128, 256, 128, 8, 3),
}
"""By compute capability, precision and whether a shortcut is added: the choices for a chip; none is timed yet."""

_SAFE = {"fp32": Tile(64, 64, 32, 4, 2), "tf32": Tile(64, 128, 32, 4, 3), "bf16": Tile(64, 128, 64, 4, 3)}


def tail_width(capability: int, precision: str) -> int:
    """Width from which on the layers are one kernel: a layer's weights pass through its registers."""
    return {"fp32": 32, "tf32": 64}.get(precision, 64 if capability == 80 else 128)


def tile_for(capability: int, precision: str, shortcut: bool) -> Tile:
    """The chip's choice, else one that every chip can run."""
    return TILES.get((capability, precision, shortcut), _SAFE.get(precision, _SAFE["bf16"]))


@dataclass(frozen=True)
class Dense:
    """A layer on the device; `source` and `projection` as in `Shortcut`, `scale` (out,) turns fp8 sums into values."""

    weight: torch.Tensor
    bias: torch.Tensor
    source: int | None
    projection: torch.Tensor | None
    scale: torch.Tensor | None
    output_scale: float


@dataclass(frozen=True)
class Network:
    """Weights on the device in the precision they are used in.

    Attributes
    ----------
    first : (inputs, width) float32, which the gathering layer reads
    dense : every layer, from number 1
    tail : number of the last layer before the one-kernel end, or of all layers but the last if there is none
    widths, shortcuts : of the end: its input, then every layer but the last; 0 none, 1 identity, 2 projection
    end_weights, end_biases : of the end, flat, one after the other
    input_scale : what dense inputs are divided by
    """

    precision: Precision
    first: torch.Tensor
    dense: tuple[Dense, ...]
    tail: int
    widths: tuple[int, ...]
    shortcuts: tuple[int, ...]
    end_weights: torch.Tensor
    end_biases: torch.Tensor
    outputs: int
    input_scale: float


def network(layers: Layers, precision: Precision, device: str, sample: np.ndarray | None = None) -> Network:
    """Weights put on the device. fp8 needs `sample` (N, inputs): inputs whose activations set each layer's scale.

    BackendError for a precision that there is not, or that the chip or the network cannot have.
    """
    if precision not in KINDS:
        raise BackendError(f"unknown precision {precision!r}: expected {', '.join(KINDS)}")
    if precision != "fp32" and 0 < capability_of(torch.device(device)) < 80:
        raise BackendError(f"{precision} needs a chip of compute capability 8.0 or later")
    kind, scales = KINDS[precision], [1.0] * (len(layers.weights) + 1)
    if precision == "fp8":
        if 0 < capability_of(torch.device(device)) < 90:
            raise BackendError("fp8 needs a chip of compute capability 9.0 or later")
        if any(layers.shortcuts) or sample is None:
            raise BackendError("fp8 is for networks without shortcuts, with a sample of inputs to scale by")
        activation = sample.astype(np.float32)
        scales[0] = max(float(np.abs(activation).max()), 1e-6) / LARGEST_FP8
        for number, (weight, bias) in enumerate(zip(layers.weights[:-1], layers.biases[:-1], strict=True), start=1):
            activation = np.maximum(activation @ weight + bias, 0)
            scales[number] = max(float(activation.max()), 1e-6) / LARGEST_FP8
    narrow = tail_width(capability_of(torch.device(device)), precision)
    layers = _padded(layers, narrow)
    tail = _tail(layers, narrow)
    dense = []
    for number, (weight, bias, shortcut) in enumerate(zip(*layers, strict=True), start=1):
        given, scale, out = torch.from_numpy(weight).to(device), None, 1.0
        if precision == "fp8":
            largest = given.abs().amax(dim=0).clamp_min(1e-12) / LARGEST_FP8
            given, scale = given / largest, largest * scales[number - 1]
            out = scales[number] if number < tail else 1.0  # the narrow end reads bf16
        dense.append(
            Dense(
                given.to(kind) if scale is None else given.T.contiguous().to(kind),
                torch.from_numpy(bias).to(device),
                shortcut.source if shortcut else None,
                None
                if shortcut is None or shortcut.projection is None
                else torch.from_numpy(shortcut.projection).to(device, kind),
                scale,
                out,
            )
        )
    end = [*zip(layers.weights[tail:], layers.shortcuts[tail:], strict=True)]
    flat = [
        part
        for weight, cut in end
        for part in (weight, *([cut.projection] if cut and cut.projection is not None else []))
    ]
    inner = kind if precision != "fp8" else torch.bfloat16
    return Network(
        precision,
        torch.from_numpy(layers.weights[0]).to(device),
        tuple(dense),
        tail,
        tuple(int(weight.shape[0]) for weight, _ in end),
        tuple(0 if cut is None else 1 if cut.projection is None else 2 for _, cut in end),
        torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *(part.ravel() for part in flat)])).to(device, inner),
        torch.from_numpy(np.concatenate([np.zeros(0, np.float32), *layers.biases[tail:]])).to(device),
        len(layers.biases[-1]),
        scales[0],
    )


def _padded(layers: Layers, widest: int) -> Layers:
    """The same network with units that are always 0: widths that the end takes become powers of 2, others multiples of
    16, so that rows begin where the matrix units can load them."""
    sizes = [layers.weights[0].shape[0], *(len(bias) for bias in layers.biases)]
    wide = [max(16, triton.next_power_of_2(n)) if n <= widest else triton.cdiv(n, 16) * 16 for n in sizes]
    wide[0], wide[-1] = triton.cdiv(sizes[0], 16) * 16, sizes[-1]
    for number, cut in enumerate(layers.shortcuts, start=1):
        if cut and cut.source == 0 and cut.projection is None:  # inputs that are added need the layer's width
            wide[0] = wide[number]

    def grown(weight: np.ndarray, rows: int, columns: int) -> np.ndarray:
        return np.pad(weight, ((0, rows - weight.shape[0]), (0, columns - weight.shape[1])))

    return Layers(
        tuple(grown(weight, wide[n], wide[n + 1]) for n, weight in enumerate(layers.weights)),
        tuple(np.pad(bias, (0, wide[n + 1] - len(bias))) for n, bias in enumerate(layers.biases)),
        tuple(
            cut
            if cut is None or cut.projection is None
            else Shortcut(cut.source, grown(cut.projection, wide[cut.source], wide[n + 1]))
            for n, cut in enumerate(layers.shortcuts)
        ),
    )


def _tail(layers: Layers, widest: int) -> int:
    """Layers before the one-kernel end: it takes widths that are powers of 2, and shortcuts from the layer before."""
    last = len(layers.weights)
    tail = last - 1
    while tail > 1:
        width, shortcut = layers.weights[tail - 1].shape[0], layers.shortcuts[tail - 1]
        if width > widest or width < 16 or width & (width - 1) or (shortcut and shortcut.source != tail - 1):
            break
        tail -= 1
    width = layers.weights[tail].shape[0]
    fits = 16 <= width <= widest and not width & (width - 1)
    later = [c.source for n, c in enumerate(layers.shortcuts[tail:], start=tail + 1) if c and c.source != n - 1]
    return tail if fits and not later else last


def capability_of(device: torch.device) -> int:
    """80 or 90, say; 0 in the interpreter."""
    return 10 * torch.cuda.get_device_capability(device)[0] if device.type == "cuda" else 0
