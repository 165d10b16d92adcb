"""What an embedding has learned of each element."""

from typing import NamedTuple

import numpy as np


class Tables(NamedTuple):
    """A row an element; see the package for what is done with them.

    Attributes
    ----------
    left, right : (E, P) float32: U and V
    linear : (E, L) float32: A
    bias : (L,) float32: a
    root : (E, R) float32: Q
    presence : (E, O) float32: O
    """

    left: np.ndarray
    right: np.ndarray
    linear: np.ndarray
    bias: np.ndarray
    root: np.ndarray
    presence: np.ndarray

    @property
    def width(self) -> int:
        """Length of the embedding."""
        return sum(table.shape[1] for table in (self.left, self.linear, self.root, self.presence))


def checked(tables: Tables) -> Tables:
    """The tables in float32, contiguous; ValueError if they do not fit each other or a number is not finite."""
    given = Tables(*(np.ascontiguousarray(table, np.float32) for table in tables))
    rows = len(given.linear)
    if given.left.shape != given.right.shape or given.bias.shape != given.linear.shape[1:]:
        raise ValueError("left and right, or linear and bias, do not fit each other")
    for name, table in given._asdict().items():
        if not np.isfinite(table).all():
            raise ValueError(f"{name} has a number that is not finite")
        if name != "bias" and (table.ndim != 2 or len(table) != rows):
            raise ValueError(f"{name} must have {rows} rows, not shape {table.shape}")
    return given
