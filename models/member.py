"""One trained network: what it is given, its dense layers, and both as named tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

import numpy as np

from matscreen.kernels import embedding, mlp
from matscreen.kernels.backend import Backend
from matscreen.kernels.features import WARD_FEATURE_NAMES, composition_features
from matscreen.kernels.systems import MOST_ELEMENTS
from matscreen.models.architecture import DenseNetwork, Jump, folded
from matscreen.models.dataset import sparse_rows
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import Encoding, Kind, order_of


@dataclass(frozen=True)
class Member:
    """A network of a model; deep ensembles have several.

    Attributes
    ----------
    encoding : what the first dense layer is given
    layers : in float32
    """

    encoding: Encoding
    layers: mlp.Layers

    @cached_property
    def embedded(self) -> mlp.Embedded:
        """The network of one that embeds compositions, as its kernel takes it."""
        assert self.encoding.tables
        return mlp.absorb(self.encoding.tables, self.layers)

    def outputs(
        self,
        places: np.ndarray,
        fractions: np.ndarray,
        attributes: np.ndarray | None,
        backend: Backend,
        precision: mlp.Precision,
    ) -> np.ndarray:
        """(N, outputs) from rows in the inputs or tables and fractions, both (N, K), and attributes (N, 145)."""
        if self.encoding.kind == "systems":
            none = np.empty((len(places), 0), np.float32)
            return mlp.forward_embedded(self.slots(places), fractions, none, self.embedded, backend, precision)
        if attributes is None:
            return mlp.forward(places, fractions, self.layers, backend, precision)
        standard = self.encoding.standardised(attributes, backend)
        if self.encoding.tables is None:
            return mlp.forward_dense(standard, self.layers, backend, precision)
        return mlp.forward_embedded(places, fractions, standard, self.embedded, backend, precision)

    def slots(self, places: np.ndarray) -> np.ndarray:
        """Rows in the tables of the elements of systems, (N, K), from their places among the elements, in order."""
        assert self.encoding.tables
        elements = len(self.encoding.tables.linear) // MOST_ELEMENTS
        rows: np.ndarray = places + elements * np.arange(places.shape[1], dtype=np.int32)
        return rows


def of_stoichiometry(member: Member, key: int) -> Member:
    """The network, for which every composition has this stoichiometry, or one that it does not know."""
    if member.encoding.tables is None:
        return member
    row = embedding.rows(np.array([key]), member.encoding.known)
    none = np.empty(0, np.int64)
    tables = member.encoding.tables._replace(stoichiometry=member.encoding.tables.stoichiometry[row], known=none)
    return Member(replace(member.encoding, known=none, tables=tables), member.layers)


def layer_outputs(member: Member, fractions: np.ndarray) -> list[np.ndarray]:
    """Activations (N, width) float64 of every dense layer, its inputs first, for (N, 86) fractions."""
    if member.encoding.kind == "fractions":
        return mlp.activations(fractions, member.layers)
    elements, amounts = sparse_rows(fractions)
    places = np.argsort(fractions <= 0, axis=1, kind="stable")[:, : elements.shape[1]]
    attributes = composition_features(elements, amounts)
    return mlp.activations(member.encoding.dense(places, amounts, attributes, "reference"), member.layers)


def trained(
    network: DenseNetwork, encoding: Encoding, dtype: type = np.float32, elements: Sequence[int] = ELEMNET_ELEMENTS
) -> Member:
    """The network of these elements as the kernels want it, batch norm folded, its weights rounded to `dtype`."""
    pairs, jumps = folded(network)

    def rounded(array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # `pack` refuses what became infinite
            return array.astype(dtype)

    layers = mlp.pack(
        [(rounded(weight), rounded(bias)) for weight, bias in pairs],
        [jump and (jump[0], None if jump[1] is None else rounded(jump[1])) for jump in jumps],
    )
    if network.embedding is None:
        return Member(encoding, layers)
    learned = {name: rounded(table) for name, table in network.embedding.learned().items()}
    order = _order(encoding.kind, elements)
    tables = embedding.checked(embedding.Tables(**learned, known=encoding.known, order=order))
    return Member(replace(encoding, tables=tables), layers)


def _order(kind: Kind, elements: Sequence[int]) -> np.ndarray:
    """Of the rows of an embedding's tables; those of systems know no stoichiometries, for which alone it counts."""
    return np.arange(MOST_ELEMENTS * len(elements), dtype=np.int16) if kind == "systems" else order_of(elements)


_NO_STOICHIOMETRIES = {"input.stoichiometry": np.zeros((1, 0)), "input.known": np.empty(0, np.int64)}
"""What files of embeddings do not have that were saved before these told stoichiometries apart."""


def to_tensors(member: Member, dtype: type) -> tuple[dict[str, np.ndarray], list[int | None]]:
    """Named tensors, weights (out, in) as is usual, and the source of each layer's shortcut."""
    tensors: dict[str, np.ndarray] = {}
    for number, (weight, bias, shortcut) in enumerate(zip(*member.layers, strict=True)):
        tensors[f"{number}.weight"] = np.ascontiguousarray(weight.T.astype(dtype))
        tensors[f"{number}.bias"] = bias.astype(dtype)
        if shortcut and shortcut.projection is not None:
            tensors[f"{number}.projection"] = np.ascontiguousarray(shortcut.projection.T.astype(dtype))
    if member.encoding.with_attributes:
        tensors |= {"input.mean": member.encoding.mean, "input.scale": member.encoding.scale}
    if member.encoding.tables:
        learned = member.encoding.tables._asdict()
        del learned["order"]  # which the elements tell
        for name, table in learned.items():
            tensors[f"input.{name}"] = table.astype(dtype) if table.dtype.kind == "f" else table
    return tensors, [shortcut and shortcut.source for shortcut in member.layers.shortcuts]


def from_tensors(
    tensors: Mapping[str, np.ndarray], sources: Sequence[int | None] | None, kind: Kind, elements: Sequence[int]
) -> Member:
    """The inverse of `to_tensors`; KeyError, TypeError or ValueError if the tensors do not make a network.

    elements : atomic numbers, of what has a row for each
    """
    numbers = range(sum(name.endswith(".weight") for name in tensors))
    sources = sources or [None] * len(numbers)
    jumps: list[Jump] = [None if (at := sources[i]) is None else (at, tensors.get(f"{i}.projection")) for i in numbers]
    layers = mlp.pack([(tensors[f"{i}.weight"], tensors[f"{i}.bias"]) for i in numbers], jumps)
    if kind == "fractions":
        return Member(Encoding(), layers)
    if kind not in get_args(Kind):
        raise ValueError(f"unknown inputs {kind!r}")
    tables = None
    if kind != "attributes":
        given = _NO_STOICHIOMETRIES | dict(tensors)
        learned = {name: given[f"input.{name}"] for name in embedding.Tables._fields if name != "order"}
        order = _order(kind, elements)
        if len(order) != len(learned["linear"]):
            raise ValueError(f"its card lists {len(elements)} elements, its tables have {len(learned['linear'])}")
        tables = embedding.checked(embedding.Tables(**learned, order=order))
        if kind == "systems":
            return Member(Encoding(kind, tables=tables), layers)
    mean, scale = tensors["input.mean"], tensors["input.scale"]
    width = len(WARD_FEATURE_NAMES)
    if not all(a.shape == (width,) and np.isfinite(a).all() for a in (mean, scale)) or not (scale > 0).all():
        raise ValueError(f"input.mean and input.scale must be {width} numbers each, and the latter above 0")
    known = tables.known if tables else np.empty(0, np.int64)
    return Member(Encoding(kind, mean, scale, known, tables), layers)
