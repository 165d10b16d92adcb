"""Plain, SRNet and IRNet at 17, 24 and 48 layers on the 145 attributes (Jha 2020, tables 4.2 and 4.4)."""

from dataclasses import replace
from typing import Any

import numpy as np

from bench.accuracy.common import job, learned, show
from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.dataset import load_clean
from matscreen.models.pictures import figure, save_figure
from matscreen.models.recipe import Recipe
from matscreen.models.split import Split, parts

THESIS = {
    "plain": (0.0653, 0.0719, 0.1085),
    "srnet": (0.0551, 0.0546, 0.0471),
    "irnet": (0.0411, 0.0403, 0.0382),
}
"""Table 4.2, eV/atom: 145 composition and 126 structure attributes, 9:1 of 435,582 entries."""

DEPTHS = (17, 24, 48)
RECIPE = Recipe(epochs=30, batch=256, weight_decay=0.1, anchors=0)


def main() -> None:
    run, given = job("depth", "rows", "epochs", "networks")
    data, _ = load_clean(run.data("oqmd_formation_energy.parquet"))
    chosen = parts(data, Split())
    if given.rows:
        order = np.random.default_rng(0).permutation(chosen["train"])
        chosen["train"] = np.sort(order[: int(given.rows)])
    true = data.energies[chosen["test"]]
    recipe = replace(RECIPE, epochs=run.epochs(int(given.epochs or RECIPE.epochs)))
    names = (given.networks or ",".join(f"{family}-{depth}" for family in THESIS for depth in DEPTHS)).split(",")
    rows: list[dict[str, Any]] = []
    for name in names:
        predicted = learned(run, f"{name}-{len(chosen['train'])}", name, data, chosen, recipe)
        family, _, depth = name.partition("-")
        rows.append(
            {
                "network": family,
                "layers": int(depth),
                "MAE": float(np.abs(predicted - true).mean()),
                "thesis MAE": THESIS[family][DEPTHS.index(int(depth))],
                "widths": " ".join(f"{width}×{layers}" for width, layers in ARCHITECTURES[name].stacks),
            }
        )
    show(f"{len(chosen['train']):,} training compounds, {recipe.epochs} epochs, {len(true):,} held out (eV/atom)", rows)
    drawn = figure(6, 4.2)
    axes = drawn.subplots()
    for number, family in enumerate(THESIS):
        own = [row for row in rows if row["network"] == family]
        axes.plot([r["layers"] for r in own], [r["MAE"] for r in own], f"C{number}o-", label=family)
        axes.plot(DEPTHS, THESIS[family], f"C{number}x:", label=f"{family}, thesis")
    axes.set(xlabel="layers", ylabel="mean error (eV/atom)", xticks=DEPTHS, ylim=(0, None))
    axes.legend(frameon=False)
    drawn.suptitle(f"Depth, learnt from {len(chosen['train']):,} compounds (thesis: table 4.2)")
    save_figure(drawn, run.results / "depth.png")
    run.publish(
        {"training compounds": len(chosen["train"]), "test compounds": len(true), "epochs": recipe.epochs, "rows": rows}
    )


if __name__ == "__main__":
    main()
