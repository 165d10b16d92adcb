"""Where a model errs, and whether it knows: by element, kind and side of the hull, and by its members' disagreement.

The compounds are those that its training held out.
"""

from typing import Any

import numpy as np

from bench.accuracy.common import job, show
from matscreen.kernels import hull
from matscreen.models import load
from matscreen.models.calibration import calibration
from matscreen.models.dataset import load_clean, sparse_rows
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.evaluation import kinds
from matscreen.models.pictures import figure, save_figure
from matscreen.models.split import parts, split_of

FEWEST = 30
"""Compounds of an element; a mean over fewer is not shown."""


def by_element(fractions: np.ndarray, error: np.ndarray) -> list[dict[str, Any]]:
    """Mean error of the compounds that hold an element, worst first."""
    rows = []
    for column, z in enumerate(ELEMNET_ELEMENTS):
        those = fractions[:, column] > 0
        if those.sum() >= FEWEST:
            mae = float(np.abs(error[those]).mean())
            rows.append({"element": SYMBOLS[z], "compounds": int(those.sum()), "MAE": mae})
    return sorted(rows, key=lambda row: -row["MAE"])


def main() -> None:
    run, given = job("calibration", "model")
    model = load(given.model or "pairnet-oqmd")
    data, _ = load_clean(run.data("oqmd_formation_energy.parquet"))
    chosen = parts(data, split_of(model.card))
    held_out = data.take(chosen["test"])
    outputs = model.outputs(*sparse_rows(held_out.fractions))[:, :, 0]
    predicted, several = outputs.mean(axis=0), len(outputs) > 1
    spread = outputs.std(axis=0, ddof=1) if several else None
    validated = model.outputs(*sparse_rows(data.fractions[chosen["validation"]]))[:, :, 0]
    told = calibration(data, chosen, {"test": outputs, "validation": validated})
    error = predicted - held_out.energies
    elements = by_element(held_out.fractions, error)
    groups = [
        {"compounds": name, "number": int(those.sum()), "MAE": float(np.abs(error[those]).mean())}
        for name, those in kinds(held_out.fractions).items()
    ]
    show(f"{model.name}: {len(error):,} held-out compounds (eV/atom)", groups)
    show("The worst elements", elements[:10])

    known = np.concatenate([chosen["train"], chosen["validation"]])
    index = hull.build_index(*sparse_rows(data.fractions[known]), data.energies[known].astype(np.float64))
    at_hull = hull.hull_energies(*sparse_rows(held_out.fractions), index)
    drawn = figure(14, 4.2)
    left, middle, right = drawn.subplots(1, 3)
    bins = np.linspace(-0.4, 0.4, 81)
    for name, those in (("below", held_out.energies < at_hull), ("above", held_out.energies >= at_hull)):
        left.hist(error[those], bins, density=True, histtype="step", label=f"truly {name} the hull ({those.sum():,})")
    left.axvline(0, color="0.6", lw=0.8)
    left.set(xlabel="predicted − DFT (eV/atom)", ylabel="density")
    left.legend(frameon=False, fontsize=8)
    said = predicted - at_hull
    edges = np.quantile(said, np.linspace(0, 1, 21))
    places = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, 19)
    middle.plot(
        [said[places == b].mean() for b in range(20)],
        [(held_out.energies < at_hull)[places == b].mean() for b in range(20)],
        "o-",
        ms=4,
    )
    middle.set(xlabel="predicted distance to the hull (eV/atom)", ylabel="share truly below it", ylim=(0, 1))
    if spread is not None:
        edges = np.quantile(spread, np.linspace(0, 1, 11))
        places = np.clip(np.searchsorted(edges, spread, side="right") - 1, 0, 9)
        x = [told["uncertainty"]["scale"] * spread[places == b].mean() for b in range(10)]
        y = [np.quantile(np.abs(error[places == b]), 0.6827) for b in range(10)]
        right.loglog(x, y, "o-", ms=4)
        right.plot(x, x, color="0.6", lw=0.8)
        for axis in (right.xaxis, right.yaxis):
            axis.set_minor_formatter("")
        right.set_xticks(ticks := (0.02, 0.05, 0.1), [str(tick) for tick in ticks])
        right.set_yticks(ticks, [str(tick) for tick in ticks])
        right.set(xlabel="predicted uncertainty (eV/atom)", ylabel="68% of the errors below (eV/atom)")
    drawn.suptitle(f"{model.name} on {len(error):,} compounds that it did not learn from")
    save_figure(drawn, run.results / f"calibration-{model.name}.png")
    figures = {"model": model.name, "calibration": told, "kinds": groups, "elements": elements}
    run.publish(figures, f"calibration-{model.name}")


if __name__ == "__main__":
    main()
