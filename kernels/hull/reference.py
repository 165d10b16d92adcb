"""The definition of the hull energy: the lowest of all simplices of phases that hold the composition."""

import itertools

import numpy as np

from matscreen.kernels.hull.index import HullIndex, index_all


def hull_energy(fractions: np.ndarray, phase_fractions: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """See the package. Some optimal mixture has at most k phases (Carathéodory), so trying every k of them is exact."""
    k = fractions.shape[1]
    points = np.concatenate([np.eye(k), phase_fractions])
    values = np.concatenate([np.zeros(k), energies])
    best = np.full(len(fractions), np.inf)
    combinations = itertools.combinations(range(len(points)), k)
    while block := list(itertools.islice(combinations, 20_000)):
        simplex = np.array(block)
        matrix = points[simplex].transpose(0, 2, 1)  # columns are the phases' fractions
        regular = np.abs(np.linalg.det(matrix)) > 1e-12
        if not regular.any():
            continue
        inverse = np.linalg.inv(matrix[regular])
        amounts = np.einsum("sij,nj->sni", inverse, fractions)
        mixture = np.einsum("sni,si->sn", amounts, values[simplex[regular]])
        rounding = np.abs(np.einsum("sji,sni->snj", matrix[regular], amounts) - fractions)  # large if nearly singular
        mixture[(amounts < -1e-10).any(axis=2) | (rounding > 1e-11).any(axis=2)] = np.inf
        best = np.minimum(best, mixture.min(axis=0))
    return best


def hull_energies(elements: np.ndarray, amounts: np.ndarray, index: HullIndex) -> np.ndarray:
    """See the package: gather the phases of each composition's system by looking at all of them."""
    phases = []
    for slot in np.flatnonzero(index.number):
        members = index.first[slot], index.first[slot] + index.number[slot]
        labels = [z for z in range(128) if int((index.low, index.high)[z // 64][slot]) >> (z % 64) & 1]
        phases.append((labels, members))
    result = np.empty(len(elements))
    for row, (labels, atoms) in enumerate(zip(elements, amounts.astype(np.float64), strict=True)):
        system = [int(z) for z in labels if z]
        fractions, energies = [], []
        for own, (first, last) in phases:
            if set(own) <= set(system):
                for p in range(first, last):
                    vector = np.zeros(len(system))
                    vector[[system.index(z) for z in own]] = index.fractions[p, : len(own)]
                    fractions.append(vector)
                    energies.append(index.energies[p])
        x = atoms[: len(system)] / atoms.sum()
        known = np.array(fractions).reshape(-1, len(system))
        result[row] = hull_energy(x[None], known, np.array(energies))[0]
    return result


def competing_energies(elements: np.ndarray, amounts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """Hull energy at each compound, from an index of all the others."""
    result = np.empty(len(elements))
    for row in range(len(elements)):
        others = np.arange(len(elements)) != row
        index = index_all(elements[others], amounts[others], energies[others])
        result[row] = hull_energies(elements[row : row + 1], amounts[row : row + 1], index)[0]
    return result
