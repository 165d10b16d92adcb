"""Students for a model: networks cheap enough to look at every composition first, and how far to trust them.

One predicts all ratios of a chemical system at once, the other one composition after the other, nearer to the model.
Both learn what the model predicts for random members of composition space; their bands come from other members.
"""

from collections.abc import Callable

import numpy as np

from matscreen.engine.distill import compositions, systems
from matscreen.engine.distill.bands import measure
from matscreen.engine.distill.compositions import sample
from matscreen.engine.distill.student import Report, Say
from matscreen.engine.reference import PhaseTable
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.systems import MOST_ATOMS_EACH, MOST_ELEMENTS
from matscreen.models import Model, load
from matscreen.models.errors import InputError
from matscreen.models.recipe import Recipe, Schedule

__all__ = ["calibration_draws", "distill", "measure", "sample"]

MOST_SAMPLES = 10**9


def distill(
    model: Model,
    phases: PhaseTable,
    samples: int = 4_000_000,
    calibrate: int = 10_000_000,
    recipe: Recipe = compositions.RECIPE,
    of_systems: Schedule = systems.RECIPE,
    space: CompositionSpace | None = None,
    report: Callable[[int], Report] = lambda _: lambda _: None,
    say: Say = lambda _: None,
) -> Model:
    """Train the students of `model`, measure their bands and write them beside its file; returns the model with them.

    One learns `samples` members of the space (by default all 446,597,140 compositions), the other `systems.EACH` ratios
    of each of `samples` / `systems.SHARE` chemical systems, so that the model predicts 3.7 times `samples` for both;
    `calibrate` others are measured on. Interrupted while learning, the same call goes on. Students that the model had
    before are replaced. `report` gives, by the epochs of a training, what hears of its progress.

    InputError for a model of something else, too few samples, or a space of more elements or atoms than a student of
    systems takes; JobError if no composition lies below the hull.
    """
    if model.target.energy is None:
        raise InputError(f"{model.name} predicts {model.target}, not formation energies")
    if not 1000 <= min(samples, calibrate) <= max(samples, calibrate) <= MOST_SAMPLES:
        raise InputError(f"--samples and --calibrate take 1,000 to {MOST_SAMPLES:,} compositions")
    space = space or CompositionSpace("all")
    if space.arity[-1] > MOST_ELEMENTS or max(int(block.ratios.max()) for block in space.blocks) > MOST_ATOMS_EACH:
        raise InputError(f"students learn at most {MOST_ELEMENTS} elements and {MOST_ATOMS_EACH} atoms of each")
    students = [
        compositions.student(model, space, samples, recipe, report(recipe.epochs), say),
        systems.student(model, space, samples // systems.SHARE, of_systems, report(of_systems.epochs), say),
    ]
    say(f"all predict {calibrate:,} others")
    told = measure(model, [one.model for one in students], phases, space, calibrate, calibration_draws(recipe.seed))
    for one, bands in zip(students, told, strict=True):
        one.write(model, phases, bands)
    return load(model.source)


def calibration_draws(seed: int) -> np.random.Generator:
    """What draws the compositions that `distill` measures on: others than those that were learnt."""
    return np.random.default_rng([seed, 1])
