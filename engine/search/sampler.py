"""The Parzen estimator for studies of Optuna."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from matscreen.engine.search import parzen

Number = FloatDistribution | IntDistribution


class ParzenSampler(BaseSampler):
    """Suggests all numbers of a trial at once; categories, and numbers that not every trial has, are drawn evenly.

    Parameters
    ----------
    seed : of all draws
    constraints : of a finished trial, by how much it breaks each constraint: 0 or less where it is kept. Asked once
        for each trial
    """

    def __init__(
        self, seed: int | None = None, constraints: Callable[[FrozenTrial], Sequence[float]] | None = None
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._evenly = RandomSampler(None if seed is None else seed + 1)
        self._shared = IntersectionSearchSpace()
        self._constraints = constraints
        self._broken: dict[int, float] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The numbers that every trial so far has."""
        shared = self._shared.calculate(study)
        return {name: kind for name, kind in shared.items() if isinstance(kind, Number) and not kind.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values for the numbers of `search_space`."""
        kinds = {name: kind for name, kind in search_space.items() if isinstance(kind, Number)}
        seen = [
            past
            for past in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if past.params.keys() >= kinds.keys()
        ]
        if not kinds or len(seen) < parzen.FIRST:
            return {}
        points = np.array([[past.params[name] for name in kinds] for past in seen], dtype=np.float64)
        signs = np.array([-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in study.directions])
        losses = np.array([past.values for past in seen]) * signs
        broken = np.array([self._broken_by(past) for past in seen])
        unit = np.column_stack([_to_unit(kind, column) for kind, column in zip(kinds.values(), points.T, strict=True)])
        (found,) = parzen.suggest(unit, losses.squeeze(1) if losses.shape[1] == 1 else losses, 1, self._rng, broken)
        return {name: _from_unit(kind, x) for (name, kind), x in zip(kinds.items(), found.tolist(), strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value drawn evenly."""
        return self._evenly.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Draw what no other process draws."""
        self._rng = np.random.default_rng()
        self._evenly.reseed_rng()

    def _broken_by(self, trial: FrozenTrial) -> float:
        """By how much a trial breaks its constraints in all; infinitely where that is not a number."""
        if self._constraints is None:
            return 0.0
        if trial.number not in self._broken:  # perhaps of another process, or before a restart
            by = np.array(self._constraints(trial), dtype=np.float64)
            self._broken[trial.number] = float(np.where(np.isnan(by), np.inf, np.clip(by, 0, None)).sum())
        return self._broken[trial.number]


def _ends(kind: Number) -> tuple[float, float]:
    """Where the cube's faces lie; a step reaches half a step to both sides, so that the last is as likely as others."""
    half = (kind.step or 0) / 2 if not kind.log or isinstance(kind, IntDistribution) else 0.0
    low, high = kind.low - half, kind.high + half
    return (float(np.log(low)), float(np.log(high))) if kind.log else (low, high)


def _to_unit(kind: Number, values: np.ndarray) -> np.ndarray:
    low, high = _ends(kind)
    unit: np.ndarray = ((np.log(values) if kind.log else values) - low) / (high - low)
    return unit


def _from_unit(kind: Number, unit: float) -> float | int:
    low, high = _ends(kind)
    value = low + unit * (high - low)
    if kind.log:
        value = float(np.exp(value))
    if kind.step:
        value = kind.low + round((value - kind.low) / kind.step) * kind.step
    value = min(max(value, kind.low), kind.high)
    return round(value) if isinstance(kind, IntDistribution) else value
