"""What the attributes are computed from: a few numbers an element, made by build_tables.py."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

COLUMNS = np.array([z for z in range(1, 95) if z not in (2, 10, 18, 84, 85, 86, 87, 88)], np.uint8)
"""Atomic numbers of the 86 columns of element fractions (Jha 2020, chapter 3)."""

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")

NORMS = (0, 2, 3, 5, 7, 10)


class Tables(NamedTuple):
    """Properties by atomic number 1…118; row 0 is no element.

    Attributes
    ----------
    properties : (119, 22) float64, in Magpie's units
    electronegativity : (119,) float64, Pauling
    first, states : (120,) int64, (S,) int8: oxidation states of element z are states[first[z] : first[z + 1]]
    """

    properties: np.ndarray
    electronegativity: np.ndarray
    first: np.ndarray
    states: np.ndarray


with np.load(Path(__file__).with_name("elements.npz"), allow_pickle=False) as _file:
    PROPERTIES: tuple[str, ...] = tuple(_file["names"].tolist())
    TABLES = Tables(*(_file[name] for name in ("properties", "electronegativity", "first_state", "states")))

WARD_FEATURE_NAMES: tuple[str, ...] = (
    *(f"{p}-norm" for p in NORMS),
    *(f"MagpieData {statistic} {name}" for name in PROPERTIES for statistic in STATISTICS),
    *(f"avg {orbital} valence electrons" for orbital in "spdf"),
    "compound possible",
    "max ionic char",
    "avg ionic char",
)
"""The 145 attributes in order, named as matminer names them."""

VALENCE = tuple(PROPERTIES.index(f"N{orbital}Valence") for orbital in "spdf")
