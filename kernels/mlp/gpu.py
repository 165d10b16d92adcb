"""Triton: layer by layer over batches that stay in the L2 cache, the narrow end in one kernel.

Compositions go in, or only the number of the first (`ranker`), for they can be unranked where they are used: by the
first layer, which gathers the few rows of its weights that each picks out. Wide layers are products on the matrix
units with bias, ReLU and shortcut in their epilogue; from `tail_width` on all layers to the end are one kernel whose
activations never leave the chip. On a CUDA device the launches of a batch are recorded once as a graph and played
again.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from matscreen.kernels.mlp.layers import Precision
from matscreen.kernels.mlp.weights import KINDS, Dense, Network, capability_of, tail_width, tile_for

BATCH = 8192
"""Rows of a batch: two activations of 1024 bf16 are 34 MB, which an L2 cache of 50 MB holds."""
END_ROWS = 64
"""Rows of a program of the narrow end."""
GATHER = (16, 256)
"""Rows and columns of the first layer that one program makes."""


def forward(places: torch.Tensor, fractions: torch.Tensor, net: Network) -> torch.Tensor:
    """(N, outputs) float32 of compositions: places (N, K) int32 and fractions (N, K) float32 on the device."""
    result = torch.empty((len(places), net.outputs), dtype=torch.float32, device=places.device)
    inputs = None
    for start in range(0, len(places), BATCH):
        p, f = places[start : start + BATCH].contiguous(), fractions[start : start + BATCH].contiguous()
        if any(layer.source == 0 for layer in net.dense):
            inputs = torch.zeros((len(p), len(net.first)), dtype=torch.float32, device=p.device)
            inputs = inputs.scatter_add_(1, p.long(), f).to(KINDS[net.precision])
        first = _first(net, len(p), p.device)
        grid = (triton.cdiv(len(p), GATHER[0]), triton.cdiv(first.shape[1], GATHER[1]))
        gather[grid](
            p, f, net.first, net.dense[0].bias, first, len(p), p.shape[1], first.shape[1],
            1 / net.dense[0].output_scale, net.precision == "fp8" and net.tail > 1, *GATHER,
        )  # fmt: skip
        _shortcut_of_first(net, inputs, first)
        _rest(net, [inputs, first], result[start : start + BATCH])
    return result


def forward_dense(inputs: torch.Tensor, net: Network) -> torch.Tensor:
    """(N, outputs) float32 of rows of inputs (N, inputs) on the device."""
    result = torch.empty((len(inputs), net.outputs), dtype=torch.float32, device=inputs.device)
    for start in range(0, len(inputs), BATCH):
        part = torch.nn.functional.pad(inputs[start : start + BATCH], (0, len(net.first) - inputs.shape[1]))
        part = (part / net.input_scale).to(KINDS[net.precision]).contiguous()
        _rest(net, [part], result[start : start + BATCH])
    return result


def ranker(places: torch.Tensor, ratios: torch.Tensor, net: Network) -> Callable[[int, int], torch.Tensor]:
    """What predicts compositions by their numbers in a block (see `kernels.enumeration`): recorded once, used often.

    places : (n,) int32, input of the network for each element that a composition may hold; ratios : (R, k) uint8

    The function takes the first number and the last + 1 and returns (N, outputs) float32. ValueError for a network with
    shortcuts from its inputs, which are never made here.
    """
    if any(layer.source == 0 for layer in net.dense):
        raise ValueError("a network with shortcuts from its inputs takes compositions by places, not by number")
    device = places.device
    binomials = torch.from_numpy(_binomials(len(places), ratios.shape[1])).to(device)
    bounds = torch.zeros(2, dtype=torch.int64, device=device)
    first = _first(net, BATCH, device)
    batch = torch.empty((BATCH, net.outputs), dtype=torch.float32, device=device)

    def one_batch() -> None:
        grid = (triton.cdiv(BATCH, GATHER[0]), triton.cdiv(first.shape[1], GATHER[1]))
        gather_ranks[grid](
            bounds, places, ratios, binomials, net.first, net.dense[0].bias, first, len(places), len(ratios),
            first.shape[1], 1 / net.dense[0].output_scale, net.precision == "fp8" and net.tail > 1, ratios.shape[1],
            *GATHER,
        )  # fmt: skip
        _rest(net, [None, first], batch)

    play = _recorded(one_batch) if device.type == "cuda" else one_batch

    def predict(start: int, stop: int) -> torch.Tensor:
        result = torch.empty((stop - start, net.outputs), dtype=torch.float32, device=device)
        bounds[1].fill_(stop)
        for at in range(start, stop, BATCH):
            bounds[0].fill_(at)
            play()
            result[at - start : at - start + BATCH] = batch[: stop - at]
        return result

    return predict


def _recorded(launches: Callable[[], None]) -> Callable[[], None]:
    """The launches as a CUDA graph: played again they cost one launch."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # compiles, and fills the allocator, before anything is recorded
        launches()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launches()

    def play(_kept: Callable[[], None] = launches) -> None:  # what they write to must live as long as the graph
        graph.replay()

    return play


@lru_cache
def _binomials(n: int, arity: int) -> np.ndarray:
    """(n + 1, arity + 1) int64: c over k."""
    return np.array([[math.comb(c, k) for k in range(arity + 1)] for c in range(n + 1)], np.int64)


def _first(net: Network, rows: int, device: torch.device) -> torch.Tensor:
    """Where the first layer's output goes."""
    narrow = net.precision == "fp8" and net.tail == 1
    return torch.empty(
        (rows, net.first.shape[1]), dtype=torch.bfloat16 if narrow else KINDS[net.precision], device=device
    )


def _shortcut_of_first(net: Network, inputs: torch.Tensor | None, first: torch.Tensor) -> None:
    layer = net.dense[0]
    if layer.source is not None and inputs is not None:
        first += inputs if layer.projection is None else inputs @ layer.projection


def _rest(net: Network, activations: list[torch.Tensor | None], result: torch.Tensor) -> None:
    """Layers after those whose activations are there, into `result`; what no layer needs again is freed."""
    for number in range(len(activations), len(net.dense) + 1):
        if number > net.tail:
            _end(net, activations[-1], result)
            return
        layer, given = net.dense[number - 1], activations[-1]
        assert given is not None
        last = number == len(net.dense)
        narrow = net.precision == "fp8" and number == net.tail
        kind = torch.float32 if last else torch.bfloat16 if narrow else KINDS[net.precision]
        out = result if last else torch.empty((len(given), len(layer.bias)), dtype=kind, device=given.device)
        product(given, layer, None if layer.source is None else activations[layer.source], out, net.precision, not last)
        activations.append(out)
        for old in range(len(activations) - 1):
            if not any(other.source == old for other in net.dense[number:]):
                activations[old] = None


def product(
    given: torch.Tensor, layer: Dense, source: torch.Tensor | None, out: torch.Tensor, precision: Precision, relu: bool
) -> None:
    """out = ReLU(given · weight + bias) + shortcut."""
    tile = tile_for(capability_of(given.device), precision, source is not None)
    rows, columns = out.shape
    tile_columns = min(tile.columns, max(16, triton.next_power_of_2(columns)))
    programs = triton.cdiv(rows, tile.rows) * triton.cdiv(columns, tile_columns)
    nothing = layer.bias
    dense[(programs,)](
        given, layer.weight, layer.bias, nothing if layer.scale is None else layer.scale,
        nothing if source is None else source, nothing if layer.projection is None else layer.projection, out,
        rows, columns, given.shape[1], 0 if source is None else source.shape[1], 1 / layer.output_scale,
        relu, layer.scale is not None, source is not None and layer.projection is None, layer.projection is not None,
        "tf32" if precision == "tf32" else "ieee", tile.rows, tile_columns, tile.depth,
        num_warps=tile.warps, num_stages=tile.stages,
    )  # fmt: skip


def _end(net: Network, given: torch.Tensor | None, result: torch.Tensor) -> None:
    assert given is not None
    end[(triton.cdiv(len(given), END_ROWS),)](
        given, net.end_weights, net.end_biases, result, len(given), net.widths, net.shortcuts, net.outputs,
        "tf32" if net.precision == "tf32" else "ieee", END_ROWS, num_warps=4,
    )  # fmt: skip


@triton.jit
def store_activation(out, values, there, scale, FP8: tl.constexpr):
    """Values in the type of `out`; fp8 has no infinity to fall back to, so what is too large becomes its largest."""
    if FP8 and out.dtype.element_ty == tl.float8e4nv:
        values = tl.minimum(values * scale, 448.0)
    tl.store(out, values.to(out.dtype.element_ty), mask=there)


@triton.jit
def gather(
    places, fractions, weight, bias, out, rows, elements, width, scale,
    FP8: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """First layer: bias and the rows of the weights that each composition's elements pick out, then ReLU."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    values = tl.zeros((ROWS, COLUMNS), tl.float32) + tl.load(bias + n, mask=n < width, other=0)[None]
    for k in range(elements):
        place = tl.load(places + m * elements + k, mask=m < rows, other=0)
        fraction = tl.load(fractions + m * elements + k, mask=m < rows, other=0)
        picked = tl.load(weight + place[:, None] * width + n[None], mask=(n < width)[None], other=0)
        values += fraction[:, None] * picked
    there = (m < rows)[:, None] & (n < width)[None]
    store_activation(out + m[:, None] * width + n[None], tl.maximum(values, 0), there, scale, FP8)


@triton.jit
def gather_ranks(
    bounds, places, ratios, binomials, weight, bias, out, elements, count, width, scale,
    FP8: tl.constexpr, ARITY: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """`gather` for compositions from number `bounds[0]` to `bounds[1]`, in the order of `kernels.enumeration`."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    rank = tl.load(bounds) + m
    there = rank < tl.load(bounds + 1)
    rank = tl.where(there, rank, 0)
    ratio = ratios + (rank % count) * ARITY
    atoms = (rank * 0).to(tl.int32)
    for k in tl.static_range(ARITY):
        atoms += tl.load(ratio + k).to(tl.int32)
    system = rank // count
    values = tl.zeros((ROWS, COLUMNS), tl.float32) + tl.load(bias + n, mask=n < width, other=0)[None]
    for down in tl.static_range(ARITY):
        k = ARITY - down  # the k-th element: the last with (place over k) at most what is left
        place = (rank * 0).to(tl.int32)
        for power in tl.static_range(7):
            further = place + (64 >> power)
            possible = further < elements
            size = tl.load(binomials + further * (ARITY + 1) + k, mask=possible, other=0)
            place = tl.where(possible & (size <= system), further, place)
        system -= tl.load(binomials + place * (ARITY + 1) + k)
        fraction = tl.load(ratio + k - 1).to(tl.float32) / atoms.to(tl.float32)
        row = tl.load(places + place)
        picked = tl.load(weight + row[:, None] * width + n[None], mask=(n < width)[None], other=0)
        values += fraction[:, None] * picked
    inside = there[:, None] & (n < width)[None]
    store_activation(out + m[:, None] * width + n[None], tl.maximum(values, 0), inside, scale, FP8)


@triton.jit
def multiply(
    a, b, rows, columns, depth, m, n, PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr, TURNED: tl.constexpr,
):  # fmt: skip
    """A tile of a · b, summed in float32; `b` lies turned (columns, depth) for fp8, as its matrix units want it."""
    k = tl.arange(0, DEPTH)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    left = a + m[:, None] * depth + k[None]
    right = b + (k[:, None] + n[None] * depth if TURNED else k[:, None] * columns + n[None])
    for start in range(0, depth, DEPTH):
        inside = k < depth - start
        x = tl.load(left, mask=(m < rows)[:, None] & inside[None], other=0.0)
        y = tl.load(right, mask=inside[:, None] & (n < columns)[None], other=0.0)
        total = tl.dot(x, y, total, input_precision=PRECISION)
        left += DEPTH
        right += DEPTH if TURNED else DEPTH * columns
    return total


@triton.jit
def dense(
    given, weight, bias, scales, source, projection, out, rows, columns, depth, source_depth, output_scale,
    RELU: tl.constexpr, SCALED: tl.constexpr, IDENTITY: tl.constexpr, PROJECTION: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """A layer: product, bias, ReLU and shortcut. Programs that share rows of `given` run beside each other."""
    across = tl.cdiv(columns, COLUMNS)
    m = (tl.program_id(0) // across) * ROWS + tl.arange(0, ROWS)
    n = (tl.program_id(0) % across) * COLUMNS + tl.arange(0, COLUMNS)
    values = multiply(given, weight, rows, columns, depth, m, n, PRECISION, ROWS, COLUMNS, DEPTH, SCALED)
    if SCALED:
        values *= tl.load(scales + n, mask=n < columns, other=0)[None]
    values += tl.load(bias + n, mask=n < columns, other=0)[None]
    if RELU:
        values = tl.maximum(values, 0)
    there = (m < rows)[:, None] & (n < columns)[None]
    if IDENTITY:
        values += tl.load(source + m[:, None] * columns + n[None], mask=there, other=0).to(tl.float32)
    if PROJECTION:
        values += multiply(
            source, projection, rows, columns, source_depth, m, n, PRECISION, ROWS, COLUMNS, DEPTH, SCALED
        )
    store_activation(out + m[:, None] * columns + n[None], values, there, output_scale, SCALED and RELU)


@triton.jit
def end_layer(
    x, weights, biases, DEPTH: tl.constexpr, COLUMNS: tl.constexpr, SHORTCUT: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """A layer on a tile of rows; a projection lies after the weights."""
    tile = tl.arange(0, DEPTH)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None]
    values = tl.dot(x, tl.load(weights + tile), input_precision=PRECISION)
    values = tl.maximum(values + tl.load(biases + tl.arange(0, COLUMNS))[None], 0)
    if SHORTCUT == 1:
        values += x.to(tl.float32)
    if SHORTCUT == 2:
        values += tl.dot(x, tl.load(weights + DEPTH * COLUMNS + tile), input_precision=PRECISION)
    return values.to(x.dtype)


@triton.jit
def end(
    given, weights, biases, out, rows, WIDTHS: tl.constexpr, SHORTCUTS: tl.constexpr, OUTPUTS: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """All layers from WIDTHS[0] inputs on, a tile of rows from the first to the outputs without leaving the chip."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first: tl.constexpr = WIDTHS[0]
    x = tl.load(given + m[:, None] * first + tl.arange(0, first)[None], mask=(m < rows)[:, None], other=0)
    for layer in tl.static_range(len(WIDTHS) - 1):
        x = end_layer(x, weights, biases, WIDTHS[layer], WIDTHS[layer + 1], SHORTCUTS[layer], PRECISION)
        weights += WIDTHS[layer] * WIDTHS[layer + 1] * (2 if SHORTCUTS[layer] == 2 else 1)
        biases += WIDTHS[layer + 1]
    last: tl.constexpr = WIDTHS[len(WIDTHS) - 1]
    for output in tl.static_range(OUTPUTS):
        column = tl.load(weights + tl.arange(0, last) * OUTPUTS + output).to(tl.float32)
        energy = tl.sum(x.to(tl.float32) * column[None], axis=1) + tl.load(biases + output)
        tl.store(out + m * OUTPUTS + output, energy, mask=m < rows)


def configurations(capability: int) -> list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """What ships, to compile ahead of time: kernel, types of its arguments, constants, options."""
    found: list[tuple[Any, dict[str, str], dict[str, Any], dict[str, int]]] = []
    names = {"fp32": "fp32", "tf32": "fp32", "bf16": "bf16", "fp8": "fp8e4nv"}
    for precision, kind in names.items():
        if precision == "fp8" and capability < 90:
            continue
        scaled = precision == "fp8"
        size = dict.fromkeys(("rows", "elements", "width"), "i32") | {"scale": "fp32"}
        types = {"places": "*i32", "fractions": "*fp32", "weight": "*fp32", "bias": "*fp32", "out": f"*{kind}"}
        tile: dict[str, Any] = {"ROWS": GATHER[0], "COLUMNS": GATHER[1]}
        found.append((gather, types | size, {"FP8": scaled, **tile}, {}))
        types = {"bounds": "*i64", "places": "*i32", "ratios": "*u8", "binomials": "*i64", **types}
        size = dict.fromkeys(("elements", "count", "width"), "i32") | {"scale": "fp32"}
        del types["fractions"]
        found += [(gather_ranks, types | size, {"FP8": scaled, "ARITY": k, **tile}, {}) for k in (2, 3, 4)]
        for identity, projection in ((False, False), (True, False), (False, True))[: 1 if scaled else 3]:
            chosen = tile_for(capability, precision, identity or projection)
            types = dict.fromkeys(("given", "weight", "source", "projection", "out"), f"*{kind}")
            types |= {"bias": "*fp32", "scales": "*fp32", "output_scale": "fp32"}
            types |= dict.fromkeys(("rows", "columns", "depth", "source_depth"), "i32")
            constants: dict[str, Any] = {"RELU": True, "SCALED": scaled, "IDENTITY": identity, "PROJECTION": projection}
            constants |= {"PRECISION": "tf32" if precision == "tf32" else "ieee"}
            constants |= {"ROWS": chosen.rows, "COLUMNS": chosen.columns, "DEPTH": chosen.depth}
            found.append((dense, types, constants, {"num_warps": chosen.warps, "num_stages": chosen.stages}))
        if scaled:
            continue
        widths = tuple(w for w in (256, 256, 256, 128, 128, 128, 64, 64, 32) if w <= tail_width(capability, precision))
        for cut in (0, 1):  # ElemNet's end, and IRNet's: identities, and projections where the width changes
            cuts = tuple(cut and (1 if a == b else 2) for a, b in pairwise(widths))
            types = {"given": f"*{kind}", "weights": f"*{kind}", "biases": "*fp32", "out": "*fp32", "rows": "i32"}
            constants = {"WIDTHS": widths, "SHORTCUTS": (*cuts, 0), "OUTPUTS": 1}
            constants |= {
                "PRECISION": "tf32" if precision == "tf32" else "ieee",
                "ROWS": END_ROWS,
            }
            found.append((end, types, constants, {"num_warps": 4}))
    return found
