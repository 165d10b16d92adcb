"""Variational autoencoders with the sizes of Korolev et al., figs. S1 and S2, table S1."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from matscreen.models.elements import ELEMNET_ELEMENTS

POINTS = 1601
"""Of a powder pattern, 10 to 90 degrees."""
KEPT = 8.0
"""Logarithms of variances stay within ± so much, which no trained code leaves."""


@dataclass(frozen=True)
class Plan:
    """Sizes of an autoencoder; the decoder is the encoder the other way round.

    Attributes
    ----------
    inputs, latent : numbers of inputs and of latent variables
    dense : widths of the layers between
    filters : of the convolutions before them, each followed by the maximum of two points; none for compositions
    kernel : points that a convolution sees
    dropout : drop probability before the dense layers of the encoder
    normal : how first weights are drawn: "he" or "lecun", normal
    atoms : inputs are fractions that add up to one, as if so many atoms had been counted; 0: each stands for itself
    """

    inputs: int
    latent: int
    dense: tuple[int, ...]
    filters: tuple[int, ...] = ()
    kernel: int = 4
    dropout: float = 0.0
    normal: str = "he"
    atoms: int = 0


PLANS = {
    "composition": Plan(len(ELEMNET_ELEMENTS), 24, (95, 50), dropout=4.49e-6, atoms=100),
    "pattern": Plan(POINTS, 64, (693, 403), (16, 17, 37), dropout=2.04e-2, normal="lecun"),
}
"""As published, but that compositions are of the 86 elements that can be screened, not of 100."""


class Autoencoder(nn.Module):
    """Inputs (N, inputs) between 0 and 1, their codes (N, latent), and what comes back of them."""

    def __init__(self, plan: Plan, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.plan = plan
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        before, points = 1, plan.inputs
        for filters in plan.filters:
            around = nn.ZeroPad1d(((plan.kernel - 1) // 2, plan.kernel // 2))  # as many points out as in
            down += [around, nn.Conv1d(before, filters, plan.kernel), nn.SELU(), nn.MaxPool1d(2)]
            up = [nn.Upsample(size=points), around, nn.Conv1d(filters, before, plan.kernel), nn.SELU(), *up]
            before, points = filters, points // 2
        if plan.filters:
            down = [nn.Unflatten(1, (1, plan.inputs)), *down, nn.Flatten()]
            up = [nn.Unflatten(1, (before, points)), *up[:-1], nn.Flatten()]
        widths = (before * points, *plan.dense)
        down.append(nn.Dropout(plan.dropout))
        for wide, narrow in pairwise(widths):
            down += [nn.Linear(wide, narrow), nn.SELU()]
        rising = (plan.latent, *reversed(plan.dense))
        rise: list[nn.Module] = []
        for narrow, wide in pairwise(rising):
            rise += [nn.Linear(narrow, wide), nn.SELU()]
        rise += [nn.Linear(rising[-1], widths[0]), *([nn.SELU()] if plan.filters else []), *up]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*rise)
        self.mean, self.log_variance = nn.Linear(widths[-1], plan.latent), nn.Linear(widths[-1], plan.latent)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d):
                # Cut off at twice the deviation, which takes 12% of it.
                wide = ((2 if plan.normal == "he" else 1) / layer.weight[0].numel()) ** 0.5 / 0.8796
                nn.init.trunc_normal_(layer.weight, std=wide, a=-2 * wide, b=2 * wide)
                nn.init.constant_(layer.get_parameter("bias"), 0)

    def encode(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and logarithm of the variance of each latent variable: (N, latent) both."""
        narrow = self.encoder(inputs)
        return self.mean(narrow), self.log_variance(narrow).clamp(-KEPT, KEPT)

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """What codes (N, latent) stand for: (N, inputs) between 0 and 1."""
        logits = self.decoder(codes)
        return torch.softmax(logits, dim=1) if self.plan.atoms else torch.sigmoid(logits)

    def losses(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """−E[ln D(x|z)], of one code drawn for each input, and the divergence from a normal distribution: (N,) both.

        The first is less what it is where nothing is lost, so that a perfect copy has 0: of fractions the relative
        entropy times the number of atoms, else the binary cross-entropies. The second is ½ Σ (σ² + μ² − 1 − ln σ²).
        """
        mean, log_variance = self.encode(inputs)
        logits = self.decoder(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
        divergence = (log_variance.exp() + mean**2 - 1 - log_variance) / 2
        return self._lost(logits, inputs), divergence.sum(dim=1)

    def _lost(self, logits: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        if self.plan.atoms:
            each = torch.xlogy(inputs, inputs) - inputs * torch.log_softmax(logits, dim=1)
            return self.plan.atoms * each.sum(dim=1)
        entropy = nn.functional.binary_cross_entropy(inputs, inputs, reduction="none")
        crossed = nn.functional.binary_cross_entropy_with_logits(logits, inputs, reduction="none")
        return (crossed - entropy).sum(dim=1)
