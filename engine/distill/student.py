"""What both students have in common: a teacher, a card, a file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine.reference import PhaseTable
from matscreen.models import Model
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.loop import Progress
from matscreen.models.member import Member
from matscreen.models.model import save
from matscreen.models.recipe import Schedule
from matscreen.models.systems import SystemModel

Say = Callable[[str], None]
Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Learned:
    """A student that has learnt, and has no band and no file yet.

    Attributes
    ----------
    file : where it will lie
    model : what predicts
    flop : multiplications and additions for a composition
    card : what its card says but for the bands
    """

    file: Path
    model: Model | SystemModel
    flop: float
    card: dict[str, Any]

    def write(self, teacher: Model, phases: PhaseTable, bands: Mapping[str, Any]) -> None:
        """Its file and card; `bands` from `measure`."""
        network = self.model.network if isinstance(self.model, SystemModel) else self.model
        own = {
            "teacher": teacher.name,
            "teacher_sha256": teacher.checksum,
            "reference": phases.name,
            "teacher_flop_per_student_flop": round(sum(map(flop, teacher.members)) / self.flop, 1),
        }
        card = self.card | {"distillation": own | dict(bands)}
        save(self.file, network.members, ELEMNET_ELEMENTS, network.target, card, np.float16)
        checkpoint(self.file).unlink(missing_ok=True)


def checkpoint(file: Path) -> Path:
    """Of the training of the student that will lie at `file`."""
    return file.with_suffix(".checkpoint")


def taught(teacher: Model, elements: np.ndarray, amounts: np.ndarray, say: Say) -> np.ndarray:
    """(N,) float32, eV/atom: what the teacher predicts of these."""
    say(f"{teacher.name} predicts {len(elements):,} compositions for a student to learn")
    return teacher.energies(elements, amounts)


def card(
    teacher: Model, what: str, network: str, recipe: Schedule, samples: int, history: Sequence[Mapping[str, float]]
) -> dict[str, Any]:
    """Of a student: what it is, and how it learnt."""
    return {
        "description": f"student of {teacher.name}: predicts {what}, for the first pass of a scan",
        "network": network,
        "training": asdict(recipe) | {"samples": samples, "epochs_run": len(history)},
        "metrics": {"validation_error": round(min(h["validation_error"] for h in history), 5)},
    }


def flop(member: Member) -> int:
    """Multiplications and additions of products on the CPU, a row; rows that are gathered count as nothing."""
    weights = member.layers.weights[1:] if member.encoding.kind == "fractions" else member.layers.weights
    if member.encoding.tables and member.embedded.absorbed:
        weights = member.embedded.absorbed[1].weights
    return 2 * sum(int(weight.size) for weight in weights)
