"""How far a model in low precision strays from itself in float32, over members of composition space."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from matscreen.engine.distill import sample
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.backend import Backend, gpu_here
from matscreen.kernels.mlp import Precision
from matscreen.models import Model
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.guard import ENERGY_TOLERANCE, is_band

SAMPLES = 2**20
MARGIN = 2.0
"""Times the largest difference that was seen."""

AT_ONCE = 2**14


def measure(
    model: Model,
    precisions: Sequence[Precision],
    samples: int = SAMPLES,
    report: Callable[[int], None] = lambda _: None,
) -> dict[str, dict[str, Any]]:
    """Guard bands by precision, for `models.guard.write_guard_bands`: of two to four elements in at most ten atoms.

    On a CUDA device, if there is one, else with the same roundings on the CPU, which knows nothing of fp8.

    Parameters
    ----------
    samples : compositions of the model's elements, each arity by the square root of how many there are
    report : called with how many are done

    Raises
    ------
    InputError
        A model of something else or whose energies are no numbers, fp8 without a device, no precision or fp32, which
        needs no band, or too few samples.
    """
    if model.target.energy is None:
        raise InputError(f"{model.name} predicts {model.target}, not formation energies")
    if samples < 1000:
        raise InputError(f"a guard band takes at least 1,000 compositions, not {samples}")
    if not precisions or "fp32" in precisions:
        raise InputError("guard bands are of some of tf32, bf16 and fp8")
    device = gpu_here() == "cuda"
    if "fp8" in precisions and not device:
        raise InputError("fp8 is summed as each chip sums it: its band is measured on a CUDA device with Triton")
    backend: Backend = "gpu" if device else "cpu"
    space, generator = CompositionSpace([SYMBOLS[z] for z in model.elements]), np.random.default_rng(0)
    found: dict[str, list[np.ndarray]] = {precision: [] for precision in precisions}
    for start in range(0, samples, AT_ONCE):
        elements, amounts = sample(space, min(AT_ONCE, samples - start), generator)
        exact = model.energies(elements, amounts)
        for precision in precisions:
            found[precision].append(np.abs(model.energies(elements, amounts, backend, precision) - exact))
        report(min(start + AT_ONCE, samples))
    told = {precision: _told(np.concatenate(parts), device) for precision, parts in found.items()}
    for name, figures in told.items():
        if not is_band(figures["guard_band_ev_atom"]):
            raise InputError(f"{model.name} predicts no energies in {name} that could be guarded")
    return told


def _told(differences: np.ndarray, device: bool) -> dict[str, Any]:
    largest = float(differences.max())
    return {
        "guard_band_ev_atom": max(float(np.ceil(MARGIN * largest * 1e4) / 1e4), ENERGY_TOLERANCE),
        "largest_difference_ev_atom": round(largest, 6),
        "quantile_0.99999_ev_atom": round(float(np.quantile(differences, 0.99999)), 6),
        "compositions": len(differences),
        "measured_on": torch.cuda.get_device_name() if device else "a CPU that rounds in the same places",
    }
