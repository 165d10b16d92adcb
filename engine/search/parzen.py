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


def mixture(points: np.ndarray) -> Mixture:
    """The density over points (n, d) float64 of the unit cube, in the order in which they were seen; n may be 0."""
    n, d = points.shape
    weights = np.ones(n + 1)
    if n > RECENT:
        weights[: n - RECENT] = np.linspace(1 / n, 1, n - RECENT)
    centres = np.vstack([points, np.full((1, d), 0.5)])
    widths = np.vstack([np.clip(_to_neighbours(points), 1 / min(100, n + 2), 1), np.ones((1, d))])
    below, above = ndtr(-centres / widths), ndtr((1 - centres) / widths)
    return Mixture(centres, widths, weights / weights.sum(), below, above - below)


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
    d = points.shape[1]
    height = np.log(density.weights) - np.log(density.inside * density.widths).sum(axis=1) - d / 2 * np.log(2 * np.pi)
    # −½ Σ ((x − c)/w)² as matrix products. Widths are at least 0.01, so that no digit that counts is lost.
    sharp = density.widths**-2
    height -= (density.centres**2 * sharp).sum(axis=1) / 2
    straight, square = (density.centres * sharp).T, -sharp.T / 2
    total = np.empty(len(points))
    for first in range(0, len(points), BLOCK):
        x = points[first : first + BLOCK]
        each = x @ straight
        each += x**2 @ square
        each += height
        most = each.max(axis=1)
        each -= most[:, None]
        total[first : first + BLOCK] = most + np.log(np.exp(each, out=each).sum(axis=1))
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
    kept = broken == 0
    first = np.zeros(n)
    first[kept] = losses[kept] if losses.ndim == 1 else places(losses[kept])
    order = np.lexsort((first, broken))
    chosen = np.zeros(n, bool)
    chosen[order[: min(-(-n // 10), MOST_BEST)]] = True
    return chosen


def places(losses: np.ndarray) -> np.ndarray:
    """The place of each point in the order by fronts and crowding of losses (n, m): (n,) int64, 0 for the first."""
    n = len(losses)
    as_good, better = np.ones((n, n), bool), np.zeros((n, n), bool)
    for column in losses.T:
        as_good &= column[:, None] <= column
        better |= column[:, None] < column
    beats = as_good & better
    front = np.full(n, -1)
    left = np.ones(n, bool)
    for number in range(n):
        if not left.any():
            break
        now = left & ~beats[left].any(axis=0)
        front[now] = number
        left &= ~now
    crowding = np.zeros(n)
    for number in range(front.max() + 1):
        members = np.flatnonzero(front == number)
        for column in losses[members].T:
            order = np.argsort(column, kind="stable")
            spread = column[order[-1]] - column[order[0]]
            crowding[members[order[[0, -1]]]] = np.inf
            if len(members) > 2 and np.isfinite(spread) and spread > 0:
                crowding[members[order[1:-1]]] += (column[order[2:]] - column[order[:-2]]) / spread
    place = np.empty(n, np.int64)
    place[np.lexsort((-crowding, front))] = np.arange(n)
    return place


def suggest(
    points: np.ndarray,
    losses: np.ndarray,
    count: int,
    rng: np.random.Generator,
    violations: np.ndarray | None = None,
) -> np.ndarray:
    """Points to look at next.

    Parameters
    ----------
    points : (n, d) float64, seen so far, in the unit cube, in their order
    losses, violations : of `best_of`
    count : how many to suggest; all follow from the same points seen
    rng : draws them

    Returns
    -------
    (count, d) float64, in the unit cube
    """
    n, d = points.shape
    if n < FIRST:
        return rng.random((count, d))
    best = best_of(losses, violations)
    low, high = mixture(points[best]), mixture(points[~best])
    drawn = draw(low, DRAWS * count, rng)
    ratio = (log_density(drawn, low) - log_density(drawn, high)).reshape(count, DRAWS)
    chosen: np.ndarray = drawn.reshape(count, DRAWS, d)[np.arange(count), ratio.argmax(axis=1)]
    return chosen
