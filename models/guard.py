"""How far a model in low precision may stray from itself in float32: what guards the first pass of a scan on a GPU.

Whatever the first pass puts within this band of the threshold, or below it, is predicted again in float32, so that a
scan ends with the same candidates as one that never left float32.
"""

import json
from typing import Any

from matscreen.kernels.mlp import Precision
from matscreen.models.files import write_atomically
from matscreen.models.model import Model, ModelError

ENERGY_TOLERANCE = 1e-4
"""eV/atom between two orders of summation in float32, and to the float64 definition; rounding gives some 1e-6."""

KEY = "low_precision"


def guard_band(model: Model, precision: Precision) -> float:
    """eV/atom that the model's energies in `precision` may differ from those in float32, from its card.

    ModelError if that was never measured, or is no number.
    """
    if precision == "fp32":
        return ENERGY_TOLERANCE
    told = model.card.get(KEY)
    if not isinstance(told, dict) or precision not in told:
        raise ModelError(
            f"model {model.name} has no guard band for {precision}: `matscreen guard {model.source} --precision "
            f"{precision}` measures it"
        )
    band = told[precision].get("guard_band_ev_atom") if isinstance(told[precision], dict) else None
    if not isinstance(band, int | float) or isinstance(band, bool) or not 0 < band < 100:
        raise ModelError(f"{model.source.with_suffix('.json')} names no guard band for {precision} that can be used")
    return float(band)


def write_guard_bands(model: Model, told: dict[str, dict[str, Any]]) -> None:
    """Add what was measured, by precision, to the model's card."""
    path = model.source.with_suffix(".json")
    card = json.loads(path.read_text())
    text = json.dumps(card | {KEY: card.get(KEY, {}) | told}, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text))
