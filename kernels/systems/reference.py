"""The definitions: one composition after the other."""

import numpy as np


def by_system(
    elements: np.ndarray, amounts: np.ndarray, ratios: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the package."""
    rows = {tuple(amount for amount in ratio if amount): number for number, ratio in enumerate(ratios.tolist())}
    systems: list[list[int]] = []
    system, ratio = np.empty(len(elements), np.int64), np.empty(len(elements), np.int64)
    for n, (labels, atoms) in enumerate(zip(elements.tolist(), amounts.tolist(), strict=True)):
        there = sorted((order[label], label, amount) for label, amount in zip(labels, atoms, strict=True) if label)
        if n == 0 or labels != elements[n - 1].tolist():
            systems.append([label for _, label, _ in there] + [0] * (len(labels) - len(there)))
        system[n] = len(systems) - 1
        told = all((label > 0) == (amount > 0) for label, amount in zip(labels, atoms, strict=True))
        ratio[n] = rows.get(tuple(amount for _, _, amount in there), -1) if told else -1
    return np.array(systems, np.uint8).reshape(-1, elements.shape[1]), system, ratio


def least(elements: np.ndarray, values: np.ndarray) -> np.ndarray:
    """See the package."""
    own = [[label for label in labels if label] for labels in elements.tolist()]
    return np.array([min((values[len(labels), label] for label in labels), default=np.inf) for labels in own])
