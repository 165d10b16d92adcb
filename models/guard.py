"""How far a model in low precision may stray from itself in float32: what guards the first pass of a scan on a GPU.

Whatever the first pass puts within this band of the threshold, or below it, is predicted again in float32, so that a
scan ends with the same candidates as one that never left float32.
"""

import json
import shlex
from typing import Any

import torch

from matscreen.kernels.backend import gpu_here
from matscreen.kernels.mlp import Precision
from matscreen.models.files import write_atomically
from matscreen.models.model import Model, ModelError

ENERGY_TOLERANCE = 1e-4
"""eV/atom between two orders of summation in float32, and to the float64 definition; rounding gives some 1e-6."""

KEY = "low_precision"


def guard_band(model: Model, precision: Precision) -> float:
    """eV/atom that the model's energies in `precision` may differ from those in float32, from its card.

    ModelError if that was never measured, is no number, or if it is of fp8 on another chip than this machine has.
    """
    if precision == "fp32":
        return ENERGY_TOLERANCE
    told = model.card.get(KEY)
    how = f"`matscreen guard {shlex.quote(str(model.source))} --precision {precision}` measures it"
    if not isinstance(told, dict) or precision not in told:
        raise ModelError(f"model {model.name} has no guard band for {precision}: {how}")
    figures = told[precision]
    if not isinstance(figures, dict) or not is_band(figures.get("guard_band_ev_atom")):
        card = model.source.with_suffix(".json")
        raise ModelError(f"{card} names no guard band for {precision} that can be used: {how}")
    if precision == "fp8" and gpu_here() == "cuda" and figures.get("measured_on") != torch.cuda.get_device_name():
        raise ModelError(f"the guard band of {model.name} for fp8 is of another chip, which sums in its own way: {how}")
    return float(figures["guard_band_ev_atom"])


def is_band(told: Any) -> bool:
    """Whether it is a number of eV/atom that can guard anything."""
    return isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < 100


def write_guard_bands(model: Model, told: dict[str, dict[str, Any]]) -> None:
    """Add what was measured, by precision, to the model's card, where it is no less than what the card knows.

    What was seen once may be seen again, however many compositions were looked at since. ModelError if the file of
    weights or its card was changed meanwhile.
    """
    path = model.source.with_suffix(".json")
    try:
        card = json.loads(path.read_text())
        same = card["weights_sha256"] == model.checksum
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        same = False
    if not same:
        raise ModelError(f"{path} is not the card of the model that was measured any more: measure again")
    before = card[KEY] if isinstance(card.get(KEY), dict) else {}
    for precision, figures in told.items():
        known = before.get(precision)
        known = known.get("guard_band_ev_atom") if isinstance(known, dict) else None
        if not is_band(known) or known <= figures["guard_band_ev_atom"]:
            before[precision] = figures
    text = json.dumps(card | {KEY: before}, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text))
