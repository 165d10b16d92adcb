"""What a network predicts: one property, several at once, or the class of a compound."""

from dataclasses import dataclass
from typing import Any

from matscreen.models.tables import ENERGY


@dataclass(frozen=True)
class Target:
    """The outputs of a network.

    Attributes
    ----------
    properties : columns of the table that it learns from, each an output of its own
    classes : if the one property is a class, its values: an output each, of which a softmax makes probabilities
    """

    properties: tuple[str, ...] = (ENERGY,)
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """Width of the last layer."""
        return len(self.classes) or len(self.properties)

    @property
    def energy(self) -> int | None:
        """Which output is the formation energy, if one is."""
        return self.properties.index(ENERGY) if ENERGY in self.properties else None

    def __str__(self) -> str:
        return f"class of {self.properties[0]}" if self.classes else ", ".join(self.properties)

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> "Target":
        """The target that a card names; a card that names none is of a formation energy."""
        named = card.get("target") or {}
        return cls(tuple(named.get("properties", (ENERGY,))), tuple(named.get("classes", ())))


FORMATION_ENERGY = Target()
