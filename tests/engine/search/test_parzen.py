"""The Parzen estimator against its definition, SciPy and Optuna, and as a searcher."""

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights
from scipy.integrate import dblquad
from scipy.special import logsumexp
from scipy.stats import kstest, truncnorm

from matscreen.engine.search import parzen
from matscreen.engine.search.sampler import ParzenSampler


@pytest.mark.parametrize(("seen", "dimensions"), [(0, 3), (1, 2), (2, 2), (3, 1), (24, 5), (25, 4), (60, 3), (500, 88)])
def test_densities_are_those_of_optuna(rng: np.random.Generator, seen: int, dimensions: int) -> None:
    points, tried = rng.random((seen, dimensions)), rng.random((40, dimensions))
    if seen > 2:
        points[1] = points[0]  # neighbours at no distance at all
        tried[0], tried[1] = 0.0, 1.0
    names = [str(i) for i in range(dimensions)]
    space = {name: FloatDistribution(0, 1) for name in names}
    settings = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    theirs = _ParzenEstimator(dict(zip(names, points.T, strict=True)), space, settings)
    expected = theirs.log_pdf(dict(zip(names, tried.T, strict=True)))
    np.testing.assert_allclose(parzen.log_density(tried, parzen.mixture(points)), expected, rtol=1e-9, atol=1e-9)


def test_densities_are_mixtures_of_truncated_gaussians(rng: np.random.Generator) -> None:
    density = parzen.mixture(rng.random((30, 6)))
    tried = rng.random((50, 6))
    each = [
        np.log(weight) + truncnorm.logpdf(tried, -c / w, (1 - c) / w, loc=c, scale=w).sum(axis=1)
        for c, w, weight in zip(density.centres, density.widths, density.weights, strict=True)
    ]
    np.testing.assert_allclose(parzen.log_density(tried, density), logsumexp(each, axis=0), rtol=1e-10)


def test_a_density_holds_everything_once() -> None:
    density = parzen.mixture(np.array([[0.2, 0.9], [0.5, 0.4], [0.6, 0.1]]))
    whole, _ = dblquad(lambda y, x: np.exp(parzen.log_density(np.array([[x, y]]), density)[0]), 0, 1, 0, 1, epsabs=1e-6)
    assert whole == pytest.approx(1, abs=1e-5)


def test_drawn_points_follow_the_density(rng: np.random.Generator) -> None:
    density = parzen.mixture(np.array([[0.1], [0.15], [0.9]]))
    drawn = parzen.draw(density, 20_000, rng)[:, 0]
    assert ((drawn >= 0) & (drawn <= 1)).all()

    def below(x: np.ndarray) -> np.ndarray:
        c, w = density.centres[:, 0], density.widths[:, 0]
        each = truncnorm.cdf(np.asarray(x)[..., None], -c / w, (1 - c) / w, loc=c, scale=w)
        return np.asarray(each @ density.weights)

    assert kstest(drawn, below).pvalue > 1e-3


def test_the_best_are_a_tenth() -> None:
    losses = np.arange(100.0)[::-1]
    np.testing.assert_array_equal(np.flatnonzero(parzen.best_of(losses)), np.arange(90, 100))
    assert parzen.best_of(np.arange(1000.0)).sum() == 25
    assert parzen.best_of(np.arange(11.0)).sum() == 2


def test_what_keeps_constraints_is_better_than_what_breaks_them() -> None:
    losses = np.array([0.0, 5, 9, 1, np.nan] * 2)
    broken = np.array([2.0, 0, 0, 1, 0] * 2)
    assert np.flatnonzero(parzen.best_of(losses, broken)).tolist() == [1]  # the lowest of those that keep them
    assert np.flatnonzero(parzen.best_of(losses, np.array([2.0, 3, 4, 1, 9] * 2))).tolist() == [3]


def test_fronts_are_of_those_that_keep_constraints() -> None:
    losses = np.array([[0.5, 4], [1, 5], [5, 1], *[[6, 6]] * 7], float)
    broken = np.array([1.0, *[0] * 9])
    assert parzen.best_of(losses, broken)[1:3].any()  # what breaks a constraint beats nobody
    assert not parzen.best_of(losses[[0, 1, 0, 0]], broken[[0, 1, 0, 0]])[[0, 2, 3]].any()


def test_several_losses_are_ordered_by_fronts(rng: np.random.Generator) -> None:
    losses = rng.integers(0, 12, (150, 2)).astype(float)
    order = parzen.ranked(losses, 150)
    assert sorted(order) == list(range(150))
    np.testing.assert_array_equal(parzen.ranked(losses, 25), order[: len(parzen.ranked(losses, 25))])
    place = np.argsort(order)
    front = np.zeros(150, int)  # by the definition: the longest chain of points that beat it
    for i in np.argsort(losses.sum(axis=1), kind="stable"):
        beaten_by = (losses <= losses[i]).all(axis=1) & (losses < losses[i]).any(axis=1)
        front[i] = front[beaten_by].max() + 1 if beaten_by.any() else 0
    assert (np.diff(front[np.argsort(place)]) >= 0).all()
    ends = np.flatnonzero((front == 0) & (losses[:, 0] == losses[front == 0, 0].min()))
    assert place[ends].min() <= 1  # an end of the front is as far from others as can be


def test_what_is_no_number_comes_last() -> None:
    assert parzen.ranked(np.array([[1, 2], [np.nan, 1], [0, 0]]), 3).tolist() == [2, 0, 1]


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sphere": lambda x: ((x - 0.3) ** 2).sum(axis=-1),
    "Branin": lambda x: branin(15 * x[..., 0] - 5, 15 * x[..., 1]),
    "Rosenbrock": lambda x: (1 - (4 * x[..., 0] - 2)) ** 2 + 100 * (4 * x[..., 1] - 2 - (4 * x[..., 0] - 2) ** 2) ** 2,
}


def branin(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    value: np.ndarray = (
        (y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10
    )
    return value


def lowest(function: Callable[[np.ndarray], np.ndarray], seed: int, evaluations: int, batch: int) -> float:
    rng = np.random.default_rng(seed)
    points, losses = np.empty((0, 2)), np.empty(0)
    while len(points) < evaluations:
        found = parzen.suggest(points, losses, batch, rng)
        points, losses = np.vstack([points, found]), np.append(losses, function(found))
    return float(losses.min())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("batch", [1, 8])
def test_it_finds_lower_than_chance(name: str, batch: int) -> None:
    function = FUNCTIONS[name]
    searched = [lowest(function, seed, 96, batch) for seed in range(20)]
    by_chance = [float(function(np.random.default_rng(seed).random((96, 2))).min()) for seed in range(20)]
    least = 0.397887 if name == "Branin" else 0.0
    assert np.median(searched) - least < 0.5 * (np.median(by_chance) - least)


def test_same_seed_same_points(rng: np.random.Generator) -> None:
    points, losses = rng.random((50, 7)), rng.random(50)
    first, second = (parzen.suggest(points, losses, 5, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == 5


def study(sampler: optuna.samplers.BaseSampler, **options: object) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=sampler, **options)  # type: ignore[arg-type]


def test_a_study_of_optuna() -> None:
    """Maximised, with steps, logarithms, integers and categories."""

    def worth(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", -2, 2), trial.suggest_float("y", 1e-3, 1e3, log=True)
        n, kind = trial.suggest_int("n", 2, 20, step=3), trial.suggest_categorical("kind", ["a", "b"])
        step = trial.suggest_float("step", 0, 1, step=0.25)
        assert n in range(2, 21, 3)
        assert step in (0, 0.25, 0.5, 0.75, 1)
        assert -2 <= x <= 2
        assert 1e-3 <= y <= 1e3
        return -((x - 1) ** 2) - (np.log10(y) - 1) ** 2 - abs(n - 11) / 5 - abs(step - 0.5) + (kind == "b")

    searched = study(ParzenSampler(5), direction="maximize")
    searched.optimize(worth, n_trials=120)
    by_chance = study(optuna.samplers.RandomSampler(5), direction="maximize")
    by_chance.optimize(worth, n_trials=120)
    assert searched.best_value > by_chance.best_value
    again = study(ParzenSampler(5), direction="maximize")
    again.optimize(worth, n_trials=120)
    assert [t.params for t in again.trials] == [t.params for t in searched.trials]


def test_a_study_with_a_constraint_and_two_values() -> None:
    def broken(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        return (0.5 - trial.params["x"],)

    def worth(trial: optuna.Trial) -> float:
        return (trial.suggest_float("x", 0, 1) - 0.2) ** 2 + trial.suggest_float("y", 0, 1) ** 2

    constrained = study(ParzenSampler(1, broken))
    constrained.optimize(worth, n_trials=100)
    kept = [t.values[0] for t in constrained.trials[50:] if t.params["x"] >= 0.5]
    assert len(kept) > 25  # though the lowest lies where it is broken
    assert np.median(kept) < 0.25  # of those that keep it 0.09 is the least and 0.62 the mean

    def both(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        return x**2 + y, -((x - 0.5) ** 2)

    again = study(ParzenSampler(2, broken))  # as after a restart: trials that this sampler did not see end
    again.add_trials(constrained.trials)
    again.optimize(worth, n_trials=50)
    assert sum(t.params["x"] >= 0.5 for t in again.trials[100:]) > 25
    unknown = study(ParzenSampler(1, lambda t: (np.nan if t.params["x"] < 0.5 else -1.0,)))
    unknown.optimize(worth, n_trials=100)
    assert sum(t.params["x"] >= 0.5 for t in unknown.trials[50:]) > 25

    two = study(ParzenSampler(1), directions=["minimize", "maximize"])
    two.optimize(both, n_trials=100)
    assert np.median([t.params["y"] for t in two.trials[50:]]) < 0.3
