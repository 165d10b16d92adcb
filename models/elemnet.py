"""ElemNet: 17 dense layers from 86 element fractions to a formation energy (Jha 2020, table 3.1)."""

from collections.abc import Sequence

import torch
from torch import nn

from matscreen.models.elements import ELEMNET_ELEMENTS

WIDTHS: tuple[int, ...] = (*[1024] * 4, *[512] * 3, *[256] * 3, *[128] * 3, 64, 64, 32, 1)
"""Outputs of the 17 dense layers; ReLU follows all but the last."""

DROPOUT_AFTER: tuple[int, ...] = (4, 7, 10, 13)
"""Dense layers (from 1) that dropout follows in training."""

PUBLISHED_DROPOUT: tuple[float, ...] = (0.2, 0.1, 0.3, 0.2)
"""Published drop probabilities (the text gives keep probabilities 0.8, 0.9, 0.7, 0.8)."""


def elemnet(dropout: Sequence[float] = PUBLISHED_DROPOUT, seed: int = 0) -> nn.Sequential:
    """A fresh ElemNet: (N, 86) float32 element fractions in, (N, 1) out.

    Weights are He-normal draws from `seed`: with the framework's default scale a signal fades over 17 ReLU layers.
    """
    generator = torch.Generator().manual_seed(seed)
    probability = dict(zip(DROPOUT_AFTER, dropout, strict=True))
    modules: list[nn.Module] = []
    width_in = len(ELEMNET_ELEMENTS)
    for layer, width in enumerate(WIDTHS, start=1):
        linear = nn.Linear(width_in, width)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(linear.bias)
        modules.append(linear)
        if layer < len(WIDTHS):
            modules.append(nn.ReLU())
        if probability.get(layer, 0) > 0:
            modules.append(nn.Dropout(probability[layer]))
        width_in = width
    return nn.Sequential(*modules)


def dense_layers(network: nn.Sequential) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(weight (out, in), bias (out,)) of each dense layer, detached, in order."""
    return [(m.weight.detach(), m.bias.detach()) for m in network if isinstance(m, nn.Linear)]
