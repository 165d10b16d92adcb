"""How a composition becomes a network's input: its fractions as they are, or its 145 attributes, standardised."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from matscreen.kernels.features import WARD_FEATURE_NAMES, composition_features, ward_features

Kind = Literal["fractions", "attributes"]


@dataclass(frozen=True)
class Encoding:
    """The inputs of a network.

    Attributes
    ----------
    kind : fractions of atoms of the 86 elements, or the attributes of `kernels.features`
    mean, scale : (145,) float64, subtracted and divided by (attributes only; empty otherwise)
    """

    kind: Kind
    mean: np.ndarray
    scale: np.ndarray

    def dense(self, fractions: np.ndarray) -> np.ndarray:
        """(N, 86) fractions of atoms → (N, inputs) float32."""
        if self.kind == "fractions":
            return fractions.astype(np.float32, copy=False)
        return self._standardised(ward_features(fractions))

    def attributes(self, elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """(N, K) elements and amounts → (N, 145) float32."""
        return self._standardised(composition_features(elements, amounts))

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        standard: np.ndarray = ((features - self.mean) / self.scale).astype(np.float32)
        return standard


FRACTIONS = Encoding("fractions", np.empty(0), np.empty(0))


def fit_encoding(kind: Kind, fractions: np.ndarray) -> Encoding:
    """The encoding whose inputs have mean 0 and variance 1 over the compositions given, (N, 86) fractions."""
    if kind == "fractions":
        return FRACTIONS
    features = ward_features(fractions)
    scale = features.std(axis=0)
    varies = scale > 1e-9 * np.abs(features).max(axis=0)  # else only rounding does
    return Encoding(kind, features.mean(axis=0), np.where(varies, scale, 1.0))


def inputs(encoding: Encoding, elements: int) -> int:
    """How many inputs a network of so many elements has."""
    return elements if encoding.kind == "fractions" else len(WARD_FEATURE_NAMES)
