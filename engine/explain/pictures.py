"""Pictures of slopes: bars and ways of one composition, and arrows over a triangle of compositions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matscreen.engine.explain.document import worth_telling
from matscreen.engine.explain.stability import Explanation
from matscreen.models.pictures import figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 4
"""Ways a composition, besides the one within its elements."""

PER_PERCENT = 10
"""meV/atom for each % of the atoms, of eV/atom for all of them."""

CORNERS = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
"""Of the triangle."""

LONGEST = 0.8
"""Of an arrow, in distances of grid points."""


def explanation_picture(explained: Sequence[Explanation], path: Path) -> None:
    """Slopes towards the elements, and how the hull distance changes along the surest ways; a row a composition."""
    drawn = figure(12, 3.2 * len(explained))
    for (left, right), one in zip(drawn.subplots(len(explained), 2, squeeze=False), explained, strict=True):
        names = [slope.element for slope in one.slopes]
        places = np.arange(len(names))
        bars = {
            "predicted energy": ([slope.energy for slope in one.slopes], [slope.uncertainty for slope in one.slopes]),
            "hull of known phases": ([slope.hull for slope in one.slopes], None),
            "hull distance": ([slope.distance for slope in one.slopes], [slope.uncertainty for slope in one.slopes]),
        }
        for number, (label, (heights, errors)) in enumerate(bars.items()):
            scaled = None if errors is None else PER_PERCENT * np.nan_to_num(errors)
            left.bar(places + 0.27 * (number - 1), PER_PERCENT * np.array(heights), 0.25, yerr=scaled, label=label)
        left.axhline(0, color="0.5", lw=0.8)
        left.set(xticks=places, xticklabels=names, ylabel="meV/atom for each % more")
        left.set_title(f"{one.formula}: {one.energy - one.hull:+.3f} eV/atom from the hull", loc="left")
        ways = [*([one.within] if one.within else []), *(way for way in worth_telling(one)[:SHOWN])]
        for way in ways:
            moved, change = 100 * np.concatenate([[0], way.moved]), np.concatenate([[0], way.change])
            spread = np.concatenate([[0], np.nan_to_num(way.uncertainty)])
            (line,) = right.plot(moved, change, marker=".", label=way.direction)
            right.fill_between(moved, change - spread, change + spread, color=line.get_color(), alpha=0.15, lw=0)
        right.axhline(0, color="0.5", lw=0.8)
        right.set(xlabel="% of the atoms exchanged", ylabel="change of hull distance, eV/atom")
        if ways:
            right.legend(frameon=False)
        left.legend(frameon=False)
    save_figure(drawn, path)


def triangle(steps: int) -> np.ndarray:
    """(N, 3) shares of three corners, in whole steps, at least one of each."""
    first, second = np.meshgrid(np.arange(1, steps - 1), np.arange(1, steps - 1), indexing="ij")
    third = steps - first - second
    inside = third > 0
    shares: np.ndarray = np.stack([first[inside], second[inside], third[inside]], axis=1) / steps
    return shares


def arrows(
    axes: "Axes", corners: Sequence[str], shares: np.ndarray, values: np.ndarray, slopes: np.ndarray, better: int
) -> None:
    """Values over a triangle and the direction in which they get better, as in Umehara et al., fig. S1.

    The length of an arrow is its strength to the power 0.2, and its longest a little less than the grid's spacing.

    Parameters
    ----------
    corners : what the three are called
    shares : (N, 3) of the corners, each row sums to 1
    values : (N,) drawn as colour
    slopes : (N, 3) towards the corners, Σ shares · slopes = 0 in each row
    better : +1 if more is better, −1 if less is
    """
    points = shares @ CORNERS
    apart = np.sqrt(((points[1:] - points[0]) ** 2).sum(axis=1).min())
    ways = CORNERS[None] - points[:, None]  # (N, 3, 2): a step that far changes the value by the slope
    gradient = np.stack([np.linalg.lstsq(way, slope, rcond=None)[0] for way, slope in zip(ways, slopes, strict=True)])
    strength = np.sqrt((gradient**2).sum(axis=1, keepdims=True))
    along = better * gradient / np.maximum(strength, 1e-12) * strength**0.2
    along *= LONGEST * apart / max(np.sqrt((along**2).sum(axis=1)).max(), 1e-12)
    coloured = axes.scatter(
        points[:, 0], points[:, 1], c=values, s=60, cmap="viridis" if better > 0 else "viridis_r", lw=0
    )
    axes.quiver(*points.T, *along.T, angles="xy", scale_units="xy", scale=1, width=0.004, color="0.15")
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.6", lw=0.8)
    for name, at, (x, y), (h, v) in zip(
        corners,
        CORNERS,
        ((0, -0.03), (0, -0.03), (0, 0.02)),
        (("center", "top"),) * 2 + (("center", "bottom"),),
        strict=True,
    ):
        axes.text(at[0] + x, at[1] + y, name, ha=h, va=v)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.figure.colorbar(coloured, ax=axes, shrink=0.7)
