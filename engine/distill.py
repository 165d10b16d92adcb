"""A student for a model: a network small enough to look at every composition first, and how far to trust it.

The student learns what the model predicts for random members of composition space. Then both predict other members,
and the band is how far above the model's energy the student's lies at most where it matters: for compositions that the
model puts below the hull. Had n of those been seen, the chance that the next one lies further out is 1/(n + 1).
"""

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
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import fit_encoding
from matscreen.models.errors import InputError, JobError
from matscreen.models.member import Member, trained
from matscreen.models.model import save, student_file
from matscreen.models.recipe import Recipe
from matscreen.models.target import FORMATION_ENERGY
from matscreen.models.training import Progress, train

NETWORK = "pairnet-student"
RECIPE = Recipe(epochs=20, batch=1024, learning_rate=2e-3, weight_decay=0.05, anchors=0)
BELOW = 0.0
"""eV/atom; the band covers compositions that the model puts at least so far below the hull."""

Say = Callable[[str], None]


def distill(
    model: Model,
    phases: PhaseTable,
    samples: int = 2_000_000,
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
    if min(samples, calibrate) < 1000:
        raise InputError("--samples and --calibrate take at least 1,000 compositions")
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
    """Elements and amounts (count, K) of members drawn evenly, with replacement."""
    return schema.composition_arrays(space.take(generator.integers(0, len(space), count)))[1:]


def flop(member: Member) -> int:
    """Multiplications and additions of the dense layers, a composition; a gathered first layer counts as nothing."""
    weights = member.layers.weights[1:] if member.encoding.kind == "fractions" else member.layers.weights
    return 2 * sum(int(weight.size) for weight in weights)


def measure(
    model: Model,
    student: Model,
    phases: PhaseTable,
    space: CompositionSpace,
    count: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """How far the student's energies lie from the model's, over `count` members and over those below the hull."""
    squares, seen, below, least = 0.0, 0, [], 2**17
    for start in range(0, count, least):
        elements, amounts = sample(space, min(least, count - start), generator)
        truth = model.energies(elements, amounts).astype(np.float64)
        error = student.energies(elements, amounts) - truth
        distance = truth - hull.hull_energies(elements, amounts, phases.index)
        below.append(error[distance < -BELOW])
        squares += float((error**2).sum())
        seen += len(error)
    above = np.concatenate(below)
    if not len(above):
        raise JobError(f"{model.name} puts none of {count:,} compositions below the hull of {phases.name}")
    return {
        "band_ev_atom": round(max(float(above.max()), 0.0) + 1e-3, 3),
        "calibrated_on": seen,
        "below_the_hull": len(above),
        "rmse_ev_atom": round(float(np.sqrt(squares / seen)), 5),
        "rmse_below_the_hull_ev_atom": round(float(np.sqrt((above**2).mean())), 5),
        "quantiles_above_the_model_ev_atom": {
            f"{q:g}": round(float(np.quantile(above, q)), 4) for q in (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
        },
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
    network = DenseNetwork(plan, width, (), recipe.seed)
    try:
        history = train(network, data, encoding, chosen, recipe, checkpoint, report)
    except ValueError as error:
        raise InputError(str(error)) from None
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
