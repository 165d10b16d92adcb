"""What a model's errors mean for screening, measured on compounds that it did not learn from.

Each held-out compound is put against the hull of the compounds learnt from: where the model says "so far below", how
often is it so? And is the disagreement of an ensemble's members any measure of their error?
"""

from typing import Any

import numpy as np

from matscreen.kernels import hull
from matscreen.models.dataset import Dataset, sparse_rows

CALLED = (0.0, 0.1, 0.2)
"""eV/atom below the hull that a compound may be called."""

FEW = 20
"""Compounds; a share of fewer says nothing."""


def calibration(
    data: Dataset, chosen: dict[str, np.ndarray], predicted: np.ndarray, spread: np.ndarray | None
) -> dict[str, Any]:
    """Figures for a card, of formation energies `predicted` (N,) for the test rows, with `spread` (N,) of an ensemble.

    `below_hull` and `above_hull`: compounds by where they truly lie; errors in eV/atom. `called`: of the compounds that
    the model puts more than so far below the hull, the share that lies below it, and so far below it.
    `uncertainty`: with `scale` × spread as standard deviation, the share of errors within one and two of them, and the
    errors of the tenth of the compounds with the least and with the largest spread.
    """
    energy = data.target.energy
    assert energy is not None
    known = np.concatenate([chosen["train"], chosen["validation"]])
    index = hull.build_index(*sparse_rows(data.fractions[known]), data.values[known, energy].astype(np.float64))
    at_hull = hull.hull_energies(*sparse_rows(data.fractions[chosen["test"]]), index)
    true = data.values[chosen["test"], energy].astype(np.float64)
    error, lies, said = predicted - true, true - at_hull, predicted - at_hull
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
    if spread is not None:
        found["uncertainty"] = _reliability(np.abs(error), spread)
    return found


def _reliability(error: np.ndarray, spread: np.ndarray) -> dict[str, float]:
    spread = np.maximum(spread.astype(np.float64), 1e-9)
    scale = float(np.sqrt(((error / spread) ** 2).mean())) if len(error) < FEW else _robust_scale(error, spread)
    order = np.argsort(spread, kind="stable")
    tenth = max(len(order) // 10, 1)
    return {
        "scale": round(scale, 3),
        "within_one": _rounded(error < scale * spread),
        "within_two": _rounded(error < 2 * scale * spread),
        "rank_correlation": round(float(np.corrcoef(_ranks(error), _ranks(spread))[0, 1]), 3),
        "mae_of_the_surest_tenth_ev_atom": _rounded(error[order[:tenth]]),
        "mae_of_the_least_sure_tenth_ev_atom": _rounded(error[order[-tenth:]]),
    }


def _robust_scale(error: np.ndarray, spread: np.ndarray) -> float:
    """What makes 68.3% of the errors less than one standard deviation, as of a normal distribution."""
    return float(np.quantile(error / spread, 0.6827))


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


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
