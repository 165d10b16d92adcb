"""A trained model: weights (safetensors) and the card (JSON) that says where they come from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import safetensors
import safetensors.numpy

from matscreen.kernels.backend import Backend, resolve
from matscreen.kernels.features import composition_features
from matscreen.kernels.mlp import Precision
from matscreen.models.elements import ATOMIC_NUMBERS, SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.files import is_file, write_atomically
from matscreen.models.formula import composition_arrays
from matscreen.models.member import Member, from_tensors, of_stoichiometry, to_tensors
from matscreen.models.target import Target

if TYPE_CHECKING:
    from matscreen.models.systems import SystemModel

Predictor = TypeVar("Predictor", bound="Model | SystemModel")

ARCHITECTURE = "dense-relu"

ROWS = 4096
"""Compositions predicted at a time: enough that what each call costs does not count, few enough for the cache."""


class ModelError(InputError):
    """A model that cannot be found, read or trusted."""


@dataclass(frozen=True)
class Student(Generic[Predictor]):
    """A network that predicts what another, its teacher, would, at a fraction of the cost.

    Attributes
    ----------
    model : the student
    bands : by number of elements and symbol, eV/atom: of the compositions so many elements large and with this one
        among them that the teacher puts below the hull, the student put none that was measured so far above what the
        teacher says; there is a margin
    """

    model: Predictor
    bands: dict[int, dict[str, float]]

    def bands_ev_atom(self, most_elements: int) -> np.ndarray:
        """How far above its teacher the student may put what lies below the hull.

        (most_elements + 1, 256) float64 by number of elements and atomic number; of the bands of a composition's
        elements, and that of number 0, the least counts. Infinite where too few were measured: the teacher is asked.
        """
        found = np.full((most_elements + 1, 256), np.inf)
        for arity, bands in self.bands.items():
            if arity <= most_elements:
                found[arity, [ATOMIC_NUMBERS[symbol] for symbol in bands]] = list(bands.values())
        return found


@dataclass(frozen=True)
class Model:
    """Predicts formation energies, or what else it was trained on, from compositions.

    Attributes
    ----------
    name : of the model, as in its card
    source : the weights file it was read from
    checksum : SHA-256 of that file
    card : everything its card says
    members : its networks; what they predict is averaged
    elements : (E,) int64, atomic numbers that it knows; of the inputs, in order, where those are fractions
    target : what it predicts
    student : what may predict in its place where it is clear enough, if the model has one
    systems : another, cheaper and less exact, that is asked before it, if the model has one
    """

    name: str
    source: Path
    checksum: str
    card: dict[str, Any]
    members: tuple[Member, ...]
    elements: np.ndarray
    target: Target
    student: "Student[Model] | None" = None
    systems: "Student[SystemModel] | None" = None

    def predict(self, formulas: Sequence[str], backend: Backend = "auto") -> np.ndarray:
        """What the model predicts for each formula; ValueError names the first that cannot be done.

        (N,) float32 of a single property (a formation energy: eV/atom), (N, P) of several, (N, C) probabilities of
        classes, in the order of `target`.
        """
        predicted = mean_of_members(self.outputs(*composition_arrays(formulas), backend=backend))
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted

    def predict_with_uncertainty(
        self, formulas: Sequence[str], backend: Backend = "auto"
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `predict`, and the standard deviation over the members, of the same shape. ModelError with fewer than two.

        That of a formation energy is scaled, see `uncertain_energies`; of anything else it is not, and members that
        agree may be wrong together.
        """
        if len(self.members) < 2:
            raise ModelError(f"{self.name} has one member; an uncertainty takes several (train --members)")
        predicted = self.outputs(*composition_arrays(formulas), backend=backend)
        mean, spread = mean_of_members(predicted), spread_of_members(predicted)
        if self.target.energy is not None:
            spread[:, self.target.energy] *= self.uncertainty_scale
        return (mean[:, 0], spread[:, 0]) if mean.shape[1] == 1 else (mean, spread)

    def energies(
        self, elements: np.ndarray, amounts: np.ndarray, backend: Backend = "auto", precision: Precision = "fp32"
    ) -> np.ndarray:
        """Formation energies of compositions given as arrays.

        Parameters
        ----------
        elements : (N, K) uint8, atomic numbers, 0 in empty places
        amounts : (N, K), atoms of each, 0 in empty places
        precision : of the networks' products on a GPU, see `kernels.mlp`

        Returns
        -------
        (N,) float32, eV/atom (float64 with backend="reference"). ModelError from a model of something else
        """
        return self.uncertain_energies(elements, amounts, backend, precision)[0]

    def uncertain_energies(
        self, elements: np.ndarray, amounts: np.ndarray, backend: Backend = "auto", precision: Precision = "fp32"
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """`energies`, and of an ensemble also (N,) float32, eV/atom, that 68% of errors are smaller than.

        That is the standard deviation over the members times a scale from compounds that they did not learn from (the
        card's calibration): members that agree may be wrong together. None from a single network.
        """
        if self.target.energy is None:
            raise ModelError(f"{self.name} predicts {self.target}, not formation energies")
        members = self.outputs(elements, amounts, backend, precision)[:, :, self.target.energy]
        if len(members) == 1:
            return members[0], None
        return mean_of_members(members), self.uncertainty_scale * spread_of_members(members)

    @property
    def uncertainty_scale(self) -> float:
        """Error over spread, of formation energies: what 68% of errors stay below in standard deviations of members."""
        told = self.card.get("calibration", {}).get("uncertainty", {})
        return float(told.get("scale", 1.0))

    def of_stoichiometry(self, key: int = 0) -> "Model":
        """The model, for which every composition has one stoichiometry (`kernels.embedding.stoichiometry_keys`).

        By default one that it does not know. What it predicts does not jump then where whole amounts are left, be it
        that a compound is doped and keeps its structure, or that something between compounds is looked for.
        """
        return replace(
            self, members=tuple(of_stoichiometry(member, key) for member in self.members), student=None, systems=None
        )

    def places(self, elements: np.ndarray) -> np.ndarray:
        """(N, K) int32: which of the model's elements each is; 0 in empty places, where fractions are 0.

        ModelError for one that it does not know.
        """
        place = np.full(256, -1, np.int32)
        place[self.elements] = np.arange(len(self.elements))
        place[0] = 0
        places: np.ndarray = place[elements]
        if (places < 0).any():
            row, column = np.argwhere(places < 0)[0]
            raise ModelError(f"row {row + 1}: model {self.name} does not know {SYMBOLS[elements[row, column]]}")
        return places

    def outputs(
        self, elements: np.ndarray, amounts: np.ndarray, backend: Backend = "auto", precision: Precision = "fp32"
    ) -> np.ndarray:
        """(members, N, outputs) of compositions given as arrays (see `energies`): properties, or probabilities."""
        places = self.places(elements)
        if backend == "gpu":
            resolve(backend, "mlp", gpu=True)
            from matscreen.models import resident

            outputs = resident.outputs(self.members, self.elements, elements, amounts, places, precision)
        else:
            parts = [slice(start, start + ROWS) for start in range(0, max(len(elements), 1), ROWS)]
            outputs = np.concatenate(
                [self._outputs(elements[part], amounts[part], places[part], backend, precision) for part in parts],
                axis=1,
            )
        if self.target.classes:
            outputs = np.exp(outputs - outputs.max(axis=2, keepdims=True))
            outputs /= outputs.sum(axis=2, keepdims=True)
        return outputs

    def _outputs(
        self, elements: np.ndarray, amounts: np.ndarray, places: np.ndarray, backend: Backend, precision: Precision
    ) -> np.ndarray:
        """(members, N, outputs) of the networks; attributes are computed once for all of them."""
        fractions = (amounts / amounts.sum(axis=1, dtype=np.float64, keepdims=True)).astype(np.float32)
        wanted = any(member.encoding.with_attributes for member in self.members)
        attributes = composition_features(elements, amounts, backend=backend) if wanted else None
        return np.stack([member.outputs(places, fractions, attributes, backend, precision) for member in self.members])


def mean_of_members(members: np.ndarray) -> np.ndarray:
    """The mean over the first axis, added up in its order: NumPy adds those of a lone composition in another."""
    total = members[0].copy()
    for one in members[1:]:
        total += one
    mean: np.ndarray = total / members.dtype.type(len(members))
    return mean


def spread_of_members(members: np.ndarray) -> np.ndarray:
    """The standard deviation over the first axis, of two or more; as `mean_of_members`."""
    squares = np.square(members - mean_of_members(members))
    total = squares[0]
    for one in squares[1:]:
        total += one
    spread: np.ndarray = np.sqrt(total / members.dtype.type(len(members) - 1))
    return spread


def read(path: Path) -> Model:
    """The model at `path`, a weights file with its card beside it, alone.

    ModelError if there is none, or a file that is damaged or does not belong to its card.
    """
    card_path = path.with_suffix(".json")
    for needed in (path, card_path):
        if not is_file(needed):
            raise ModelError(f"no such file: {needed} (a model is a .safetensors file and a .json card beside it)")
    content = path.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    card = read_card(card_path)
    if card["weights_sha256"] != checksum:
        raise ModelError(f"{path} is not the file that its card describes: its SHA-256 is {checksum}")
    try:
        tensors = safetensors.numpy.load(content)
        target = Target.from_card(card)
        elements = [ATOMIC_NUMBERS[symbol] for symbol in card["elements"]]
        members = tuple(
            from_tensors(
                {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)},
                card.get("shortcuts"),
                card.get("inputs", "fractions"),
                elements,
            )
            for prefix in _prefixes(_members(card, len(tensors)))
        )
        for member in members:
            given, outputs = member.encoding.width(len(card["elements"])), len(member.layers.biases[-1])
            if member.layers.weights[0].shape[0] != given:
                raise ValueError(f"it takes {member.layers.weights[0].shape[0]} inputs, its card says {given}")
            if outputs != target.outputs:
                raise ValueError(f"it has {outputs} outputs, its card says {target.outputs}")
    except (safetensors.SafetensorError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path} holds no network that can be used: {error}") from None
    return Model(card["name"], path, checksum, card, members, np.array(elements, np.int64), target)


def save(
    path: Path,
    members: Sequence[Member],
    elements: Sequence[int],
    target: Target,
    card: dict[str, Any],
    dtype: type = np.float32,
) -> None:
    """Write the members' weights, in `dtype`, to `path` and the card beside them."""
    tensors: dict[str, np.ndarray] = {}
    for prefix, member in zip(_prefixes(len(members)), members, strict=True):
        named, shortcuts = to_tensors(member, dtype)
        tensors |= {prefix + name: tensor for name, tensor in named.items()}
    content = safetensors.numpy.save(tensors)
    full = {
        **card,
        "name": path.stem,
        "architecture": ARCHITECTURE,
        "members": len(members),
        "widths": [len(bias) for bias in member.layers.biases],
        "elements": [SYMBOLS[z] for z in elements],
        "shortcuts": shortcuts,
        "inputs": member.encoding.kind,
        "target": asdict(target),
        "weights_dtype": np.dtype(dtype).name,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    text = json.dumps(full, indent=2) + "\n"
    write_atomically(path.with_suffix(".json"), lambda temporary: temporary.write_text(text))


def _members(card: dict[str, Any], most: int) -> int:
    """How many networks the card tells of; ValueError for no number, or more than there are tensors."""
    told = card.get("members", 1)
    if not isinstance(told, int) or not 1 <= told <= most:
        raise ValueError(f"its card tells of {told!r:.20} members")
    return told


def _prefixes(members: int) -> list[str]:
    """Of the names of each member's tensors; a single network needs none."""
    return [""] if members == 1 else [f"member{number}." for number in range(members)]


def read_card(path: Path) -> dict[str, Any]:
    """The card at `path`; ModelError if it is none."""
    try:
        card: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a model card: {error}") from None
    needed = {"name": str, "architecture": str, "elements": list, "weights_sha256": str, "metrics": dict}
    for key, kind in needed.items():
        if not isinstance(card, dict) or not isinstance(card.get(key), kind):
            raise ModelError(f"{path}: not a model card: {key!r} is missing or of the wrong kind")
    if card["architecture"] != ARCHITECTURE:
        raise ModelError(f"{path}: unknown architecture {card['architecture']!r}")
    if not isinstance(card.get("calibration", {}), dict):
        raise ModelError(f"{path}: not a model card: 'calibration' is of the wrong kind")
    unknown = [symbol for symbol in card["elements"] if not isinstance(symbol, str) or symbol not in ATOMIC_NUMBERS]
    if unknown:
        raise ModelError(f"{path}: {unknown[0]!r} is no element")
    return card
