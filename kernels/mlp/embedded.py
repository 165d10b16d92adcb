"""A network that goes on from an embedding, as the CPU wants it."""

from typing import NamedTuple

import numpy as np

from matscreen.kernels.embedding.tables import Sums, Tables, sums
from matscreen.kernels.mlp.layers import Layers


class Embedded(NamedTuple):
    """A dense network whose inputs are an embedding and, after it, others.

    Attributes
    ----------
    tables, layers : as learned
    absorbed : the same network with fewer products: root, presence and stoichiometry are rows of the first layer's
        outputs, those of stoichiometry with its bias in them, and its weights have none for those terms. None where a
        shortcut needs the whole embedding
    """

    tables: Tables
    layers: Layers
    absorbed: tuple[Sums, Layers] | None


def absorb(tables: Tables, layers: Layers) -> Embedded:
    """`Embedded` of an embedding and the layers after it.

    Three terms of the embedding, Q √x, O [x > 0] and T_s, are sums of rows that nothing happens to before the first
    layer multiplies them by its weights W. So the rows of Q W, O W and T W can be added up instead, as those of the
    fractions are in `forward`: for 192, 192 and 64 terms of a pair network that saves over a fifth of all products.

    ValueError if the tables are wider than the inputs of the layers.
    """
    weight = layers.weights[0]
    terms = (tables.left, tables.linear, tables.root, tables.presence, tables.stoichiometry)
    ends = np.cumsum([table.shape[1] for table in terms])
    if ends[-1] > len(weight):
        raise ValueError(f"an embedding of {ends[-1]} numbers does not fit {len(weight)} inputs")
    if any(shortcut and shortcut.source == 0 for shortcut in layers.shortcuts):
        return Embedded(tables, layers, None)
    _, _, *own, _ = np.split(weight.astype(np.float64), ends)
    root, presence, stoichiometry = (term @ w for term, w in zip(terms[2:], own, strict=True))
    stoichiometry += layers.biases[0]
    rows = sums(tables, *(term.astype(np.float32) for term in (root, presence, stoichiometry)))
    first = np.delete(weight, np.s_[ends[1] : ends[4]], axis=0)
    none = np.zeros_like(layers.biases[0])
    fewer = layers._replace(weights=(first, *layers.weights[1:]), biases=(none, *layers.biases[1:]))
    return Embedded(tables, layers, (rows, fewer))
