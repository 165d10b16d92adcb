"""The networks from one table: ElemNet (Jha 2020, 3.1), plain, SRNet and IRNet (4.1), and a pair network of our own."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from matscreen.kernels.features import WARD_FEATURE_NAMES
from matscreen.kernels.products import learning_product
from matscreen.models.encoding import Kind

Shortcut = Literal["none", "stack", "layer", "same width"]


@dataclass(frozen=True)
class Architecture:
    """Stacks of dense layers with ReLU, then a linear layer to the outputs.

    Attributes
    ----------
    stacks : (width, layers) of each stack
    shortcut : round every stack, round every layer, round every layer that keeps the width, or none. What it adds comes
        after the ReLU, through a linear projection where widths differ
    batch_norm : between a layer and its ReLU
    inputs : what it is given: fractions of atoms, the 145 composition attributes, a learned embedding of the fractions
        with the attributes beside it, or one of the elements of a chemical system by their places
    embedding : width of each of the first four terms of that (see `kernels.embedding`)
    stoichiometry : width of its fifth
    """

    stacks: tuple[tuple[int, int], ...]
    shortcut: Shortcut = "none"
    batch_norm: bool = False
    inputs: Kind = "fractions"
    embedding: int = 0
    stoichiometry: int = 0

    @property
    def widths(self) -> tuple[int, ...]:
        """Outputs of every dense layer but the last."""
        return tuple(width for width, layers in self.stacks for _ in range(layers))


_DEPTHS: dict[int, tuple[tuple[int, int], ...]] = {
    17: ((1024, 4), (512, 3), (256, 3), (128, 3), (64, 2), (32, 1)),
    24: ((1024, 4), (512, 4), (256, 4), (128, 4), (64, 3), (32, 2), (16, 2)),
    48: (*((width, 4) for width in (1024, 512, 256, 128, 64) for _ in range(2)), (32, 4), (16, 3)),
}
"""Stacks by number of dense layers (table 4.1; widths of the published code)."""

_SHORTCUTS: dict[str, Shortcut] = {"plain": "none", "srnet": "stack", "irnet": "layer"}

ARCHITECTURES: dict[str, Architecture] = {
    "elemnet": Architecture(_DEPTHS[17]),
    **{
        f"{family}-{depth}": Architecture(stacks, shortcut, batch_norm=True, inputs="attributes")
        for family, shortcut in _SHORTCUTS.items()
        for depth, stacks in _DEPTHS.items()
    },
    "pairnet-student": Architecture(((128, 3), (64, 1)), "same width", False, "embedding", 96, 64),
    "pairnet": Architecture(((384, 3), (192, 1), (96, 1)), "same width", False, "embedding", 192, 64),
}

OF_SYSTEMS = Architecture(((384, 4),), "same width", False, "systems", 192)
"""Of `models.systems`: wide, as it is asked once for hundreds of compositions."""


LEFT_OUT = 0.1
"""Probability that a network in training is not told a stoichiometry: so the row of all that are not known learns what
holds of any, not what holds of the rare ones. Most quaternaries of a scan have one of which hardly a compound is
known."""


class Embedding(nn.Module):
    """`kernels.embedding` as something to learn, of so many known stoichiometries.

    What comes after the fractions and the row of the stoichiometry is passed on beside it.
    """

    def __init__(
        self, elements: int, width: int, known: int, of_stoichiometry: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.elements = elements

        def table(scale: float, rows: int = elements, columns: int = width) -> nn.Parameter:
            return nn.Parameter(scale * torch.randn(rows, columns, generator=generator))

        # Scales that give each term a variance of about 1 at two to four elements; a stoichiometry has less to say.
        self.left, self.right, self.linear = table(1.4), table(1.4), table(1.4)
        self.root, self.presence = table(0.7), table(0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.stoichiometry = table(0.5, known + 1, of_stoichiometry)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, elements + 1 + A) → (N, 4 width + width of stoichiometries + A)."""
        part, row, beside = inputs.tensor_split((self.elements, self.elements + 1), dim=1)
        x = part.contiguous()
        told = []
        if self.stoichiometry.numel():  # of no columns PyTorch has no gradient on a GPU
            if self.training:
                row = row.masked_fill(torch.rand_like(row) < LEFT_OUT, len(self.stoichiometry) - 1)
            told = [nn.functional.embedding(row[:, 0].long(), self.stoichiometry)]
        return torch.cat(
            [
                learning_product(x, self.left) * learning_product(x, self.right),
                torch.relu(learning_product(x, self.linear, self.bias)),
                learning_product(x.sqrt(), self.root),
                learning_product((x > 0).to(x.dtype), self.presence),
                *told,
                beside,
            ],
            dim=1,
        )

    def learned(self) -> dict[str, np.ndarray]:
        """Fields of `kernels.embedding.Tables`, in float64: all but what is known of elements and stoichiometries."""
        return {name: table.detach().double().numpy() for name, table in self.named_parameters()}


class Linear(nn.Linear):
    """PyTorch's own, by `kernels.products`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, in) → (N, out)."""
        return learning_product(x, self.weight.t(), self.bias)


class Sequence(nn.Module):
    """Dense layer, batch norm where asked for, ReLU, and the shortcut round all of it where asked for."""

    def __init__(self, width_in: int, width: int, batch_norm: bool, shortcut: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.dense = _linear(width_in, width, generator, bias=not batch_norm)
        self.norm = nn.BatchNorm1d(width) if batch_norm else None
        self.projection = _projection(width_in, width, shortcut, generator)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width_in) → (N, width)."""
        y = self.dense(x)
        y = torch.relu(y if self.norm is None else self.norm(y))
        return _add(y, x, self)


class Stack(nn.Module):
    """Sequences of one width, dropout after the last, and the shortcut round all of them where asked for."""

    def __init__(
        self, width_in: int, width: int, layers: int, plan: Architecture, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        before = [width_in, *(layers - 1) * [width]]
        self.sequences = nn.ModuleList(
            Sequence(
                given,
                width,
                plan.batch_norm,
                plan.shortcut == "layer" or (plan.shortcut == "same width" and given == width),
                generator,
            )
            for given in before
        )
        self.shortcut = plan.shortcut == "stack"
        self.projection = _projection(width_in, width, self.shortcut, generator)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, width_in) → (N, width)."""
        y = x
        for sequence in self.sequences:
            y = sequence(y)
        dropped: torch.Tensor = self.dropout(_add(y, x, self))
        return dropped


class DenseNetwork(nn.Module):
    """(N, inputs) float32 in, (N, outputs) out. Before a learned embedding the inputs are those of `Embedding`.

    Weights are He-normal draws from `seed` (projections without the gain of a ReLU, the last layer of deep networks
    smaller): with the framework's default scale a signal fades over 17 ReLU layers.
    `dropout` has the drop probability after each of the first stacks; `known` is the number of stoichiometries.
    """

    def __init__(
        self,
        plan: Architecture,
        inputs: int,
        dropout: tuple[float, ...] = (),
        seed: int = 0,
        outputs: int = 1,
        known: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding = None
        stacks, width_in = [], inputs
        if plan.embedding:
            attributes = len(WARD_FEATURE_NAMES) if plan.inputs == "embedding" else 0
            elements = inputs - attributes - (plan.inputs == "embedding")
            self.embedding = Embedding(elements, plan.embedding, known, plan.stoichiometry, generator)
            width_in = 4 * plan.embedding + plan.stoichiometry + attributes
        for number, (width, layers) in enumerate(plan.stacks):
            drop = dropout[number] if number < len(dropout) else 0.0
            stacks.append(Stack(width_in, width, layers, plan, drop, generator))
            width_in = width
        self.stacks = nn.Sequential(*stacks)
        self.last = _linear(width_in, outputs, generator)
        if plan.batch_norm:  # what many shortcuts have added up is large, and would have to be learnt away first
            with torch.no_grad():
                self.last.weight /= len(plan.widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs) → (N, outputs)."""
        y: torch.Tensor = self.last(self.stacks(x if self.embedding is None else self.embedding(x)))
        return y


Pair = tuple[np.ndarray, np.ndarray]
Jump = tuple[int, np.ndarray | None] | None


def folded(network: DenseNetwork) -> tuple[list[Pair], list[Jump]]:
    """(weight (out, in), bias (out,)) of each layer and its shortcut, as `kernels.mlp.pack` takes them, in float64.

    Batch norm is folded into the layer before it: with its running mean μ and variance σ², scale γ and shift β,
    γ (W x + b − μ) / √(σ² + ε) + β is the layer W' = W γ / √(σ² + ε), b' = (b − μ) γ / √(σ² + ε) + β.
    """
    pairs: list[Pair] = []
    jumps: list[Jump] = []
    for stack in (module for module in network.stacks if isinstance(module, Stack)):
        start = len(pairs)
        for sequence in (module for module in stack.sequences if isinstance(module, Sequence)):
            pairs.append(_folded(sequence.dense, sequence.norm))
            jumps.append(_jump(sequence, len(pairs) - 1))
        if stack.shortcut:
            jumps[-1] = _jump(stack, start)
    pairs.append(_folded(network.last, None))
    return pairs, [*jumps, None]


def _folded(dense: nn.Linear, norm: nn.BatchNorm1d | None) -> Pair:
    weight = dense.weight.detach().double()
    bias = torch.zeros(len(weight)).double() if dense.bias is None else dense.bias.detach().double()
    if norm is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight.numpy(), bias.numpy()


def _jump(module: Sequence | Stack, source: int) -> Jump:
    if not module.shortcut:
        return None
    return source, None if module.projection is None else module.projection.weight.detach().double().numpy()


def _linear(
    width_in: int, width: int, generator: torch.Generator, bias: bool = True, then: Literal["relu", "linear"] = "relu"
) -> nn.Linear:
    linear = Linear(width_in, width, bias=bias)
    nn.init.kaiming_normal_(linear.weight, nonlinearity=then, generator=generator)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


def _projection(width_in: int, width: int, shortcut: bool, generator: torch.Generator) -> nn.Linear | None:
    if not shortcut or width_in == width:
        return None
    return _linear(width_in, width, generator, bias=False, then="linear")  # no ReLU takes half of what it gives


def _add(y: torch.Tensor, x: torch.Tensor, module: Sequence | Stack) -> torch.Tensor:
    if not module.shortcut:
        return y
    return y + (x if module.projection is None else module.projection(x))
