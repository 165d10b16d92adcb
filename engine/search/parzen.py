"""Where to look next: a tree-structured Parzen estimator (Bergstra et al. 2011; Korolev et al., supplement).

What was seen is parted into the best and the rest. A density is laid over each: a mixture of Gaussians around the
points, in every direction as wide as the neighbours are far, cut off at the faces of the unit cube, and one wide
Gaussian in the middle, so that nothing is impossible. The next point is that of some drawn from the density of the
best, l, at which l/g is largest. Numbers of points, widths and weights are those of Optuna's multivariate sampler for
one objective, so that a search here ends as well as one there; all suggestions of a batch are made by matrix products.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from matscreen.engine.search.pareto import front

FIRST = 10
"""Points that are drawn evenly before anything is learnt."""

DRAWS = 24
"""Points drawn from the best's density for each that is suggested."""

MOST_BEST = 25
"""The best are a tenth of what was seen, up to so many."""

RECENT = 25
"""So many of the last points count in full; earlier ones the less, the earlier."""

BLOCK = 512
"""Points at a time, so that what lies between the products stays in the cache."""


@dataclass(frozen=True)
class Mixture:
    """A density in the unit cube.

    Attributes
    ----------
    centres, widths : (n, d) float64: each Gaussian's middle and its standard deviations before it is cut off
    weights : (n,) float64, sum 1
    below, inside : (n, d) float64: what of each Gaussian lies below 0, and between 0 and 1
    """

    centres: np.ndarray
    widths: np.ndarray
    weights: np.ndarray
    below: np.ndarray
    inside: np.ndarray


def mixture(points: np.ndarray, narrowest: float = 0.0) -> Mixture:
    """The density over points (n, d) float64 of the unit cube, in the order in which they were seen; n may be 0.

    No Gaussian is narrower than `narrowest`, or than a hundredth (with fewer points, than their number's inverse).
    """
    n, d = points.shape
    weights = np.ones(n + 1)
    if n > RECENT:
        weights[: n - RECENT] = np.linspace(1 / n, 1, n - RECENT)
    centres = np.vstack([points, np.full((1, d), 0.5)])
    widths = np.vstack([np.clip(_to_neighbours(points), _least(n, narrowest), 1), np.ones((1, d))])
    return Mixture(centres, widths, weights / weights.sum(), *_cut(centres, widths))


def _least(n: int, narrowest: float) -> float:
    return max(narrowest, 1 / min(100, n + 2))


def _cut(centres: np.ndarray, widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of Gaussians lies below 0, and between 0 and 1."""
    below, above = ndtr(-centres / widths), ndtr((1 - centres) / widths)
    return below, above - below


def _to_neighbours(points: np.ndarray) -> np.ndarray:
    """From each point to the farther of its neighbours in each direction. A point alone has the faces."""
    if len(points) < 2:
        lone: np.ndarray = np.maximum(points, 1 - points)
        return lone
    order = np.argsort(points, axis=0)
    gaps = np.diff(np.take_along_axis(points, order, axis=0), axis=0)
    farther = np.maximum(np.vstack([gaps[:1], gaps]), np.vstack([gaps, gaps[-1:]]))
    widths = np.empty_like(points)
    np.put_along_axis(widths, order, farther, axis=0)
    return widths


def log_density(points: np.ndarray, density: Mixture) -> np.ndarray:
    """ln of the density at points (c, d) float64 of the unit cube: (c,) float64."""
    straight, square, height = _products(density)
    total = np.empty(len(points))
    for first in range(0, len(points), BLOCK):
        total[first : first + BLOCK] = _log_sum(points[first : first + BLOCK], straight, square, height)
    return total


def _products(density: Mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """S (n, d), Q (n, d) and h (n,), with which ln of what each Gaussian adds at points x is x Sᵀ + x² Qᵀ + h.

    Widths are at least 0.01, so that no digit that counts is lost.
    """
    d = density.centres.shape[1]
    height = np.log(density.weights) - np.log(density.inside * density.widths).sum(axis=1) - d / 2 * np.log(2 * np.pi)
    sharp = density.widths**-2
    return density.centres * sharp, -sharp / 2, height - (density.centres**2 * sharp).sum(axis=1) / 2


def _log_sum(x: np.ndarray, straight: np.ndarray, square: np.ndarray, height: np.ndarray) -> np.ndarray:
    """ln of the sum of Gaussians (see `_products`) at points x (c, d): (c,)."""
    each = x @ straight.T
    each += x**2 @ square.T
    each += height
    most = each.max(axis=1)
    each -= most[:, None]
    total: np.ndarray = most + np.log(np.exp(each, out=each).sum(axis=1))
    return total


def draw(density: Mixture, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points of the density: (count, d) float64."""
    which = rng.choice(len(density.weights), count, p=density.weights)
    level = density.below[which] + rng.random((count, density.centres.shape[1])) * density.inside[which]
    drawn: np.ndarray = np.clip(density.centres[which] + density.widths[which] * ndtri(level), 0, 1)
    return drawn


def best_of(losses: np.ndarray, violations: np.ndarray | None = None) -> np.ndarray:
    """Which points are the best: (n,) bool.

    Parameters
    ----------
    losses : (n,) or (n, m) float64, to be made small. Of several, points come in the order of their fronts (those that
        no other beats, being as good in all and better in one; those that then no other does; …), and in a front those
        far from others first (crowding distance, Deb et al. 2002). NaN counts as the worst
    violations : (n,) float64, by how much constraints are broken, 0 or less where they are kept: any that keeps them is
        better than any that breaks them
    """
    n = len(losses)
    losses = np.where(np.isnan(losses), np.inf, losses)
    broken = np.zeros(n) if violations is None else np.clip(np.nan_to_num(violations, nan=np.inf), 0, None)
    wanted = min(-(-n // 10), MOST_BEST)
    kept = np.flatnonzero(broken == 0)
    first = kept[np.argsort(losses[kept], kind="stable") if losses.ndim == 1 else ranked(losses[kept], wanted)]
    others = np.flatnonzero(broken > 0)
    order = np.concatenate([first, others[np.argsort(broken[others], kind="stable")]])
    chosen = np.zeros(n, bool)
    chosen[order[:wanted]] = True
    return chosen


def ranked(losses: np.ndarray, most: int) -> np.ndarray:
    """The first rows in the order by fronts and crowding of losses (n, m): the fewest whole fronts that have `most`."""
    left, order = np.arange(len(losses)), np.empty(0, np.int64)
    while len(left) and len(order) < most:
        now = front(losses[left])
        if not now.any():  # what is left is no number
            return np.concatenate([order, left])
        members, left = left[now], left[~now]
        order = np.concatenate([order, members[np.argsort(-_crowding(losses[members]), kind="stable")]])
    return order


def _crowding(losses: np.ndarray) -> np.ndarray:
    """How far each of a front is from its neighbours in it, in all losses (n, m): (n,), infinite at the ends."""
    crowding = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        crowding[order[[0, -1]]] = np.inf
        if len(column) > 2 and np.isfinite(spread) and spread > 0:
            crowding[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return crowding


def suggest(
    points: np.ndarray,
    losses: np.ndarray,
    count: int,
    rng: np.random.Generator,
    violations: np.ndarray | None = None,
    narrowest: float = 0.0,
) -> np.ndarray:
    """Points to look at next.

    Parameters
    ----------
    points : (n, d) float64, seen so far, in the unit cube, in their order
    losses, violations : of `best_of`
    count : how many to suggest. Each counts as one of the rest, not of the best, for those after it, so that a batch
        does not look at the same place many times
    rng : draws them
    narrowest : of the densities' Gaussians: steps smaller than this are of no use

    Returns
    -------
    (count, d) float64, in the unit cube
    """
    n, d = points.shape
    if n < FIRST:
        return rng.random((count, d))
    best = best_of(losses, violations)
    low, high = mixture(points[best], narrowest), mixture(points[~best], narrowest)
    drawn = draw(low, DRAWS * count, rng)
    of_best, of_rest = (log_density(drawn, density).reshape(count, DRAWS) for density in (low, high))
    drawn = drawn.reshape(count, DRAWS, d)
    ordered = np.sort(points[~best], axis=0)
    least, weight = _least(len(ordered), narrowest), high.weights.max(keepdims=True)
    chosen = np.empty((count, d))
    straight, square, height = np.empty((count, d)), np.empty((count, d)), np.empty(count)
    for k in range(count):
        rest = of_rest[k]
        if k:
            rest = np.logaddexp(rest, _log_sum(drawn[k], straight[:k], square[:k], height[:k]))
        chosen[k] = own = drawn[k, np.argmax(of_best[k] - rest)]
        if k + 1 < count:
            width = np.clip(_to_neighbours_of(own, ordered), least, 1)[None]
            one = Mixture(own[None], width, weight, *_cut(own[None], width))
            straight[k : k + 1], square[k : k + 1], height[k : k + 1] = _products(one)
    return chosen


def _to_neighbours_of(point: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """From a point (d,) to the farther of its neighbours in each direction, of (n, d) by rising value; n at least 1."""
    above = np.count_nonzero(ordered < point, axis=0)
    columns = np.arange(len(point))
    gaps = [np.abs(ordered[np.clip(at, 0, len(ordered) - 1), columns] - point) for at in (above - 1, above)]
    farther: np.ndarray = np.maximum(*gaps)
    return farther
