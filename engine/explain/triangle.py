"""Which way predicted stability improves, all over the mixtures of three compositions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from matscreen.engine.explain.pictures import triangle
from matscreen.engine.explain.stability import NEAR
from matscreen.engine.reference import PhaseTable
from matscreen.kernels import hull
from matscreen.models import Model, gradients
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays

CORNERS = 3
GRID = 20
"""Steps from one corner to another."""


class Triangle(NamedTuple):
    """Mixtures of three compositions.

    Attributes
    ----------
    shares : (N, 3) of the corners, by atoms
    distance : (N,) eV/atom from the hull
    slopes : (N, 3) eV/atom, of the distance towards each corner
    """

    shares: np.ndarray
    distance: np.ndarray
    slopes: np.ndarray


def explain_triangle(corners: Sequence[str], model: Model, phases: PhaseTable) -> Triangle:
    """Hull distances and their slopes over the mixtures of three formulas, all of no known stoichiometry.

    InputError if there are not three, if two are the same composition, or for what `explain` refuses.
    """
    if len(corners) != CORNERS:
        raise InputError(f"a triangle has {CORNERS} corners, such as Li2O,Fe2O3,P2O5, not {len(corners)}")
    elements, amounts = composition_arrays(corners)
    union = np.unique(elements[elements > 0])
    if len(union) > hull.MAX_ELEMENTS:
        raise InputError(f"{','.join(corners)}: more than {hull.MAX_ELEMENTS} elements")
    ends = np.zeros((CORNERS, len(union)))
    for end, own, atoms in zip(ends, elements, amounts, strict=True):
        end[np.searchsorted(union, own[own > 0])] = atoms[own > 0]
    ends /= ends.sum(axis=1, keepdims=True)
    if np.linalg.matrix_rank(ends[1:] - ends[0], tol=1e-6) < CORNERS - 1:
        raise InputError(f"{','.join(corners)} are the corners of no triangle: one is a mixture of the others")
    model = model.of_stoichiometry()
    shares = triangle(GRID)
    fractions = shares @ ends
    listed = np.repeat(union[None].astype(np.uint8), len(fractions), axis=0)
    energy = gradients.slopes(model, listed, fractions, model.target.energy or 0).mean(axis=0) @ ends.T
    here = hull.hull_energies(listed, fractions, phases.index)
    # Straight there: the hull may have an edge all along the triangle, and slopes towards elements leave it.
    towards = (fractions[:, None] + NEAR * (ends - fractions[:, None])).reshape(-1, len(union))
    there = hull.hull_energies(np.repeat(listed, CORNERS, axis=0), towards, phases.index).reshape(-1, CORNERS)
    return Triangle(shares, model.energies(listed, fractions) - here, energy - (there - here[:, None]) / NEAR)
