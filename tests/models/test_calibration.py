"""Calibration on compounds whose distance to the hull is known by construction."""

import numpy as np
import pytest

from matscreen.models.calibration import calibration, expectation
from matscreen.models.dataset import Dataset, composition_arrays, fraction_matrix


def table(distances: np.ndarray) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Na-Cl compounds about a hull of NaCl alone at −2 eV/atom: a row of training, the others so far from the hull."""
    formulas = ["NaCl", "KBr"] + [f"Na{n}Cl{200 - n}" for n in range(1, len(distances) + 1)]
    fractions = fraction_matrix(*composition_arrays(formulas))
    sodium = np.arange(1, len(distances) + 1) / 200
    hull = -2.0 * np.minimum(sodium, 1 - sodium) / 0.5
    energies = np.concatenate([[-2.0, -1.0], hull + distances]).astype(np.float32)
    rows = np.arange(len(formulas))
    return Dataset(formulas, fractions, energies[:, None]), {
        "train": rows[:1],
        "validation": rows[1:2],
        "test": rows[2:],
    }


def test_what_is_called_below_the_hull() -> None:
    distances = np.repeat([-0.5, -0.1, 0.3], [40, 30, 25])
    data, chosen = table(distances)
    shift = np.concatenate([np.zeros(40), np.full(30, -0.2), np.full(25, -0.4)]).astype(np.float32)
    told = calibration(
        data, chosen, {"test": (data.energies[2:] + shift)[None], "validation": data.energies[1:2][None]}
    )
    assert told["below_hull"]["compounds"] == 70
    assert told["above_hull"]["compounds"] == 25
    assert told["above_hull"]["mean_error_ev_atom"] == pytest.approx(-0.4, abs=1e-5)
    assert told["called"]["0"] == {
        "compounds": 95,
        "below_hull": pytest.approx(70 / 95, abs=1e-5),
        "so_far_below": pytest.approx(70 / 95, abs=1e-5),
    }
    assert told["called"]["0.2"]["compounds"] == 70
    assert told["called"]["0.2"]["below_hull"] == 1
    assert told["called"]["0.2"]["so_far_below"] == pytest.approx(40 / 70, abs=1e-5)
    sentence = expectation({"name": "m", "calibration": told}, 0.25)
    assert sentence
    assert (
        "Of 70 held-out compounds that m put more than 0.2 eV/atom below the hull, 100% lie below it and 57%"
        in sentence
    )
    assert expectation({"name": "m"}, 0.2) is None
    assert expectation({"name": "m", "calibration": told}, -0.5) is None


def test_uncertainty_that_is_right_and_one_that_is_not(rng: np.random.Generator) -> None:
    data, _ = table(rng.normal(0, 0.1, 199))
    data = data.take(np.concatenate([[0, 1], np.resize(np.arange(2, 201), 9000)]))
    rows = np.arange(len(data))
    chosen = {"train": rows[:2], "validation": rows[2:4002], "test": rows[4002:]}

    def members(spread: np.ndarray, error: np.ndarray) -> dict[str, np.ndarray]:
        """Two networks that differ by the spread about predictions with these errors."""
        both = data.energies[2:] + error + np.array([[1.0], [-1.0]]) * spread / np.sqrt(2)
        return {"validation": both[:, :4000], "test": both[:, 4000:]}

    spread = rng.uniform(0.02, 0.2, 9000)
    told = calibration(data, chosen, members(spread, 3 * spread * rng.normal(size=9000)))["uncertainty"]
    assert told["scale"] == pytest.approx(3, rel=0.05)
    assert told["within_one"] == pytest.approx(0.683, abs=0.02)
    assert told["within_two"] == pytest.approx(0.954, abs=0.02)
    assert told["mae_of_the_surest_tenth_ev_atom"] < 0.3 * told["mae_of_the_least_sure_tenth_ev_atom"]
    blind = calibration(data, chosen, members(spread, rng.normal(0, 0.1, 9000)))["uncertainty"]
    surest, least = (blind[f"mae_of_the_{name}_tenth_ev_atom"] for name in ("surest", "least_sure"))
    assert surest == pytest.approx(least, rel=0.2)
    drifted = members(spread, 3 * spread * rng.normal(size=9000))
    drifted["test"] = drifted["test"] + 0.5
    assert calibration(data, chosen, drifted)["uncertainty"]["within_one"] < 0.5  # of the test, not of what was fitted
