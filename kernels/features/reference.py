"""The 145 composition attributes of Ward et al., one composition at a time."""

import itertools

import numpy as np

from matscreen.kernels.features.tables import NORMS, TABLES, VALENCE

MOST_ATOMS = 1000
"""Largest formula unit that is looked for in fractions."""

WHOLE = 1e-4
"""How far from an integer an amount may be: less than 1 / MOST_ATOMS, more than float32 fractions are off."""


def formula_unit(fractions: np.ndarray) -> np.ndarray | None:
    """Smallest whole amounts (k,) in these proportions, at most `MOST_ATOMS` atoms in all; None if there are none."""
    for atoms in range(1, MOST_ATOMS + 1):
        amounts: np.ndarray = np.rint(fractions * atoms).astype(int)
        if (np.abs(fractions * atoms - amounts) < WHOLE).all():
            return amounts
    return None


def compound_possible(elements: np.ndarray, fractions: np.ndarray) -> bool:
    """Whether every atom of the formula unit can take an oxidation state of its element so that they sum to zero."""
    if len(elements) == 1:
        return True
    states = [TABLES.states[TABLES.first[z] : TABLES.first[z + 1]].tolist() for z in elements]
    if not all(states):
        return False
    amounts = formula_unit(fractions)
    if amounts is None:  # proportions of no small unit: any mixture of valences can be had
        low, high = (sum(f * pick(s) for f, s in zip(fractions, states, strict=True)) for pick in (min, max))
        return bool(low <= 0 <= high)
    sums = {0}
    for own, amount in zip(states, amounts, strict=True):
        for _ in range(amount):
            sums = {total + state for total in sums for state in own}
    return 0 in sums


def attributes(elements: np.ndarray, fractions: np.ndarray) -> list[float]:
    """The 145 attributes of one composition; elements (k,) atomic numbers, fractions (k,) of atoms, all above 0."""
    result: list[float] = [float(len(elements))]
    result += [float((fractions**p).sum() ** (1 / p)) for p in NORMS[1:]]

    values = TABLES.properties[elements]  # (k, 22)
    low, high, mean = values.min(axis=0), values.max(axis=0), fractions @ values
    most = np.isclose(fractions, fractions.max(), rtol=1e-5, atol=0)
    statistics = [low, high, high - low, mean, fractions @ np.abs(values - mean), values[most].min(axis=0)]
    result += np.transpose(statistics).reshape(-1).tolist()
    result += mean[list(VALENCE)].tolist()

    electronegativity = TABLES.electronegativity[elements]
    pairs = list(itertools.combinations(range(len(elements)), 2))
    ionic = [1 - np.exp(-0.25 * (electronegativity[i] - electronegativity[j]) ** 2) for i, j in pairs]
    average = sum(fractions[i] * fractions[j] * c for (i, j), c in zip(pairs, ionic, strict=True))
    return [*result, float(compound_possible(elements, fractions)), max(ionic, default=0.0), float(average)]


def composition_features(elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """See the package."""
    rows = []
    for own, counts in zip(elements, amounts.astype(np.float64), strict=True):
        present = own > 0
        rows.append(attributes(own[present], counts[present] / counts[present].sum()))
    return np.array(rows, np.float64).reshape(len(elements), 145)


def standardised(features: np.ndarray, mean: np.ndarray, scale: np.ndarray, largest: float) -> np.ndarray:
    """See the package."""
    standard: np.ndarray = ((features - mean) / scale).clip(-largest, largest)
    return standard
