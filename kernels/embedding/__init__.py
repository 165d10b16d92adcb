"""Learned embedding of a composition: sums over its few elements of rows of learned tables, and products of such sums.

With x the fractions of atoms of the elements present, the embedding is, side by side,

    (U x) ∘ (V x)      pairs: Σ_ab x_a x_b U_a ∘ V_b, every pair of elements weighted by how often they meet
    ReLU(A x + a)      what a first dense layer would give
    Q √x               the same for fractions of which little is there
    O [x > 0]          which elements are there at all

A dense network (`kernels.mlp`) goes on from it.
"""

import numpy as np

from matscreen.kernels.backend import Backend, on_gpu, resolve
from matscreen.kernels.embedding import cpu, reference
from matscreen.kernels.embedding.tables import Tables, checked
from matscreen.kernels.places import check_places

__all__ = ["Tables", "checked", "embed"]


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables, backend: Backend = "auto") -> np.ndarray:
    """Embedding of each composition.

    Parameters
    ----------
    places : (N, K) integer: row in the tables of each element of the composition, each at most once; any row
        where the fraction is 0
    fractions : (N, K) float: fraction of atoms of each, 0 in empty places
    tables : what was learned

    Returns
    -------
    (N, W) float32 (float64 from the reference), W the widths of pairs, linear, root and presence added up

    Raises
    ------
    ValueError
        Shapes that do not fit, or a place that is no row of the tables.
    """
    check_places(places, fractions, len(tables.linear))
    run = resolve(backend, "embedding", gpu=True)
    if run == "reference":
        return reference.embed(places, fractions, tables)
    if run == "gpu":
        from matscreen.kernels.embedding import gpu

        (p, x, *learned), back = on_gpu(places.astype(np.int32), fractions.astype(np.float32), *tables)
        found: np.ndarray = back(gpu.embed(p, x, tuple(learned)))
        return found
    return cpu.embed(places, fractions, tables)
