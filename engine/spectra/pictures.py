"""Pictures of what the networks have learnt: mean ± standard deviation over them, as in Umehara et al."""

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from matscreen.engine.spectra.analysis import Slopes, aligned
from matscreen.engine.spectra.data import SpectralData
from matscreen.models.pictures import figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PAIRS, MOST_RATIOS = 6, 3
"""Panels of arrows, across and down."""

THERE = 1e-6
"""Least fraction of an element that is in a sample."""

_MAIN = (0, 1)
"""The two elements that there is most of, whose ratio a row of panels has."""

POWER = 0.2
"""Of a slope, for the length of its arrow (fig. S1)."""


def element_slopes_picture(data: SpectralData, slopes: Slopes, path: Path) -> None:
    """Slope towards each element, mean over samples, ± over networks; and how it varies over the samples (fig. 6)."""
    mean = slopes.elements.mean(axis=1)  # (M, E)
    drawn = figure(1.1 * len(data.elements) + 2, 4)
    axes = drawn.subplots()
    places = np.arange(len(data.elements))
    parts = axes.violinplot(slopes.elements.mean(axis=0), places, widths=0.8, showextrema=False)
    for body in parts["bodies"]:  # type: ignore[attr-defined]
        body.set_facecolor("0.8")
        body.set_alpha(1)
    axes.errorbar(places, mean.mean(axis=0), yerr=_deviation(mean), fmt="o", capsize=4, color="C0")
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(xticks=places, xticklabels=data.elements, ylabel=f"slope of {data.value} for all atoms")
    axes.set_title(f"as atoms become it, the spectrum unchanged: mean ± s.d. of {len(mean)} networks; grey: samples")
    save_figure(drawn, path)


def wavenumber_slopes_picture(data: SpectralData, slopes: Slopes, attributed: Slopes | None, path: Path) -> None:
    """Mean spectrum; slope at each wavenumber, ± over networks (fig. 3); and what is attributed to it, where known."""
    rows = 3 if attributed else 2
    drawn = figure(10, 2.6 * rows)
    top, middle, *rest = drawn.subplots(rows, 1, sharex=True)
    mean, spread = data.spectra.mean(axis=0), data.spectra.std(axis=0)
    _band(top, data.wavenumbers, mean, spread, "0.3")
    top.set(ylabel="intensity", title="spectra: mean ± s.d. of the samples")
    own = slopes.points.mean(axis=1)
    _band(middle, data.wavenumbers, own.mean(axis=0), _deviation(own), "C0")
    middle.axhline(0, color="0.5", lw=0.8)
    middle.set(
        ylabel=f"slope of {data.value}", title=f"as the spectrum rises there: mean ± s.d. of {len(own)} networks"
    )
    if attributed:
        size = np.abs(attributed.points).mean(axis=1)
        _band(rest[0], data.wavenumbers, size.mean(axis=0), _deviation(size), "C1")
        rest[0].set(
            ylabel="mean |attribution|",
            title=f"integrated gradients from the mean sample: mean ± s.d. of {len(size)} networks",
        )
    drawn.supxlabel("wavenumber, cm⁻¹")
    save_figure(drawn, path)


def _deviation(of_networks: np.ndarray) -> np.ndarray:
    """(…) over networks (M, …); 0 of a single one."""
    found: np.ndarray = of_networks.std(axis=0, ddof=1) if len(of_networks) > 1 else np.zeros_like(of_networks[0])
    return found


def _band(axes: "Axes", x: np.ndarray, mean: np.ndarray, spread: np.ndarray, colour: str) -> None:
    axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.25, lw=0)
    axes.plot(x, mean, color=colour, lw=1)


def first_layer_picture(elements: tuple[str, ...], weights: np.ndarray, path: Path) -> None:
    """Weights of the first layer of each network as they are (fig. S2), and their mean once their units are aligned."""
    members = len(weights)
    columns = min(members, 4)
    rows = -(-members // columns) + 1
    drawn = figure(3.2 * columns, 1.9 * rows + 0.4)
    axes = drawn.subplots(rows, columns, squeeze=False)
    limit = np.abs(weights).max()
    for number, one in enumerate(axes[:-1].flat):
        if number >= members:
            one.axis("off")
            continue
        image = one.imshow(weights[number], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        one.set(title=f"network {number + 1}", xticks=[], yticks=range(len(elements)), yticklabels=elements)
    for one in axes[-1, 1:]:
        one.axis("off")
    mean = aligned(weights).mean(axis=0)
    last = axes[-1, 0]
    last.imshow(mean, cmap="RdBu_r", vmin=-np.abs(mean).max(), vmax=np.abs(mean).max(), aspect="auto")
    last.set(title="mean, units aligned", xticks=[], yticks=range(len(elements)), yticklabels=elements)
    drawn.colorbar(image, ax=axes[:-1], shrink=0.6, label="weight")
    save_figure(drawn, path)


def in_plane(slopes: np.ndarray, fractions: np.ndarray, a: int, b: int) -> np.ndarray:
    """(N, 2) derivatives by the fractions of elements `a` and `b`, for which all others make way in proportion.

    Of slopes (N, E) towards elements: towards `a` its own fraction grows by 1 − x_a while that of `b` shrinks by x_b.
    """
    x, y = fractions[:, a], fractions[:, b]
    steps = np.stack([np.stack([1 - x, -y], axis=1), np.stack([-x, 1 - y], axis=1)], axis=1)
    found: np.ndarray = np.linalg.solve(steps, slopes[:, [a, b], None])[..., 0]
    return found


def arrow_lengths(slopes: np.ndarray, strongest: float) -> np.ndarray:
    """(N, 2) arrows of slopes (N, 2): as long as their strength to the power `POWER`, 1 for the strongest."""
    strength = np.maximum(np.sqrt((slopes**2).sum(axis=1, keepdims=True)), 1e-12)
    arrows: np.ndarray = slopes / strength * (strength / max(strongest, 1e-12)) ** POWER
    return arrows


def arrows_picture(data: SpectralData, slopes: Slopes, path: Path) -> None:
    """Measured values over two alloying elements at ratios of the two main ones, arrows to where they rise (fig. S1).

    Samples of a panel hold no other element. The length of an arrow is its slope to the power `POWER`. Without two
    elements beside the main ones there is nothing to draw, and nothing is written.
    """
    if len(data.elements) < len(_MAIN) + 2:
        return
    main = np.sort(np.argsort(data.fractions.mean(axis=0))[-2:])
    others = [k for k in range(len(data.elements)) if k not in main]
    ratio = data.fractions[:, main[0]] / np.maximum(data.fractions[:, main[1]], 1e-9)
    ratios = _usual(ratio)
    holds = data.fractions > THERE

    def of(pair: tuple[int, int]) -> np.ndarray:
        foreign = [k for k in others if k not in pair]
        return np.asarray(~holds[:, foreign].any(axis=1) & holds[:, list(pair)].any(axis=1))

    pairs = sorted(combinations(others, 2), key=lambda pair: -int(of(pair).sum()))[:MOST_PAIRS]
    drawn = figure(3.3 * len(pairs) + 1, 3.1 * len(ratios))
    axes = drawn.subplots(len(ratios), len(pairs), squeeze=False, sharex=True, sharey=True)
    mean = slopes.elements.mean(axis=0)
    low, high = np.quantile(data.values, [0.02, 0.98])
    everywhere = [in_plane(mean[of(pair)], data.fractions[of(pair)], *pair) for pair in pairs]
    strongest = max(float(np.sqrt((one**2).sum(axis=1)).max(initial=0)) for one in everywhere)
    for down, wanted in enumerate(ratios):
        for across, (a, b) in enumerate(pairs):
            rows = np.flatnonzero(of((a, b)) & (np.abs(ratio - wanted) < 0.02 * wanted))
            panel = axes[down, across]
            x, y = 100 * data.fractions[rows, a], 100 * data.fractions[rows, b]
            coloured = panel.scatter(x, y, c=data.values[rows], s=26, cmap="viridis", vmin=low, vmax=high, lw=0)
            along = arrow_lengths(in_plane(mean[rows], data.fractions[rows], a, b), strongest)
            panel.quiver(x, y, *along.T, angles="xy", scale_units="width", scale=14, width=0.006, color="0.15")
            names = [data.elements[k] for k in (a, b)]
            panel.set(xlabel=f"% {names[0]}", ylabel=f"% {names[1]}")
            if down == 0:
                panel.set_title(f"{names[0]}, {names[1]}")
            if across == 0:
                first, second = (data.elements[k] for k in main)
                panel.set_ylabel(f"{first}/{second} = {wanted:.3f}\n% {names[1]}")
    drawn.colorbar(coloured, ax=axes, shrink=0.8, label=data.value)
    save_figure(drawn, path)


def _usual(ratio: np.ndarray) -> list[float]:
    """The ratios, to 2%, that most samples have; the most usual first."""
    bins = np.round(np.log(np.clip(ratio, 1e-6, 1e6)) / 0.02).astype(int)
    kinds, counts = np.unique(bins, return_counts=True)
    chosen = kinds[np.argsort(-counts, kind="stable")][:MOST_RATIOS]
    return sorted((float(np.median(ratio[bins == kind])) for kind in chosen), reverse=True)
