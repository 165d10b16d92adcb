"""How a composition becomes a network's input: as fractions, as 145 attributes, or by a learned embedding."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from matscreen.kernels import embedding
from matscreen.kernels.backend import Backend
from matscreen.kernels.features import WARD_FEATURE_NAMES, standardised, ward_features

Kind = Literal["fractions", "attributes", "embedding"]


@dataclass(frozen=True)
class Encoding:
    """The inputs of a network's first dense layer.

    Attributes
    ----------
    kind : fractions of atoms of the elements; the attributes of `kernels.features`, standardised; or an embedding of
        the fractions (`kernels.embedding`) and then those attributes
    mean, scale : (145,) float64, subtracted from the attributes and divided by; empty where there are none
    tables : of the embedding, once it is learned
    """

    kind: Kind = "fractions"
    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    tables: embedding.Tables | None = None

    def width(self, elements: int) -> int:
        """Number of inputs, of a model that knows so many elements."""
        if self.kind == "fractions":
            return elements
        return len(WARD_FEATURE_NAMES) + (self.tables.width if self.tables else 0)

    def dense(self, places: np.ndarray, fractions: np.ndarray, attributes: np.ndarray, backend: Backend) -> np.ndarray:
        """(N, inputs) float32 from rows in the tables and fractions, both (N, K), and attributes (N, 145)."""
        standard = self.standardised(attributes, backend)
        if self.tables is None:
            return standard
        return np.concatenate([embedding.embed(places, fractions, self.tables, backend), standard], axis=1)

    def standardised(self, attributes: np.ndarray, backend: Backend = "auto") -> np.ndarray:
        """(N, 145) attributes → (N, 145) float32 (float64 from the reference)."""
        return standardised(attributes, self.mean, self.scale, LARGEST, backend)

    def before_training(self, fractions: np.ndarray) -> np.ndarray:
        """(N, 86) fractions → (N, inputs) float32 of a network that learns, the fractions before they are embedded."""
        in_float32 = fractions.astype(np.float32, copy=False)
        if self.kind == "fractions":
            return in_float32
        attributes = self.standardised(ward_features(fractions))
        return attributes if self.kind == "attributes" else np.concatenate([in_float32, attributes], axis=1)


LARGEST = 8.0
"""Standard deviations; an attribute further out is of an element that was hardly seen, and is cut to this."""


def fit_encoding(kind: Kind, fractions: np.ndarray) -> Encoding:
    """The encoding to train with: attributes get mean 0 and variance 1 over the compositions given, (N, 86) fractions.

    An embedding is learned with the rest of its network, and is not in it yet.
    """
    if kind == "fractions":
        return Encoding()
    attributes = ward_features(fractions)
    scale = attributes.std(axis=0)
    varies = scale > 1e-9 * np.abs(attributes).max(axis=0)  # else only rounding does
    return Encoding(kind, attributes.mean(axis=0), np.where(varies, scale, 1.0))
