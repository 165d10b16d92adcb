"""How the attributes change with the fractions of the elements that are there."""

import numpy as np

from matscreen.kernels.features.tables import NORMS, PROPERTIES, STATISTICS, TABLES, VALENCE, WARD_FEATURE_NAMES


def attribute_slopes(elements: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Derivatives of the 145 attributes with respect to fractions of atoms, of all of them as if by themselves.

    Only norms, means, mean absolute deviations, valence averages and the mean ionic character change with fractions;
    the rest depends on which elements there are, and on ties. What means something are differences between elements.

    Parameters
    ----------
    elements : (N, K) uint8, atomic numbers, 0 in empty places
    fractions : (N, K) float64, each row sums to 1; 0 in empty places

    Returns
    -------
    (N, K, 145) float64, in the order of `WARD_FEATURE_NAMES`; 0 in empty places
    """
    there = elements > 0
    slopes = np.zeros((*elements.shape, len(WARD_FEATURE_NAMES)))
    for at, p in enumerate(NORMS):
        if p:
            total = (fractions**p).sum(axis=1, keepdims=True)
            slopes[:, :, at] = total ** (1 / p - 1) * fractions ** (p - 1)
    values = np.where(there[:, :, None], TABLES.properties[elements], 0)  # row 0 is of no element
    mean = np.einsum("nk,nkp->np", fractions, values)[:, None]
    pull = np.einsum("nk,nkp->np", fractions, np.sign(mean - values))[:, None]
    changes = {"mean": values, "avg_dev": np.abs(values - mean) + pull * values}
    first = len(NORMS)
    for statistic, change in changes.items():
        slopes[
            :, :, first + STATISTICS.index(statistic) : first + values.shape[2] * len(STATISTICS) : len(STATISTICS)
        ] = change
    first += len(PROPERTIES) * len(STATISTICS)
    slopes[:, :, first : first + len(VALENCE)] = values[:, :, list(VALENCE)]
    own = np.where(there, TABLES.electronegativity[elements], 0)
    ionic = 1 - np.exp(-0.25 * (own[:, :, None] - own[:, None, :]) ** 2)
    slopes[:, :, -1] = np.einsum("nj,nkj->nk", fractions, ionic)
    slopes[~there] = 0
    return slopes
