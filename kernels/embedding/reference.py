"""The definition: dense products in float64."""

import numpy as np

from matscreen.kernels.embedding.tables import Tables
from matscreen.kernels.features.reference import formula_unit

MOST_ATOMS = 100
"""Of a formula unit that counts as one. Slopes are differences over a millionth of the atoms, and must not leave it."""

MOST_ELEMENTS = 8
"""Digits of a key."""


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables) -> np.ndarray:
    """See the package; (N, W) float64."""
    left, right, linear, bias, root, presence, stoichiometry = (table.astype(np.float64) for table in tables[:7])
    x = np.zeros((len(places), len(linear)))
    np.add.at(x, (np.arange(len(places))[:, None], places), fractions)
    row = rows(stoichiometry_keys(places, fractions, tables.order), tables.known)
    return np.concatenate(
        [
            (x @ left) * (x @ right),
            np.maximum(x @ linear + bias, 0),
            np.sqrt(x) @ root,
            (x > 0) @ presence,
            stoichiometry[row],
        ],
        axis=1,
    )


def stoichiometry_keys(places: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """See the package."""
    pairs = zip(places, fractions.astype(np.float64), strict=True)
    return np.array([_key(order[p[x > 0]], x[x > 0]) for p, x in pairs], np.int64)


def _key(order: np.ndarray, fractions: np.ndarray) -> int:
    """Of one composition: places by electronegativity and fractions (k,) of its elements."""
    amounts = formula_unit(fractions)
    if amounts is None or amounts.min() == 0 or amounts.sum() > MOST_ATOMS or len(order) > MOST_ELEMENTS:
        return 0
    return sum(n * 256**digit for digit, n in enumerate(amounts[np.argsort(order)].tolist()))


def rows(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(N,) int64: where each key (N,) stands among those that are known (S,), which rise; S if it does not."""
    if not len(known):
        return np.zeros(len(keys), np.int64)
    at = np.searchsorted(known, keys)
    found: np.ndarray = np.where(known[np.minimum(at, len(known) - 1)] == keys, at, len(known))
    return found
