"""What a model's errors mean for screening, measured on compounds that it did not learn from.

Each held-out compound is put against the hull of the compounds learnt from: where the model says "so far below", how
often is it so? And is the disagreement of an ensemble's members any measure of their error?
"""

from typing import Any

import numpy as np

from matscreen.kernels import hull
from matscreen.models.dataset import Dataset
from matscreen.models.decomposition import few_enough, known_energies

CALLED = (0.0, 0.1, 0.2)
"""eV/atom below the hull that a compound may be called."""

FEW = 20
"""Compounds; a share of fewer says nothing."""


def calibration(data: Dataset, chosen: dict[str, np.ndarray], predicted: dict[str, np.ndarray]) -> dict[str, Any]:
    """Figures for a card, of formation energies that members predict for the test and validation parts, (M, N) each.

    `below_hull` and `above_hull`: compounds by where they truly lie; errors in eV/atom. `called`: of the compounds that
    the model puts more than so far below the hull, the share that lies below it, and so far below it.
    `uncertainty`, of several members: `scale` × their standard deviation has 68% of the errors of the validation part
    below it; then the share of the test errors below it and below twice it, and the errors of the tenth of the test
    compounds with the least and with the largest spread.
    """
    energy = data.target.energy
    assert energy is not None
    known = few_enough(data, np.concatenate([chosen["train"], chosen["validation"]]))
    index = hull.build_index(*known_energies(data, known))
    solvable = np.isin(chosen["test"], few_enough(data, chosen["test"]))
    test = chosen["test"][solvable]
    elements, amounts, true = known_energies(data, test)
    at_hull = hull.hull_energies(elements, amounts, index)
    errors = {part: values.mean(axis=0) - data.values[chosen[part], energy] for part, values in predicted.items()}
    error = errors["test"][solvable].astype(np.float64)
    lies, said = true - at_hull, true + error - at_hull
    found: dict[str, Any] = {
        name: {
            "compounds": int(those.sum()),
            "mae_ev_atom": _rounded(np.abs(error[those])),
            "mean_error_ev_atom": _rounded(error[those]),
        }
        for name, those in (("below_hull", lies < 0), ("above_hull", lies >= 0))
        if those.any()
    }
    found["called"] = {
        f"{threshold:g}": {
            "compounds": int((said < -threshold).sum()),
            "below_hull": _rounded(lies[said < -threshold] < 0),
            "so_far_below": _rounded(lies[said < -threshold] < -threshold),
        }
        for threshold in CALLED
        if (said < -threshold).sum() >= FEW
    }
    if len(predicted["test"]) > 1:
        spread = {part: np.maximum(values.std(axis=0, ddof=1), 1e-9) for part, values in predicted.items()}
        scale = float(np.quantile(np.abs(errors["validation"]) / spread["validation"], 0.6827))
        found["uncertainty"] = _reliability(np.abs(errors["test"]), scale, spread["test"])
    return found


def _reliability(error: np.ndarray, scale: float, spread: np.ndarray) -> dict[str, float]:
    order = np.argsort(spread, kind="stable")
    tenth = max(len(order) // 10, 1)
    return {
        "scale": round(scale, 3),
        "within_one": _rounded(error < scale * spread),
        "within_two": _rounded(error < 2 * scale * spread),
        "mae_of_the_surest_tenth_ev_atom": _rounded(error[order[:tenth]]),
        "mae_of_the_least_sure_tenth_ev_atom": _rounded(error[order[-tenth:]]),
    }


def _rounded(values: np.ndarray) -> float:
    return round(float(values.mean()), 5)


def expectation(card: dict[str, Any], threshold: float) -> str | None:
    """What to expect of candidates this far below the hull, in a sentence; None if the card does not tell."""
    called = card.get("calibration", {}).get("called", {})
    nearest = max((c for c in called if float(c) <= threshold + 1e-9), key=float, default=None)
    if nearest is None:
        return None
    told = called[nearest]
    return (
        f"Of {told['compounds']:,} held-out compounds that {card['name']} put more than {float(nearest):g} eV/atom "
        f"below the hull, {told['below_hull']:.0%} lie below it and {told['so_far_below']:.0%} so far. Those were "
        "compounds that somebody thought worth computing; of arbitrary compositions expect fewer."
    )
