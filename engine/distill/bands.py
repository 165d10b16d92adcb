"""How far to trust a student.

Student and model predict random members of composition space. Each element has a band, and one for each number of
elements: how far at most the student put any composition with it, that the model puts below the hull, above the model,
times a margin. Had n of those been seen, the chance that the next one of the whole space lies further is 1/(n + 1); the
margin is for spaces that are unlike the whole. A composition's band is the least of its elements'. So the few
chemistries that are hard to guess, of sulphur, carbon and fluorine, say, do not make the bands of all others wide.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from matscreen.engine.distill.compositions import sample
from matscreen.engine.reference import PhaseTable
from matscreen.engine.space import CompositionSpace
from matscreen.kernels import hull
from matscreen.models import Model
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import JobError
from matscreen.models.systems import SystemModel

MARGIN = 2.0
"""Times the furthest that was measured."""

MARGIN_OF_QUATERNARIES = 1.5
"""The same, of four elements: most of what is measured, and nearly all that a narrower band spares the model. Not of a
student of systems: it errs far more often, and what it lets through costs little."""

ENOUGH = 1000
"""Compositions with an element, below the hull; of fewer no band is made."""

AT_ONCE = 2**17
"""Compositions that model and students all predict at a time."""


class _Errors:
    """Of one student, by number of elements."""

    def __init__(self, arities: Sequence[int]) -> None:
        self.squares = dict.fromkeys(arities, 0.0)
        self.furthest = np.zeros((max(arities) + 1, 256))
        self.above: dict[int, list[np.ndarray]] = {arity: [] for arity in arities}


def measure(
    model: Model,
    students: Sequence[Model | SystemModel],
    phases: PhaseTable,
    space: CompositionSpace,
    count: int,
    generator: np.random.Generator,
) -> list[dict[str, Any]]:
    """How far each student's energies lie from the model's, over `count` members, and its bands.

    JobError if none of them lies below the hull.
    """
    arities = [block.arity for block in space.blocks]
    below, seen = np.zeros((max(arities) + 1, 256), np.int64), dict.fromkeys(arities, 0)
    errors = [_Errors(arities) for _ in students]
    for start in range(0, count, AT_ONCE):
        elements, amounts = sample(space, min(AT_ONCE, count - start), generator)
        at_hull = hull.hull_energies(elements, amounts, phases.index)
        truth = model.energies(elements, amounts).astype(np.float64)
        apart = [student.energies(elements, amounts) - truth for student in students]
        sizes = np.count_nonzero(elements, axis=1)
        for arity in arities:
            mine = sizes == arity
            counted = mine & (truth < at_hull)
            seen[arity] += int(mine.sum())
            np.add.at(below[arity], elements[counted], 1)
            for own, error in zip(errors, apart, strict=True):
                own.squares[arity] += float((error[mine] ** 2).sum())
                own.above[arity].append(error[counted])
                np.maximum.at(own.furthest[arity], elements[counted], error[counted][:, None])
    if not below.any():
        raise JobError(f"{model.name} puts none of {count:,} compositions below the hull of {phases.name}")
    of_quaternaries = [MARGIN if isinstance(s, SystemModel) else MARGIN_OF_QUATERNARIES for s in students]
    return [_told(own, seen, below, margin) for own, margin in zip(errors, of_quaternaries, strict=True)]


def _told(errors: _Errors, seen: dict[int, int], below: np.ndarray, of_quaternaries: float) -> dict[str, Any]:
    found = {arity: np.concatenate(parts) for arity, parts in errors.above.items()}
    margins = {arity: of_quaternaries if arity == 4 else MARGIN for arity in found}
    return {
        "margin": margins,
        "bands_ev_atom": {
            arity: {
                SYMBOLS[z]: round(margins[arity] * errors.furthest[arity, z] + 1e-3, 3)
                for z in np.flatnonzero(below[arity] >= ENOUGH).tolist()
                if z
            }
            for arity in found
        },
        "calibrated_on": seen,
        "below_hull": {arity: len(one) for arity, one in found.items()},
        "furthest_above_ev_atom": {arity: round(float(one.max()), 3) for arity, one in found.items() if len(one)},
        "quantiles_0.9999_ev_atom": {
            arity: round(float(np.quantile(one, 0.9999)), 3) for arity, one in found.items() if len(one)
        },
        "rmse_ev_atom": {arity: round(math.sqrt(errors.squares[arity] / max(seen[arity], 1)), 5) for arity in found},
    }
