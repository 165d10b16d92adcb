"""Known answers: stable compounds hidden from the reference, their systems scanned; at what rank do they come back?

The hidden ones are compounds on the reference's hull that the model was not trained on (its test part of
`oqmd_formation_energy.parquet`). In order of the distance to the hull of known phases; the same with what charges
balance first; of the distance to the hull of known phases and all other predictions; of what speaks for them
(`engine.likelihood`); against a random order and charge balance alone.
"""

import argparse
from typing import Any

import numpy as np
import pyarrow as pa

from bench.harness import DATA, RESULTS, publish
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, screen
from matscreen.engine.likelihood import WEIGHTS, log_odds, terms
from matscreen.kernels.hull import decomposition_energies
from matscreen.models.dataset import load_clean
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import composition_arrays, format_formula, reduced
from matscreen.models.pictures import figure, save_figure
from matscreen.models.split import Split, parts

SOURCE = "oqmd_formation_energy.parquet"
HIDDEN = 200
PREDICTED = 2
"""Of the terms of `log_odds`; the others need no network."""

MOST_ATOMS = 10
THRESHOLDS = (0.0, 0.05, 0.1, 0.2, 0.3)
TOPS = (1, 2, 3, 5, 10, 20, 50, 100)
ORDERS = {
    "hull distance": "C0-",
    "the same, balanced charges first": "C2-",
    "likeliest first": "C3-",
    "likeliest first, predictions left out": "C3:",
    "distance to the hull of all predictions": "C4-",
    "charge balance alone": "C1--",
    "random": "k:",
}
EVERYTHING = -1000.0
"""eV/atom; a threshold that keeps every composition."""


def chosen(phases: PhaseTable, unseen: set[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Rows of compounds on the hull that the model never learnt from, of 2 to 4 elements and up to 10 atoms."""
    found = []
    on_hull = phases.table.take(pa.array(np.sort(phases.on_own_hull)))
    for row in on_hull.to_pylist():
        amounts = np.array(row["fractions"])
        whole = next((n for n in range(2, MOST_ATOMS + 1) if np.allclose(amounts * n, np.rint(amounts * n))), 0)
        small = whole and 2 <= len(row["elements"]) <= 4
        if small and row["formula"] in unseen and row["formation_energy_ev_atom"] < 0:
            found.append(row)
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return [found[i] for i in sorted(order.tolist())]


def without(phases: PhaseTable, hidden: set[str]) -> PhaseTable:
    """The reference with every entry of these formulas gone."""
    keep = [formula not in hidden for formula in phases.table["formula"].to_pylist()]
    return PhaseTable.from_table("oqmd-legacy with gaps", phases.table.filter(pa.array(keep)))


def unseen(part: str) -> set[str]:
    """Formulas of a part of `oqmd_formation_energy.parquet` that no member of the default model learnt from."""
    data, _ = load_clean(DATA / SOURCE)
    elements, amounts = composition_arrays([data.formulas[i] for i in parts(data, Split())[part]])
    return {format_formula(e, reduced(n)) for e, n in zip(elements.tolist(), amounts.tolist(), strict=True)}


def unknown(hidden: dict[str, Any], left: PhaseTable, model: models.Model) -> tuple[pa.Table, int]:
    """Candidates of the system of a hidden compound that `left` does not hold, all of them, and its row."""
    symbols = [SYMBOLS[z] for z in hidden["elements"]]
    space = CompositionSpace(symbols, range(2, len(symbols) + 1), MOST_ATOMS)
    table = pa.Table.from_batches([screen(space[:], model, left, EVERYTHING)])
    table = table.filter(pa.array(~np.isin(table["formula"].to_pylist(), left.table["formula"].to_pylist())))
    return table, table["formula"].to_pylist().index(hidden["formula"])


def _among_predictions(table: pa.Table, phases: PhaseTable, system: list[int]) -> np.ndarray:
    """Distance of each new composition to the hull of the known phases and of all other new ones."""
    known = [r for r in phases.table.to_pylist() if len(r["elements"]) > 1 and set(r["elements"]) <= set(system)]
    formulas = table["formula"].to_pylist() + [r["formula"] for r in known]
    predicted = table["formation_energy_ev_atom"].to_numpy().astype(np.float64)
    energies = np.concatenate([predicted, [r["formation_energy_ev_atom"] for r in known]])
    distances: np.ndarray = decomposition_energies(*composition_arrays(formulas), energies)[: len(table)]
    return distances


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recovery")
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=models.catalogue.DEFAULT)
    given = parser.parse_args()
    if not (DATA / SOURCE).is_file():
        print(f"recovery: not measured, {DATA / SOURCE} is not there (it says what the model has not seen)")
        return
    model, phases = models.load(given.model), PhaseTable.load()
    hidden = chosen(phases, unseen("test"), given.hidden, given.seed)
    names = {row["formula"] for row in hidden}
    left = without(phases, names)
    rng = np.random.default_rng(given.seed)
    ranks: dict[str, list[float]] = {name: [] for name in ORDERS}
    distances, sizes, hidden_balanced = [], [], 0
    odds_of_all, odds_of_hidden = [], []
    listed, balanced_in_all = dict.fromkeys(THRESHOLDS, 0), 0
    for number, row in enumerate(hidden, start=1):
        table, at = unknown(row, left, model)
        distance = table["hull_distance_ev_atom"].to_numpy()
        balanced = table["electronegativity_ordered"].to_numpy(zero_copy_only=False)
        among = _among_predictions(table, left, row["elements"])
        # A tie is worth its mean rank: balanced ones come in no order of their own.
        before, tied = (balanced & ~balanced[at]).sum(), (balanced == balanced[at]).sum()
        better, likely = distance < distance[at], log_odds(table)
        alone = terms(table)[:, PREDICTED:] @ list(WEIGHTS.values())[PREDICTED:]
        found_at = (
            1 + better.sum(),
            1 + before + (better & (balanced == balanced[at])).sum(),
            1 + (likely > likely[at]).sum(),
            (alone > alone[at]).sum() + ((alone == alone[at]).sum() + 1) / 2,
            1 + (among < among[at]).sum(),
            before + (tied + 1) / 2,
            rng.integers(1, len(table) + 1),
        )
        for name, rank in zip(ORDERS, found_at, strict=True):
            ranks[name].append(float(rank))
        distances.append(float(distance[at]))
        odds_of_all.append(likely)
        odds_of_hidden.append(float(likely[at]))
        sizes.append(len(table))
        hidden_balanced += int(balanced[at])
        balanced_in_all += int(balanced.sum())
        for threshold in THRESHOLDS:
            listed[threshold] += int((distance < -threshold).sum())
        if number % 20 == 0:
            print(f"{number} of {len(hidden)}", flush=True)
    within = {name: {str(n): float((np.array(found) <= n).mean()) for n in TOPS} for name, found in ranks.items()}
    recovered = {}
    likeliest = np.sort(np.concatenate(odds_of_all))[::-1]
    for threshold, number in listed.items():
        first = min(number, balanced_in_all) / balanced_in_all
        rest = (number - min(number, balanced_in_all)) / (sum(sizes) - balanced_in_all)
        recovered[str(threshold)] = {
            "compositions listed": number,
            "found": float((np.array(distances) < -threshold).mean()),
            "in one as long of the likeliest": float((np.array(odds_of_hidden) >= likeliest[number - 1]).mean()),
            "in a random list as long": number / sum(sizes),
            "in one as long by charge balance alone": first * hidden_balanced / len(hidden)
            + rest * (1 - hidden_balanced / len(hidden)),
        }
    drawn = figure(6, 4)
    axes = drawn.subplots()
    for name, style in ORDERS.items():
        ordered = np.sort(ranks[name])
        axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), style, where="post", label=name)
    axes.set(xscale="log", xlabel="rank among the unknown compositions of its system", ylabel="hidden compounds found")
    axes.set(ylim=(0, 1), xlim=(1, None))
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    drawn.suptitle(f"{len(hidden)} stable compounds hidden from the reference and from the model")
    save_figure(drawn, RESULTS / "recovery.png")
    publish(
        "recovery",
        {
            "model": model.name,
            "hidden": len(hidden),
            "hidden whose charges balance in order": hidden_balanced,
            "compositions a system, median": float(np.median(sizes)),
            "compositions in all": sum(sizes),
            "share found below the hull by so many eV/atom": recovered,
            "median rank": {name: float(np.median(found)) for name, found in ranks.items()},
            "share found within the first": within,
            "formulas": sorted(names),
        },
    )


if __name__ == "__main__":
    main()
