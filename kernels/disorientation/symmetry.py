"""Rotations that leave a crystal as it is: the proper point groups of the eleven Laue classes."""

import itertools
from typing import Any

import numpy as np

_HALF, _ROOT = 0.5, np.sqrt(0.5)
_TWO_Z, _TWO_X = (0.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 0.0)
_THREE_Z, _FOUR_Z, _SIX_Z = ((np.cos(a), 0.0, 0.0, np.sin(a)) for a in (np.pi / 3, np.pi / 4, np.pi / 6))
_THREE_111 = (_HALF, _HALF, _HALF, _HALF)

_GENERATORS = {
    "1": (),
    "2": (_TWO_Z,),
    "222": (_TWO_Z, _TWO_X),
    "4": (_FOUR_Z,),
    "422": (_FOUR_Z, _TWO_X),
    "3": (_THREE_Z,),
    "32": (_THREE_Z, _TWO_X),
    "6": (_SIX_Z,),
    "622": (_SIX_Z, _TWO_X),
    "23": (_TWO_Z, _THREE_111),
    "432": (_FOUR_Z, _THREE_111),
}


def components(a: Any, b: Any) -> tuple[Any, Any, Any, Any]:
    """Those of the quaternion product a b, of the four of each: numbers, arrays or tensors."""
    (w, x, y, z), (s, i, j, k) = a, b
    return (
        w * s - x * i - y * j - z * k,
        w * i + x * s + y * k - z * j,
        w * j - x * k + y * s + z * i,
        w * k + x * j - y * i + z * s,
    )


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quaternion product, (…, 4) of (…, 4) and (…, 4), as (w, x, y, z): the rotation b, then a."""
    return np.stack(components(np.moveaxis(np.asarray(a), -1, 0), np.moveaxis(np.asarray(b), -1, 0)), axis=-1)


def conjugate(q: np.ndarray) -> np.ndarray:
    """Of quaternions (…, 4); the inverse rotation of unit ones."""
    turned: np.ndarray = np.asarray(q) * np.array([1, -1, -1, -1], np.asarray(q).dtype)
    return turned


def distinct(quaternions: np.ndarray) -> np.ndarray:
    """(M, 4) of the different rotations among unit quaternions (N, 4), in the order in which they first come.

    q and −q are the same rotation.
    """
    found: list[np.ndarray] = []
    for q in quaternions:
        if not any(abs(q @ other) > 1 - 1e-9 for other in found):
            found.append(q)
    return np.array(found)


def _group(generators: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """(n, 4) unit quaternions: all products of the generators, the identity first; the first that is not 0 is > 0."""
    group = np.array([[1.0, 0, 0, 0]])
    while True:
        products = [multiply(a, b) for a, b in itertools.product(group, np.array(generators).reshape(-1, 4))]
        larger = distinct(np.concatenate([group, np.array(products).reshape(-1, 4)]))
        if len(larger) == len(group):
            first = np.argmax(np.abs(group) > 1e-9, axis=1)
            group = group * np.sign(group[np.arange(len(group)), first])[:, None]
            group[np.abs(group) < 1e-12] = 0
            return np.asarray(group / np.linalg.norm(group, axis=1, keepdims=True))
        group = larger


SYMMETRY: dict[str, np.ndarray] = {name: _group(generators) for name, generators in _GENERATORS.items()}
"""Name of the group → its rotations, (n, 4) float64 unit quaternions (w, x, y, z), the identity first.

Axes as in orix: the axis of order 2, 3, 4 or 6 along z, of those with twofold ones beside it one along x; cubic axes
along x, y, z.
"""
for _rotations in SYMMETRY.values():
    _rotations.setflags(write=False)


def checked_groups(symmetry: str, symmetry2: str | None) -> tuple[str, str]:
    """Both names, the second the first's where it is None; ValueError for one that there is not."""
    groups = (symmetry, symmetry if symmetry2 is None else symmetry2)
    for group in groups:
        if group not in SYMMETRY:
            raise ValueError(f"unknown symmetry {group!r}: expected one of {' '.join(SYMMETRY)}")
    return groups


def between(symmetry: str, symmetry2: str) -> np.ndarray:
    """(M, 4): the distinct O_i⁻¹ O_j, of which the one nearest to q1 q2⁻¹ tells the disorientation.

    The real part of O_i d O_j⁻¹ does not change when its factors are turned round in a circle, so that of the n · m
    pairs of operations only these count; of twice the same group they are the group itself.
    """
    first, second = SYMMETRY[symmetry], SYMMETRY[symmetry2]
    if symmetry == symmetry2:
        return first
    return distinct(multiply(conjugate(first)[:, None], second[None]).reshape(-1, 4))
