"""Phase regions of samples as a table and as pictures: over the composition triangle, and one against another."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from matscreen.engine.libraries import library
from matscreen.engine.xrd.samples import Listed
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically


def write_regions(
    path: Path, listed: Listed, probabilities: np.ndarray, classes: tuple[str, ...], problems: dict[int, str]
) -> None:
    """CSV or Parquet: sample, composition, region, its probability, those of all, and the problem of what has none."""
    found = [classes[n] for n in np.nan_to_num(probabilities).argmax(axis=1)]
    columns: dict[str, object] = {"sample": listed.names}
    columns |= {name: listed.compositions[:, n] for n, name in enumerate(listed.elements)}
    columns["region"] = [None if n in problems else name for n, name in enumerate(found)]
    columns["probability"] = pa.array(probabilities.max(axis=1), from_pandas=True)
    columns |= {
        f"probability of {name}": pa.array(probabilities[:, n], from_pandas=True) for n, name in enumerate(classes)
    }
    columns["problem"] = [problems.get(n, "") for n in range(len(listed.names))]
    table = pa.table(columns)
    write = pa.parquet.write_table if path.suffix == ".parquet" else pa.csv.write_csv
    write_atomically(path, lambda temporary: write(table, temporary))


def phase_map(path: Path, listed: Listed, found: list[str], title: str) -> None:
    """A PNG: each sample in the triangle of its three elements, coloured by region; ringed where another was told.

    `found` is "" where there is none. InputError where there are not three elements.
    """
    if len(listed.elements) != 3:
        raise InputError(f"a phase map is drawn of three elements, not of {len(listed.elements)}")
    library("matplotlib", "xrd").use("Agg")
    from matplotlib import pyplot as plt

    corners = np.array([[0.5, np.sqrt(0.75)], [0, 0], [1, 0]])
    points = listed.compositions @ corners
    figure, axes = plt.subplots(figsize=(8.4, 6), layout="constrained")
    axes.plot(*np.vstack([corners, corners[:1]]).T, lw=1, color="0.5")
    for corner, name in zip(corners, listed.elements, strict=True):
        away = (corner - corners.mean(axis=0)) * 1.08 + corners.mean(axis=0)
        axes.text(float(away[0]), float(away[1]), name, ha="center", va="center", fontsize=13)
    names = sorted({*found, *listed.regions} - {""})
    colours = plt.get_cmap("tab10")
    for n, name in enumerate(names):
        own = np.array([region == name for region in found])
        axes.scatter(
            points[own, 0], points[own, 1], s=42, color=colours(n % 10), label=f"{name} ({own.sum()})", zorder=2
        )
    wrong = np.array(
        [bool(told) and bool(got) and told != got for told, got in zip(listed.regions, found, strict=True)]
    )
    if wrong.any():
        told = [colours(names.index(listed.regions[n]) % 10) for n in np.flatnonzero(wrong)]
        axes.scatter(points[wrong, 0], points[wrong, 1], s=110, facecolors="none", edgecolors=told, lw=1.6, zorder=3)
        axes.scatter([], [], s=110, facecolors="none", edgecolors="0.3", label=f"told otherwise ({wrong.sum()})")
    axes.set(aspect="equal")
    axes.set_title(title, pad=22)
    axes.axis("off")
    axes.legend(loc="upper left", bbox_to_anchor=(0.98, 0.95), frameon=False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight"))
    plt.close(figure)


def confusion(path: Path, told: np.ndarray, found: np.ndarray, classes: tuple[str, ...], title: str) -> None:
    """A PNG: how many samples of each region (rows) were found to be of each (columns)."""
    library("matplotlib", "xrd").use("Agg")
    from matplotlib import pyplot as plt

    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (told, found), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(7.4, 6.2), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column, row, count, ha="center", va="center", color="white" if share[row, column] > 0.5 else "0.2"
            )
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)), xlabel="found", ylabel="told", title=title)
    axes.set_xticklabels(classes, rotation=40, ha="right")
    axes.set_yticklabels(classes)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
    plt.close(figure)
