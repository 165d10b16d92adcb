"""How a composition becomes a network's input: as fractions, as 145 attributes, or by a learned embedding."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from matscreen.kernels import embedding
from matscreen.kernels.backend import Backend
from matscreen.kernels.features import WARD_FEATURE_NAMES, standardised, ward_features
from matscreen.models.dataset import sparse_rows
from matscreen.models.elements import FORMULA_ORDER, SYMBOLS

Kind = Literal["fractions", "attributes", "embedding", "systems"]


@dataclass(frozen=True)
class Encoding:
    """The inputs of a network's first dense layer.

    Attributes
    ----------
    kind : fractions of atoms of the elements; the attributes of `kernels.features`, standardised; an embedding of the
        fractions (`kernels.embedding`) and then those attributes; or an embedding of a chemical system, where each
        element has a row for every place it may take in the order of electronegativities
    mean, scale : (145,) float64, subtracted from the attributes and divided by; empty where there are none
    known : (S,) int64, rising: the stoichiometries that the embedding tells apart
    tables : of the embedding, once it is learned
    """

    kind: Kind = "fractions"
    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    scale: np.ndarray = field(default_factory=lambda: np.empty(0))
    known: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    tables: embedding.Tables | None = None

    def width(self, elements: int) -> int:
        """Number of inputs, of a model that knows so many elements."""
        if self.kind == "fractions":
            return elements
        return len(WARD_FEATURE_NAMES) * self.with_attributes + (self.tables.width if self.tables else 0)

    @property
    def with_attributes(self) -> bool:
        """Whether the 145 attributes are among the inputs."""
        return self.kind in ("attributes", "embedding")

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
        """(N, 86) fractions → (N, inputs) float32 of a network that learns.

        Before they are embedded: the fractions, the row of the stoichiometry, and the attributes.
        """
        in_float32 = fractions.astype(np.float32, copy=False)
        if self.kind == "fractions":
            return in_float32
        attributes = self.standardised(ward_features(fractions))
        if self.kind == "attributes":
            return attributes
        row = embedding.rows(stoichiometries(*sparse_rows(in_float32)), self.known)
        return np.concatenate([in_float32, row[:, None].astype(np.float32), attributes], axis=1)


def order_of(elements: Sequence[int]) -> np.ndarray:
    """(E,) int16 that rises with the electronegativity of these atomic numbers; no two are equal."""
    return np.array([FORMULA_ORDER[z] for z in elements], np.int16)


ORDER = order_of(range(len(SYMBOLS)))


def stoichiometries(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """(N,) int64 keys of `kernels.embedding.stoichiometry_keys` of compositions.

    elements, amounts : (N, K), atomic numbers and atoms (or fractions of them), 0 in empty places
    """
    fractions = amounts / amounts.sum(axis=1, dtype=np.float64, keepdims=True)
    return embedding.stoichiometry_keys(elements.astype(np.int32), fractions, ORDER)


LARGEST = 8.0
"""Standard deviations; an attribute further out is of an element that was hardly seen, and is cut to this."""


ENOUGH = 5
"""Compounds, that something can be learnt of a stoichiometry from."""


def fit_encoding(kind: Kind, fractions: np.ndarray) -> Encoding:
    """The encoding to train with: attributes get mean 0 and variance 1 over the compositions given, (N, 86) fractions.

    An embedding is learned with the rest of its network, and is not in it yet; but it will tell those stoichiometries
    apart that `ENOUGH` of the compositions have.
    """
    if kind == "fractions":
        return Encoding()
    attributes = ward_features(fractions)
    scale = attributes.std(axis=0)
    varies = scale > 1e-9 * np.abs(attributes).max(axis=0)  # else only rounding does
    mean, scale = attributes.mean(axis=0), np.where(varies, scale, 1.0)
    if kind == "attributes":
        return Encoding(kind, mean, scale)
    keys, count = np.unique(stoichiometries(*sparse_rows(fractions)), return_counts=True)
    return Encoding(kind, mean, scale, keys[(count >= ENOUGH) & (keys > 0)])
