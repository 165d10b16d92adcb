"""Models by name or file, and the students that lie beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.files import is_file
from matscreen.models.model import Model, ModelError, Student, read, read_card
from matscreen.models.systems import load_systems
from matscreen.models.target import Target

SHIPPED = Path(__file__).parent / "weights"
DEFAULT = "pairnet-oqmd"


def load(name: str | Path = DEFAULT, with_student: bool = True) -> Model:
    """The model `name`: one that ships (see `available`), or a path to a weights file with its card beside it.

    Its students come with it, if it has some.

    Raises
    ------
    ModelError
        No such model, or a file that is damaged or does not belong to its card.
    """
    path = Path(name)
    if path.suffix != ".safetensors":
        path = SHIPPED / f"{name}.safetensors"
        if not is_file(path) or path.parent != SHIPPED:
            known = ", ".join(sorted(available())) or "none ship"
            raise ModelError(f"no model {str(name)!r}: give one of {known}, or a path to a .safetensors file")
    model = read(path)
    if any(member.encoding.kind == "systems" for member in model.members):
        raise ModelError(f"{path} predicts whole systems for the scans of another model; name that one")
    if not with_student or _is_student(path):
        return model
    small, systems = student_file(path), systems_file(path)
    return replace(
        model,
        student=_student(load(small), small, model) if small.is_file() else None,
        systems=_student(load_systems(systems), systems, model) if systems.is_file() else None,
    )


def student_file(path: Path) -> Path:
    """Where the student of the model at `path` lies."""
    return path.with_suffix(".student.safetensors")


def systems_file(path: Path) -> Path:
    """Where its student of chemical systems lies."""
    return path.with_suffix(".systems.safetensors")


def _is_student(path: Path) -> bool:
    return not {".student", ".systems"}.isdisjoint(path.suffixes)


def _student(student: Any, file: Path, teacher: Model) -> Student[Any]:
    """With the bands of its card; ModelError if it is the student of another model, or has none that can be used."""
    told = student.card.get("distillation", {})
    if told.get("teacher_sha256") != teacher.checksum:
        raise ModelError(f"{file} is the student of another model; remove it or distill again")
    try:
        bands = {
            int(arity): {str(symbol): float(band) for symbol, band in measured.items()}
            for arity, measured in told["bands_ev_atom"].items()
        }
        every = [pair for of in bands.values() for pair in of.items()]
        if min(bands, default=1) < 1 or any(s not in ATOMIC_NUMBERS or not 0 <= band < 100 for s, band in every):
            raise ValueError
    except (KeyError, AttributeError, TypeError, ValueError):
        raise ModelError(f"{file.with_suffix('.json')} names no bands that can be used; distill again") from None
    return Student(student, bands)


def available() -> dict[str, dict[str, float]]:
    """Models that ship: {name: metrics from its card}."""
    cards = (path for path in sorted(SHIPPED.glob("*.json")) if not _is_student(path))
    return {path.stem: read_card(path)["metrics"] for path in cards}


def shipped_properties() -> dict[str, str]:
    """Properties, formation energies apart, that models which ship predict: {column: model}."""
    targets = {name: Target.from_card(read_card(SHIPPED / f"{name}.json")) for name in available()}
    return {
        column: name
        for name, target in targets.items()
        if target.energy is None and not target.classes
        for column in target.properties
    }
