"""Learned embedding of a composition: sums over its few elements of rows of learned tables, and products of such sums.

With x the fractions of atoms of the elements present, the embedding is, side by side,

    (U x) ∘ (V x)      pairs: Σ_ab x_a x_b U_a ∘ V_b, every pair of elements weighted by how often they meet
    ReLU(A x + a)      what a first dense layer would give
    Q √x               the same for fractions of which little is there
    O [x > 0]          which elements are there at all
    T_s                which stoichiometry s it is

A stoichiometry is the formula unit without its elements, which are ordered by electronegativity: (1, 1, 1, 4) of
LiFePO4. A sum of fractions can hardly tell it, and structures, and with them energies, go by it.

A dense network (`kernels.mlp`) goes on from the embedding.
"""

import numpy as np

from matscreen.kernels.backend import Backend, on_gpu, resolve
from matscreen.kernels.embedding import cpu, reference
from matscreen.kernels.embedding.reference import MOST_ATOMS, rows
from matscreen.kernels.embedding.tables import Tables, checked
from matscreen.kernels.places import check_places

__all__ = ["MOST_ATOMS", "Tables", "checked", "embed", "rows", "stoichiometry_keys"]


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
    (N, W) float32 (float64 from the reference), W the widths of all five terms added up

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
        found: np.ndarray = back(gpu.embed(p, x, Tables(*learned)))
        return found
    return cpu.embed(places, fractions, tables)


def stoichiometry_keys(
    places: np.ndarray, fractions: np.ndarray, order: np.ndarray, backend: Backend = "auto"
) -> np.ndarray:
    """A number for each stoichiometry: its amounts as the digits, of base 256, the least electronegative's first.

    Parameters
    ----------
    places, fractions : as in `embed`; fractions may be off by less than 1e-6
    order : (E,) integer, place of each element by rising electronegativity

    Returns
    -------
    (N,) int64; 0 for more than eight elements, and for proportions of no formula unit of up to `MOST_ATOMS` atoms

    Raises
    ------
    ValueError
        As `embed`.

    >>> stoichiometry_keys(np.array([[7, 3]]), np.array([[0.6, 0.4]]), np.arange(9)) == 2 + 3 * 256
    array([ True])
    """
    check_places(places, fractions, len(order))
    run = resolve(backend, "embedding", gpu=True)
    if run == "reference":
        return reference.stoichiometry_keys(places, fractions, order)
    given = places.astype(np.int32), fractions.astype(np.float32), order.astype(np.int16)
    if run == "gpu":
        from matscreen.kernels.embedding import gpu

        tensors, back = on_gpu(*given)
        found: np.ndarray = back(gpu.stoichiometry_keys(*tensors))
        return found
    keys: np.ndarray = cpu.stoichiometry_keys(*given)
    return keys
