"""A student for a model: a network small enough to look at every composition first, and how far to trust it.

The student learns what the model predicts for random members of composition space. Then both predict other members.
Each element has a band, and one for each number of elements: how far at most the student put any composition with it,
that the model puts below the hull, above the model, times a margin. Had n of those been seen, the chance that the next
one of the whole space lies further is 1/(n + 1); the margin is for spaces that are unlike the whole. A composition's
band is the least of its elements'. So the few chemistries that are hard to guess, of sulphur, carbon and fluorine, say,
do not make the bands of all others wide.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine import schema
from matscreen.engine.reference import PhaseTable
from matscreen.engine.space import CompositionSpace
from matscreen.kernels import hull
from matscreen.models import Model, load
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.dataset import Dataset, fraction_matrix
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.encoding import fit_encoding
from matscreen.models.errors import InputError, JobError
from matscreen.models.loop import Progress
from matscreen.models.member import Member, trained
from matscreen.models.model import save, student_file
from matscreen.models.recipe import Recipe
from matscreen.models.target import FORMATION_ENERGY
from matscreen.models.training import train

NETWORK = "pairnet-student"
RECIPE = Recipe(epochs=20, batch=1024, learning_rate=2e-3, weight_decay=0.05, anchors=0)
MARGIN = 2.0
"""Times the furthest that was measured."""

MARGIN_OF_QUATERNARIES = 1.5
"""The same, of four elements: most of what is measured, and nearly all that a narrower band spares the model."""

ENOUGH = 1000
"""Compositions with an element, below the hull; of fewer no band is made."""

MOST_SAMPLES = 10**9
AT_ONCE = 2**17
"""Compositions that model and student both predict at a time."""

Say = Callable[[str], None]


def distill(
    model: Model,
    phases: PhaseTable,
    samples: int = 4_000_000,
    calibrate: int = 10_000_000,
    recipe: Recipe = RECIPE,
    space: CompositionSpace | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    say: Say = lambda _: None,
) -> Model:
    """Train a student of `model`, measure its band and write it beside the model's file; returns the model with it.

    `samples` members of the space (by default all 446,597,140 compositions) are learnt from, `calibrate` others
    measured on. Interrupted while learning, the same call goes on. A student that the model had before is replaced.

    InputError for a model of something else, or too few samples; JobError if no composition lies below the hull.
    """
    if model.target.energy is None:
        raise InputError(f"{model.name} predicts {model.target}, not formation energies")
    if not 1000 <= min(samples, calibrate) <= max(samples, calibrate) <= MOST_SAMPLES:
        raise InputError(f"--samples and --calibrate take 1,000 to {MOST_SAMPLES:,} compositions")
    space = space or CompositionSpace("all")
    out = student_file(model.source)
    generator = np.random.default_rng(recipe.seed)
    elements, amounts = sample(space, samples, generator)
    say(f"{model.name} predicts {samples:,} compositions for its student to learn")
    started = time.perf_counter()
    energies = model.energies(elements, amounts)
    teacher_rate = samples / (time.perf_counter() - started)
    learned, history = _learn(elements, amounts, energies, recipe, out.with_suffix(".checkpoint"), report)
    student = trained(*learned, np.float16)
    card: dict[str, Any] = {
        "description": f"student of {model.name}: predicts what it would, for the first pass of a scan",
        "network": NETWORK,
        "training": asdict(recipe) | {"samples": samples, "epochs_run": len(history)},
        "metrics": {"validation_error": round(min(h["validation_error"] for h in history), 5)},
    }
    say(f"both predict {calibrate:,} others")
    told = measure(model, _bare(student, model), phases, space, calibrate, generator)
    flops = [flop(member) for member in (student, *model.members)]
    card["distillation"] = {
        "teacher": model.name,
        "teacher_sha256": model.checksum,
        "reference": phases.name,
        "teacher_flop_per_student_flop": round(sum(flops[1:]) / flops[0], 1),
        "teacher_compositions_per_second": round(teacher_rate),
        **told,
    }
    save(out, [student], ELEMNET_ELEMENTS, FORMATION_ENERGY, card, np.float16)
    out.with_suffix(".checkpoint").unlink()
    return load(model.source)


def sample(space: CompositionSpace, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Elements and amounts (count, K) of members drawn with replacement, each arity by the square root of its size.

    By their sizes nearly all would be quaternaries, and a student that saw little else knows no binaries; as many of
    each would spend most of its training where next to no compositions are.
    """
    weights = np.sqrt([block.stop - block.start for block in space.blocks])
    ends = np.rint(count * np.cumsum(weights) / weights.sum()).astype(int)
    parts = [
        generator.integers(block.start, block.stop, share)
        for block, share in zip(space.blocks, np.diff(ends, prepend=0), strict=True)
        if share
    ]
    return schema.composition_arrays(space.take(generator.permutation(np.concatenate(parts))))[1:]


def flop(member: Member) -> int:
    """Multiplications and additions of products on the CPU, a composition; rows that are gathered count as nothing."""
    weights = member.layers.weights[1:] if member.encoding.kind == "fractions" else member.layers.weights
    if member.encoding.tables and member.embedded.absorbed:
        weights = member.embedded.absorbed[1].weights
    return 2 * sum(int(weight.size) for weight in weights)


def measure(
    model: Model,
    student: Model,
    phases: PhaseTable,
    space: CompositionSpace,
    count: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """How far the student's energies lie from the model's, over `count` members, and its bands."""
    arities = [block.arity for block in space.blocks]
    squares, seen = dict.fromkeys(arities, 0.0), dict.fromkeys(arities, 0)
    furthest, below = np.zeros((max(arities) + 1, 256)), np.zeros((max(arities) + 1, 256), np.int64)
    above: dict[int, list[np.ndarray]] = {arity: [] for arity in arities}
    for start in range(0, count, AT_ONCE):
        elements, amounts = sample(space, min(AT_ONCE, count - start), generator)
        at_hull = hull.hull_energies(elements, amounts, phases.index)
        truth, said = (one.energies(elements, amounts).astype(np.float64) for one in (model, student))
        sizes = np.count_nonzero(elements, axis=1)
        for arity in arities:
            mine = sizes == arity
            squares[arity] += float(((said - truth)[mine] ** 2).sum())
            seen[arity] += int(mine.sum())
            counted = mine & (truth < at_hull)
            above[arity].append((said - truth)[counted])
            np.maximum.at(furthest[arity], elements[counted], above[arity][-1][:, None])
            np.add.at(below[arity], elements[counted], 1)
    if not below.any():
        raise JobError(f"{model.name} puts none of {count:,} compositions below the hull of {phases.name}")
    found = {arity: np.concatenate(parts) for arity, parts in above.items()}
    margins = {arity: MARGIN_OF_QUATERNARIES if arity == 4 else MARGIN for arity in arities}
    return {
        "margin": margins,
        "bands_ev_atom": {
            arity: {
                SYMBOLS[z]: round(margins[arity] * furthest[arity, z] + 1e-3, 3)
                for z in np.flatnonzero(below[arity] >= ENOUGH).tolist()
                if z
            }
            for arity in arities
        },
        "calibrated_on": seen,
        "below_hull": {arity: len(one) for arity, one in found.items()},
        "furthest_above_ev_atom": {arity: round(float(one.max()), 3) for arity, one in found.items() if len(one)},
        "quantiles_0.9999_ev_atom": {
            arity: round(float(np.quantile(one, 0.9999)), 3) for arity, one in found.items() if len(one)
        },
        "rmse_ev_atom": {arity: round(math.sqrt(squares[arity] / max(seen[arity], 1)), 5) for arity in arities},
    }


def _learn(
    elements: np.ndarray,
    amounts: np.ndarray,
    energies: np.ndarray,
    recipe: Recipe,
    checkpoint: Path,
    report: Callable[[Progress], None],
) -> tuple[tuple[DenseNetwork, Any], list[dict[str, float]]]:
    fractions = fraction_matrix(elements, amounts)
    data = Dataset([""] * len(fractions), fractions, energies[:, None])
    rows = np.random.default_rng(recipe.seed).permutation(len(fractions))
    cut = max(len(rows) // 50, 1)
    chosen = {"validation": np.sort(rows[:cut]), "train": np.sort(rows[cut:])}
    plan = ARCHITECTURES[NETWORK]
    encoding = fit_encoding(plan.inputs, fractions[chosen["train"][:200_000]])
    width = encoding.before_training(fractions[:1]).shape[1]
    network = DenseNetwork(plan, width, (), recipe.seed, known=len(encoding.known))
    history = train(network, data, encoding, chosen, recipe, checkpoint, report)
    return (network, encoding), history


def _bare(student: Member, model: Model) -> Model:
    """The student as a model that has no file yet."""
    return replace(
        model,
        name=f"{model.name}.student",
        members=(student,),
        elements=np.array(ELEMNET_ELEMENTS),
        target=FORMATION_ENERGY,
        student=None,
    )
