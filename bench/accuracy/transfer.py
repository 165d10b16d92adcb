"""Transfer learning (Jha 2020, chapter 5): from OQMD to measured energies, JARVIS and Materials Project.

Tables 5.2 and 5.3: scratch, the OQMD model as it is, and fine-tuned from it, on folds. Fig. 5.3: the measured energies
again with 10 to 100% of the training part. As there, JARVIS and Materials Project are their compounds on the hull.
Unlike there, compounds that OQMD has too are left out: the source has learnt their energies.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.accuracy.common import Job, job, learned, show
from matscreen.models import Model, load
from matscreen.models.dataset import Dataset, load_clean, sparse_rows
from matscreen.models.fit import write_table
from matscreen.models.pictures import figure, save_figure
from matscreen.models.recipe import Recipe
from matscreen.models.split import Split, parts

TARGETS = {
    "experimental": ("experimental_formation_energy.parquet", None),
    "JARVIS, stable": ("jarvis_formation_energy.parquet", "e_hull_ev_atom"),
    "Materials Project, stable": ("mp_formation_energy.parquet", "decomposition_energy_ev_atom"),
}
"""File, and the column that is at most 0 for what is on the hull."""

THESIS = {
    "experimental": (1963, 0.1299, 0.1354, 0.0642),
    "JARVIS, stable": (11_050, 0.0546, 0.0821, 0.0311),
    "Materials Project, stable": (23_641, 0.0326, 0.1084, 0.0248),
}
"""Table 5.2: compounds, scratch, source as it is, transfer; ten folds."""

SOURCE_DATA = "oqmd_formation_energy.parquet"
FOLDS = 10
"""Parts that the compounds are dealt to; `--folds` of them are held out in turn."""
SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
SCRATCH = Recipe(epochs=50, anchors=0)
FINE_TUNED = Recipe(epochs=20, learning_rate=2e-4, anchors=0)


def table_of(run: Job, name: str) -> Dataset:
    """The compounds of a target that are not among those that the source learnt from."""
    file, on_hull = TARGETS[name]
    path = run.data(file)
    if on_hull:
        rows = pq.read_table(path)
        stable = run.work / f"stable-{path.name}"
        distance = rows[on_hull].to_numpy(zero_copy_only=False).astype(float)
        write_table(stable, rows.filter(np.nan_to_num(distance, nan=9.0) <= 0))
        path = stable
    data = load_clean(path)[0]
    seen = {tuple(row) for row in np.round(load_clean(run.data(SOURCE_DATA))[0].fractions, 5).tolist()}
    new = np.array([tuple(row) not in seen for row in np.round(data.fractions, 5).tolist()])
    return data.take(np.flatnonzero(new))


def compared(
    run: Job, name: str, data: Dataset, source: Model, folds: int, shares: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Errors of the three ways, mean and standard deviation over folds, by share of the training part."""
    network = source.card.get("network", "elemnet")
    rows = []
    for share in shares:
        errors: dict[str, list[float]] = {"scratch": [], "source as it is": [], "transfer": []}
        for fold in range(folds):
            chosen = parts(data, Split(0, FOLDS, fold))
            order = np.random.default_rng(fold).permutation(chosen["train"])
            part = {**chosen, "train": np.sort(order[: max(int(share * len(order)), 20)])}
            true = data.energies[chosen["test"]]
            key = f"{source.name}-{name.partition(',')[0].replace(' ', '-')}-{fold}-{share:.0%}"
            few = 2121 / len(part["train"]) if len(part["train"]) < 2121 else 1  # as many steps for fewer compounds
            for way, recipe, start in (("scratch", SCRATCH, None), ("transfer", FINE_TUNED, source)):
                batch = max(int(recipe.batch / few), 32)
                given = replace(recipe, epochs=run.epochs(recipe.epochs), batch=batch)
                predicted = learned(run, f"{key}-{way}", network, data, part, given, start)
                errors[way].append(float(np.abs(predicted - true).mean()))
            as_is = source.outputs(*sparse_rows(data.fractions[chosen["test"]]))[0, :, 0]  # one network, as the others
            errors["source as it is"].append(float(np.abs(as_is - true).mean()))
        row = {"target": name, "network": network, "training compounds": len(part["train"]), "folds": folds}
        for way, values in errors.items():
            row |= {way: float(np.mean(values)), f"{way} ±": float(np.std(values))}
        rows.append(row)
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    run, given = job("transfer", "source", "folds", "targets")
    source = load(given.source or "elemnet-oqmd")
    folds = int(given.folds or FOLDS)
    table = []
    for name in given.targets.split(";") if given.targets else TARGETS:
        table += compared(run, name, table_of(run, name), source, folds, (1.0,))
        published = ("thesis compounds", "thesis scratch", "thesis source", "thesis transfer")
        table[-1] |= dict(zip(published, THESIS[name], strict=True))
    curve = compared(run, "experimental", table_of(run, "experimental"), source, folds, SHARES)
    show(f"Transfer from {source.name} (eV/atom)", table)
    show("Measured energies by training compounds (eV/atom)", curve)
    drawn = figure(6, 4.2)
    axes = drawn.subplots()
    for way in ("scratch", "source as it is", "transfer"):
        axes.errorbar(
            [row["training compounds"] for row in curve],
            [row[way] for row in curve],
            yerr=[row[f"{way} ±"] for row in curve],
            marker="o",
            ms=4,
            capsize=3,
            label=way,
        )
    axes.set(xlabel="measured energies learnt from", ylabel="mean error (eV/atom)", ylim=(0, None))
    axes.legend(frameon=False)
    drawn.suptitle(f"From {source.name} to measured formation energies (thesis: fig. 5.3)")
    save_figure(drawn, run.results / f"transfer-{source.name}.png")
    run.publish({"source": source.name, "table": table, "curve": curve}, f"transfer-{source.name}")


if __name__ == "__main__":
    main()
