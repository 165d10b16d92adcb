"""An explanation as plain data, for programs and pages."""

import math
from typing import Any

import numpy as np

from matscreen.engine.explain.stability import Explanation, Way


def _alone(way: Way) -> bool:
    """Whether it is of a single network, and an improvement for all that one knows."""
    return bool(np.isnan(way.uncertainty).any() and way.change[way.best] < 0)


def worth_telling(one: Explanation) -> list[Way]:
    """Ways to other elements that improve it beyond the uncertainty, or at all where that is unknown."""
    return [way for way in one.foreign if way.stretch or _alone(way)]


def document(one: Explanation, top: int) -> dict[str, Any]:
    """What was found, the best `top` ways to other elements among it; eV/atom throughout, null where unknown."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 6)

    def told(way: Way) -> dict[str, Any]:
        best, stretch = way.best, way.stretch
        return {
            "direction": way.direction,
            "fraction_of_atoms": number(way.moved[best]),
            "formula": way.formula(best, one.atoms),
            "change_ev_atom": number(way.change[best]),
            "uncertainty_ev_atom": number(way.uncertainty[best]),
            "beyond_uncertainty_between": None if stretch is None else list(stretch),
        }

    return {
        "formula": one.formula,
        "formation_energy_ev_atom": number(one.energy),
        "uncertainty_ev_atom": number(one.uncertainty),
        "hull_energy_ev_atom": number(one.hull),
        "jump_ev_atom": number(one.jump),
        "stoichiometry_ev_atom": number(one.stoichiometry),
        "hull_has_an_edge": one.edge,
        "slopes": [
            {
                "element": slope.element,
                "fraction": number(slope.fraction),
                "formation_energy_slope_ev_atom": number(slope.energy),
                "uncertainty_ev_atom": number(slope.uncertainty),
                "hull_energy_slope_ev_atom": number(slope.hull),
                "hull_distance_slope_ev_atom": number(slope.distance),
            }
            for slope in one.slopes
        ],
        "within": told(one.within) if one.within else None,
        "with_another": [told(way) for way in worth_telling(one)[:top]],
    }
