"""A student that predicts all ratios of a chemical system at once (`models.systems`)."""

from dataclasses import replace

import numpy as np

from matscreen.engine import schema
from matscreen.engine.distill.compositions import shares
from matscreen.engine.distill.student import Learned, Report, Say, card, checkpoint, flop, taught
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.systems import MOST_ELEMENTS, by_system
from matscreen.models import Model
from matscreen.models.catalogue import systems_file
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.recipe import Schedule
from matscreen.models.system_training import learn_systems
from matscreen.models.systems import ORDER_OF_LABELS, SystemModel, of_ratios

NETWORK = "pairnet-systems"
RECIPE = Schedule(epochs=18, batch=512, learning_rate=4e-3, weight_decay=0.01)

EACH = 8
"""Ratios of a system that are learnt from, drawn with replacement: what they say of the others is learnt from all
systems."""

SHARE = 3
"""Compositions that the other student learns from, for each system that this one does."""


def sample(space: CompositionSpace, systems: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Elements and amounts (systems · EACH, K): as many ratios of each, drawn as `compositions.sample` draws."""
    parts = []
    for block, share in zip(space.blocks, shares([block.systems for block in space.blocks], systems), strict=True):
        if share:
            drawn = generator.integers(0, block.systems, (share, 1)) * len(block.ratios)
            parts.append(block.start + drawn + generator.integers(0, len(block.ratios), (share, EACH)))
    ids = generator.permutation(np.concatenate(parts)).reshape(-1)
    return schema.composition_arrays(space.take(ids))[1:]


def ratios_of(space: CompositionSpace) -> np.ndarray:
    """(R, 4) uint8: the ratios of all arities."""
    padded = (np.pad(b.ratios, ((0, 0), (0, MOST_ELEMENTS - b.arity))) for b in space.blocks)
    return np.concatenate(list(padded))


def student(
    teacher: Model, space: CompositionSpace, systems: int, recipe: Schedule, report: Report, say: Say
) -> Learned:
    """It has learnt some ratios of so many chemical systems. Interrupted while learning, the same call goes on."""
    file = systems_file(teacher.source)
    elements, amounts = sample(space, systems, np.random.default_rng(recipe.seed))
    energies = taught(teacher, elements, amounts, say)
    ratios = ratios_of(space)
    own, system, ratio = by_system(elements, amounts, ratios, ORDER_OF_LABELS)
    each = (ratio.reshape(-1, EACH), energies.reshape(-1, EACH))
    member, history = learn_systems(own[system[::EACH]], *each, len(ratios), recipe, checkpoint(file), report)
    network = replace(
        teacher,
        name=f"{teacher.name}.systems",
        members=(member,),
        elements=np.array(ELEMNET_ELEMENTS),
        target=of_ratios(ratios),
        student=None,
        systems=None,
    )
    told = card(teacher, "what it would of a whole chemical system", NETWORK, recipe, len(energies), history)
    of_a_system = len(space) / sum(block.systems for block in space.blocks)
    return Learned(file, SystemModel(network), flop(member) / of_a_system, told)
