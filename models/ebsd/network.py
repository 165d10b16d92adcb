"""OMNet: a convolutional trunk, one dense layer, and a branch for each output (Jha 2020, fig. 6.3)."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

POOL = "pool"


@dataclass(frozen=True)
class Plan:
    """Sizes of an OMNet.

    Attributes
    ----------
    trunk : (channels, stride) of each 3 × 3 convolution, and `POOL` for the maximum of 2 × 2
    dense : width of the layer that all branches share
    branch : widths of the hidden layers of each branch
    norm : batch norm after each convolution
    """

    trunk: tuple[tuple[int, int] | str, ...]
    dense: int
    branch: tuple[int, ...]
    norm: bool


PLANS = {
    "omnet": Plan(
        (*[(256, 1)] * 2, *[(512, 1)] * 2, POOL, *[(256, 1)] * 2, *[(96, 1)] * 2, POOL), 8192, (2048, 1024, 256), False
    ),
    "omnet-small": Plan(((16, 2), (32, 2), (48, 1), POOL, (64, 1)), 512, (256, 64), True),
}
"""As published (202 M parameters for 60 × 60 pixels), and what a CPU can train."""


class OMNet(nn.Module):
    """Prepared patterns (N, rows · columns) in, (N, sum(branches)) out."""

    def __init__(self, plan: Plan, shape: tuple[int, int], branches: tuple[int, ...], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shape = shape
        layers: list[nn.Module] = []
        channels = 1
        for step in plan.trunk:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, step[0], 3, step[1], 1, bias=not plan.norm))
            layers += [nn.BatchNorm2d(step[0])] * plan.norm + [nn.ReLU()]
            channels = step[0]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.no_grad():
            width = self.trunk.eval()(torch.zeros(1, 1, *shape)).shape[1]
        self.trunk.train()
        self.dense = nn.Sequential(nn.Linear(width, plan.dense), nn.ReLU())
        self.branches = nn.ModuleList(_branch(plan, outputs) for outputs in branches)

    def forward(self, patterns: torch.Tensor) -> torch.Tensor:
        """See the class. A pattern's pixels, of length 1, are scaled to a variance of 1."""
        rows, columns = self.shape
        images = patterns.view(-1, 1, rows, columns) * (rows * columns) ** 0.5
        shared = self.dense(self.trunk(images.contiguous(memory_format=torch.channels_last)))
        return torch.cat([branch(shared) for branch in self.branches], dim=1)


def _branch(plan: Plan, outputs: int) -> nn.Sequential:
    widths = (plan.dense, *plan.branch)
    hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], outputs))
