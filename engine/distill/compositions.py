"""A student that predicts one composition after the other, as its teacher does, with a small network."""

from dataclasses import replace

import numpy as np

from matscreen.engine import schema
from matscreen.engine.distill.student import Learned, Report, Say, card, checkpoint, flop, taught
from matscreen.engine.space import CompositionSpace
from matscreen.models import Model
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.catalogue import student_file
from matscreen.models.dataset import Dataset, fraction_matrix
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import fit_encoding
from matscreen.models.member import trained
from matscreen.models.recipe import Recipe
from matscreen.models.target import FORMATION_ENERGY
from matscreen.models.training import train

NETWORK = "pairnet-student"
RECIPE = Recipe(epochs=20, batch=1024, learning_rate=2e-3, weight_decay=0.05, anchors=0)


def sample(space: CompositionSpace, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Elements and amounts (count, K) of members drawn with replacement, each arity by the square root of its size.

    By their sizes nearly all would be quaternaries, and a student that saw little else knows no binaries; as many of
    each would spend most of its training where next to no compositions are.
    """
    parts = [
        generator.integers(block.start, block.stop, share)
        for block, share in zip(space.blocks, shares([b.stop - b.start for b in space.blocks], count), strict=True)
        if share
    ]
    return schema.composition_arrays(space.take(generator.permutation(np.concatenate(parts))))[1:]


def shares(sizes: list[int], count: int) -> list[int]:
    """`count` draws from sets of these sizes, by the square roots of these."""
    weights = np.sqrt(sizes)
    ends = np.rint(count * np.cumsum(weights) / weights.sum()).astype(int)
    own: list[int] = np.diff(ends, prepend=0).tolist()
    return own


def student(teacher: Model, space: CompositionSpace, samples: int, recipe: Recipe, report: Report, say: Say) -> Learned:
    """It has learnt so many members of the space. Interrupted while learning, the same call goes on."""
    file = student_file(teacher.source)
    elements, amounts = sample(space, samples, np.random.default_rng(recipe.seed))
    energies = taught(teacher, elements, amounts, say)
    fractions = fraction_matrix(elements, amounts)
    data = Dataset([""] * len(fractions), fractions, energies[:, None])
    rows = np.random.default_rng(recipe.seed).permutation(len(fractions))
    cut = max(len(rows) // 50, 1)
    chosen = {"validation": np.sort(rows[:cut]), "train": np.sort(rows[cut:])}
    plan = ARCHITECTURES[NETWORK]
    encoding = fit_encoding(plan.inputs, fractions[chosen["train"][:200_000]])
    width = encoding.before_training(fractions[:1]).shape[1]
    network = DenseNetwork(plan, width, (), recipe.seed, known=len(encoding.known))
    history = train(network, data, encoding, chosen, recipe, checkpoint(file), report)
    member = trained(network, encoding, np.float16)
    model = replace(
        teacher,
        name=f"{teacher.name}.student",
        members=(member,),
        elements=np.array(ELEMNET_ELEMENTS),
        target=FORMATION_ENERGY,
        student=None,
        systems=None,
    )
    return Learned(file, model, flop(member), card(teacher, "what it would", NETWORK, recipe, samples, history))
