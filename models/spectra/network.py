"""A convolutional branch for a spectrum, a dense one for the composition, and a head for both; many at once."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

Part = Literal["spectrum", "composition", "both"]


@dataclass(frozen=True)
class Plan:
    """Sizes, as published (Umehara et al., fig. 2 and note 4); letters are that figure's layers.

    Attributes
    ----------
    filters, kernel : of the convolution of the spectrum (b)
    spectrum : width of the dense layer on it (c)
    composition : widths of the two dense layers on the fractions (e, f)
    head : widths of the two dense layers on both (h, i), before the output (j)
    dropout : of the spectrum's points and of what the convolution makes of them
    """

    filters: int = 2
    kernel: int = 7
    spectrum: int = 32
    composition: tuple[int, int] = (16, 16)
    head: tuple[int, int] = (32, 32)
    dropout: float = 0.25


class _Drop(nn.Module):
    """`nn.Dropout` by numbers that a processor draws six times as fast."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        kept = torch.rand_like(x) >= self.share
        return x * kept / (1 - self.share)


class SpectralNetwork(nn.Module):
    """One network; in training each branch also has an output of its own."""

    def __init__(self, plan: Plan, points: int, elements: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        inside = plan.filters * (points - plan.kernel + 1)
        self.convolution = nn.Sequential(
            _Drop(plan.dropout),
            nn.Unflatten(1, (1, points)),
            nn.Conv1d(1, plan.filters, plan.kernel),
            nn.ELU(),
            nn.Flatten(),
            _Drop(plan.dropout),
            nn.Linear(inside, plan.spectrum),
            nn.ELU(),
        )
        first, second = plan.composition
        self.dense = nn.Sequential(nn.Linear(elements, first), nn.ELU(), nn.Linear(first, second), nn.ELU())
        self.of_spectrum = _head(plan.spectrum, plan.head)
        self.of_composition = _head(second, plan.head)
        self.of_both = _head(plan.spectrum + second, plan.head)

    def forward(self, spectra: torch.Tensor, composition: torch.Tensor, part: Part = "both") -> torch.Tensor:
        """(B,) from spectra (B, points) and fractions (B, elements), or from one of them by its own head."""
        found: torch.Tensor
        if part == "spectrum":
            found = self.of_spectrum(self.convolution(spectra))
        elif part == "composition":
            found = self.of_composition(self.dense(composition))
        else:
            found = self.of_both(torch.cat([self.convolution(spectra), self.dense(composition)], dim=1))
        return found[:, 0]


def _head(inputs: int, widths: tuple[int, int]) -> nn.Sequential:
    first, second = widths
    return nn.Sequential(nn.Linear(inputs, first), nn.ELU(), nn.Linear(first, second), nn.ELU(), nn.Linear(second, 1))


class SpectralEnsemble(nn.Module):
    """Networks of several seeds as one: every weight has the members as its first axis.

    They are trained and asked together by `torch.func.vmap`, faster than one after another (`bench.accuracy.spectra`).
    """

    def __init__(self, plan: Plan, points: int, elements: int, seeds: tuple[int, ...]) -> None:
        super().__init__()
        networks = [SpectralNetwork(plan, points, elements, seed) for seed in seeds]
        stacked, _ = stack_module_state(networks)
        self.weights = nn.ParameterDict({name.replace(".", ":"): nn.Parameter(t) for name, t in stacked.items()})
        self._one = [networks[0].to("meta")]  # in a list: its weights are none of ours

    def forward(self, spectra: torch.Tensor, composition: torch.Tensor, part: Part = "both") -> torch.Tensor:
        """(M, B) from spectra (M, B, points) and fractions (M, B, elements), of each member its own."""

        def call(weights: dict[str, torch.Tensor], s: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self._called(weights, s, x, part)

        found: torch.Tensor = vmap(call, randomness="different")(self._named(), spectra, composition)
        return found

    def member(self, number: int, spectra: torch.Tensor, composition: torch.Tensor) -> torch.Tensor:
        """(B,) by one of them, from spectra (B, points) and fractions (B, elements)."""
        weights = {name: weight[number] for name, weight in self._named().items()}
        return self._called(weights, spectra, composition, "both")

    def _named(self) -> dict[str, torch.Tensor]:
        return {name.replace(":", "."): weight for name, weight in self.weights.items()}

    def _called(
        self, weights: dict[str, torch.Tensor], spectra: torch.Tensor, composition: torch.Tensor, part: Part
    ) -> torch.Tensor:
        one = self._one[0].train(self.training)
        found: torch.Tensor = functional_call(one, weights, (spectra, composition, part))
        return found

    def of(self, *layers: str) -> list[nn.Parameter]:
        """The weights of these parts of the networks."""
        return [weight for name, weight in self.weights.items() if name.partition(":")[0] in layers]
