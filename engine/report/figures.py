"""The report's figures as PNG, for talks and papers. Colours are of Okabe and Ito and of cividis: safe for all eyes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from matscreen.models.elements import ATOMIC_NUMBERS, SYMBOLS
from matscreen.models.pictures import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "0.3", "0.5", "0.7")


def place(z: int) -> tuple[int, int]:
    """Row and column (from 0) in the periodic table; the f block in rows 8 and 9."""
    if 57 <= z <= 71 or 89 <= z <= 103:
        return (8, z - 57 + 2) if z <= 71 else (9, z - 89 + 2)
    starts = (1, 3, 11, 19, 37, 55, 87, 119)
    row = next(n for n in range(7) if z < starts[n + 1])
    at = z - starts[row]
    width = starts[row + 1] - starts[row]
    if row == 0:
        return row, 17 * at
    if width == 8:
        return row, at if at < 2 else at + 10
    return row, at if width == 18 or at < 2 else at - 14


def elements_figure(told: dict[str, Any]) -> "Figure":
    """How many candidates hold each element, over the periodic table."""
    drawn = figure(9, 5)
    axes = drawn.subplots()
    grid = np.full((10, 18), np.nan)
    for symbol, count in told["occurrences"].items():
        grid[place(ATOMIC_NUMBERS[symbol])] = count
    image = axes.imshow(grid, cmap="cividis", vmin=0)
    scanned = {ATOMIC_NUMBERS[symbol] for symbol in told["run"]["elements"]}
    middle = np.nanmax(grid) / 2 if told["occurrences"] else 0
    for z in range(1, 119):
        row, column = place(z)
        count = grid[row, column]
        colour = "0.75" if z not in scanned else "0.35" if np.isnan(count) else "white" if count < middle else "black"
        axes.text(column, row, SYMBOLS[z], ha="center", va="center", fontsize=9, color=colour)
    axes.axis("off")
    drawn.colorbar(image, ax=axes, shrink=0.6, label="candidates that hold it")
    axes.set_title("Elements of the candidates")
    return drawn


def distances_figure(told: dict[str, Any]) -> "Figure":
    """Histogram of hull distances."""
    drawn = figure(6, 3.6)
    axes = drawn.subplots()
    histogram = told["histogram"]
    counts = histogram["counts"]
    left = histogram["start"] + histogram["width"] * np.arange(len(counts))
    axes.bar(left, counts, width=histogram["width"], align="edge", color=COLOURS[0])
    if (threshold := told["run"]["threshold"]) is not None:
        axes.axvline(-threshold, color=COLOURS[1], label=f"threshold, {threshold:g} eV/atom")
        axes.legend(frameon=False)
    axes.set(xlabel="distance to the hull (eV/atom)", ylabel="candidates", yscale="log" if counts else "linear")
    return drawn


def categories_figure(told: dict[str, Any]) -> "Figure":
    """Chemical systems with a candidate, by category and number of elements."""
    drawn = figure(7, 3.8)
    axes = drawn.subplots()
    rows = told["categories"]
    arities = sorted({k for row in rows for k in row["arity"]})
    height = 0.8 / max(len(arities), 1)
    for number, k in enumerate(arities):
        colour = COLOURS[number % len(COLOURS)]
        counts = [row["arity"].get(k, {"systems": 0})["systems"] for row in rows]
        at = np.arange(len(rows)) + (number - (len(arities) - 1) / 2) * height
        axes.barh(at, counts, height, color=colour, label=f"{k} elements")
        for y, count in zip(at, counts, strict=True):
            axes.text(count, y, f" {count:,}", va="center", fontsize=7)
    axes.set_yticks(np.arange(len(rows)), [row["category"] for row in rows])
    axes.invert_yaxis()
    most = max((part["systems"] for row in rows for part in row["arity"].values()), default=1)
    axes.set(xlabel="chemical systems with a candidate", xscale="symlog", xlim=(0, 3 * most))
    if arities:
        axes.legend(frameon=False)
    return drawn


def search_figure(told: dict[str, Any]) -> "Figure":
    """What a search found, in its order, and the best so far."""
    goals = told["search"]
    drawn = figure(6 * len(goals), 3.8)
    for axes, goal in zip(np.ravel(drawn.subplots(1, len(goals))), goals, strict=True):
        numbers, values = np.array(goal["numbers"], float) + 1, np.array(goal["values"], float)
        best = (np.minimum if goal["sign"] > 0 else np.maximum).accumulate(values)
        axes.scatter(numbers, values, s=6, color=COLOURS[0], lw=0, alpha=0.5, label="found")
        axes.step(numbers, best, where="post", color=COLOURS[1], label="best so far")
        axes.set(xlabel="compositions looked at", ylabel=goal["title"] + (f" ({goal['unit']})" if goal["unit"] else ""))
        axes.legend(frameon=False)
    return drawn


def properties_figure(told: dict[str, Any]) -> "Figure":
    """Each property against the distance to the hull, the Pareto front marked."""
    columns, distance = told["properties"]["columns"], np.array(told["candidates"]["distance"], float)
    drawn = figure(4.6 * len(columns), 3.8)
    best = np.array(told["properties"]["front"] or [0] * len(distance), bool)
    for axes, column in zip(np.ravel(drawn.subplots(1, len(columns))), columns, strict=True):
        values = np.array(column["values"], float)
        axes.scatter(distance[~best], values[~best], s=6, color=COLOURS[0], lw=0, alpha=0.5)
        axes.scatter(
            distance[best], values[best], s=22, color=COLOURS[1], edgecolor="black", lw=0.5, label="Pareto front"
        )
        for limit in (column["low"], column["high"]):
            if limit is not None:
                axes.axhline(limit, color="0.5", lw=1)
        axes.set(
            xlabel="distance to the hull (eV/atom)",
            ylabel=column["title"] + (f" ({column['unit']})" if column["unit"] else ""),
        )
        if best.any():
            axes.legend(frameon=False)
    return drawn
