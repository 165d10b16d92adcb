"""How to train: the recipe of the shipped weights, and the published ones."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Schedule:
    """How long and how fast any network learns.

    Attributes
    ----------
    epochs : most epochs to run
    batch : examples a step
    learning_rate : the peak with `one_cycle`, else constant
    weight_decay : decoupled (AdamW)
    one_cycle : warm up over the first tenth, then anneal by a cosine to nothing
    patience : epochs without a better validation error before stopping
    seed : of the first weights, the order of examples and all else that is drawn
    """

    epochs: int = 60
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    one_cycle: bool = True
    patience: int = 60
    seed: int = 0

    def learning_rate_at(self, epoch: float) -> float:
        """Learning rate after so many epochs, the last one's share counted."""
        if not self.one_cycle:
            return self.learning_rate
        warm = 0.1 * self.epochs
        if epoch < warm:
            return self.learning_rate * (0.04 + 0.96 * epoch / warm)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (epoch - warm) / (self.epochs - warm)))


@dataclass(frozen=True)
class Recipe(Schedule):
    """How to train on compositions. The defaults are the recipe behind the shipped weights; `PUBLISHED` is the thesis'.

    Attributes
    ----------
    dropout : drop probability after each of the first stacks of layers
    predict_with_dropout : whether validation drops too, as predictions then must: a network that has learnt with much
        dropout between its ReLU layers is worse without (its mean activations shift)
    anchors : how often an epoch shows each pure element at 0 eV/atom, which is what a formation energy means; without,
        a network that never saw an element alone thinks that compounds mixed with it gain energy
    decomposition : share of the loss that is of decomposition energies instead of formation energies: what tells stable
        compounds from others is a small difference of energies, whose errors then learn to cancel
    start : SHA-256 of the model whose weights are the first ones; empty for fresh ones
    """

    dropout: tuple[float, ...] = ()
    predict_with_dropout: bool = False
    anchors: int = 10
    decomposition: float = 0.0
    start: str = ""


_CONSTANT = Recipe(epochs=1000, learning_rate=1e-4, weight_decay=0.0, one_cycle=False, anchors=0, patience=200)

PUBLISHED: dict[str, Recipe] = {
    "elemnet": replace(_CONSTANT, batch=32, dropout=(0.2, 0.1, 0.3, 0.2), predict_with_dropout=True),
    "plain": replace(_CONSTANT, batch=64),
    "srnet": replace(_CONSTANT, batch=64),
    "irnet": replace(_CONSTANT, batch=64),
}
"""Jha 2020: ElemNet 3.2 and 5.2 (dropout in training and in prediction), the others 4.2; all Adam at 1e-4."""

DEFAULTS: dict[str, Recipe] = {"pairnet": Recipe(epochs=60, weight_decay=0.6)}
"""By family, where that is not `Recipe()`."""
