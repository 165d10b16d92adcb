"""What an embedding has learned of each element, and of each stoichiometry."""

from typing import NamedTuple

import numpy as np


class Tables(NamedTuple):
    """A row an element, and one a stoichiometry; see the package for what is done with them.

    Attributes
    ----------
    left, right : (E, P) float32: U and V
    linear : (E, L) float32: A
    bias : (L,) float32: a
    root : (E, R) float32: Q
    presence : (E, O) float32: O
    stoichiometry : (S + 1, W) float32: T; the last row is for all stoichiometries that are not known
    known : (S,) int64, rising: the keys (`stoichiometry_keys`) of those that are
    order : (E,) int16: place of each element by rising electronegativity, each place once
    """

    left: np.ndarray
    right: np.ndarray
    linear: np.ndarray
    bias: np.ndarray
    root: np.ndarray
    presence: np.ndarray
    stoichiometry: np.ndarray
    known: np.ndarray
    order: np.ndarray

    @property
    def width(self) -> int:
        """Length of the embedding."""
        return sum(t.shape[1] for t in (self.left, self.linear, self.root, self.presence, self.stoichiometry))


def checked(tables: Tables) -> Tables:
    """The tables in their dtypes, contiguous; ValueError if they do not fit each other or a number is not finite."""
    if tables.known.dtype.kind not in "iu":
        raise ValueError(f"known must be integers, not {tables.known.dtype}")
    whole = {"known": np.int64, "order": np.int16}
    given = Tables(*(np.ascontiguousarray(t, whole.get(name, np.float32)) for name, t in tables._asdict().items()))
    rows = len(given.linear)
    if given.left.shape != given.right.shape or given.bias.shape != given.linear.shape[1:]:
        raise ValueError("left and right, or linear and bias, do not fit each other")
    if given.known.ndim != 1 or not (np.diff(given.known, prepend=0) > 0).all():
        raise ValueError("known must be keys of stoichiometries, above 0 and rising")
    if given.order.shape != (rows,) or len(np.unique(given.order)) != rows:
        raise ValueError(f"order must give each of {rows} elements a place of its own")
    lengths = {"stoichiometry": len(given.known) + 1} | dict.fromkeys(
        ("left", "right", "linear", "root", "presence"), rows
    )
    for name, table in given._asdict().items():
        if not np.isfinite(table).all():
            raise ValueError(f"{name} has a number that is not finite")
        if name in lengths and (table.ndim != 2 or len(table) != lengths[name]):
            raise ValueError(f"{name} must have {lengths[name]} rows, not shape {table.shape}")
    return given


class Sums(NamedTuple):
    """The same rows as the CPU adds them up: those that one weight goes with lie beside each other.

    Attributes
    ----------
    near : (E, 2 P + L) float32: U, V and A, which fractions weigh
    start : (2 P + L,) float32: what their sum begins with
    root, presence : (E, H) float32: what roots of fractions weigh, and what is added of elements that are there
    stoichiometry : (S + 1, H) float32: what the sum of those two begins with
    known, order : as in `Tables`
    pairs : P
    """

    near: np.ndarray
    start: np.ndarray
    root: np.ndarray
    presence: np.ndarray
    stoichiometry: np.ndarray
    known: np.ndarray
    order: np.ndarray
    pairs: int


def sums(tables: Tables, root: np.ndarray, presence: np.ndarray, stoichiometry: np.ndarray) -> Sums:
    """`Sums` of tables, with these three, of one width, in the place of their own."""
    pairs = tables.left.shape[1]
    near = np.concatenate([tables.left, tables.right, tables.linear], axis=1)
    start = np.concatenate([np.zeros(2 * pairs, np.float32), tables.bias])
    return Sums(near, start, root, presence, stoichiometry, tables.known, tables.order, pairs)
