"""A trained model: weights (safetensors) and the card (JSON) that says where they come from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from matscreen.kernels import mlp
from matscreen.kernels.backend import Backend
from matscreen.models.architecture import Jump, Pair
from matscreen.models.elements import ATOMIC_NUMBERS, SYMBOLS
from matscreen.models.encoding import FRACTIONS, Encoding, inputs
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.formula import composition_arrays

SHIPPED = Path(__file__).parent / "weights"
DEFAULT = "elemnet-oqmd"
ARCHITECTURE = "dense-relu"


class ModelError(InputError):
    """A model that cannot be found, read or trusted."""


@dataclass(frozen=True)
class Model:
    """Predicts formation energies from compositions.

    Attributes
    ----------
    name : of the model, as in its card
    source : the weights file it was read from
    checksum : SHA-256 of that file
    card : everything its card says
    layers : the network, in float32
    elements : (E,) int64, atomic numbers that it knows; of the inputs, in order, where those are fractions
    encoding : what the network is given
    """

    name: str
    source: Path
    checksum: str
    card: dict[str, Any]
    layers: mlp.Layers
    elements: np.ndarray
    encoding: Encoding

    def predict(self, formulas: Sequence[str], backend: Backend = "auto") -> np.ndarray:
        """Formation energy of each formula: (N,) float32, eV/atom. ValueError names the first that cannot be done."""
        return self.energies(*composition_arrays(formulas), backend=backend)

    def energies(self, elements: np.ndarray, amounts: np.ndarray, backend: Backend = "auto") -> np.ndarray:
        """Formation energies of compositions given as arrays.

        Parameters
        ----------
        elements : (N, K) uint8, atomic numbers, 0 in empty places
        amounts : (N, K), atoms of each, 0 in empty places

        Returns
        -------
        (N,) float32, eV/atom (float64 with backend="reference")
        """
        place = np.full(256, -1, np.int32)
        place[self.elements] = np.arange(len(self.elements))
        place[0] = 0  # an empty place adds nothing: its fraction is 0
        places = place[elements]
        if (places < 0).any():
            row, column = np.argwhere(places < 0)[0]
            raise ModelError(f"row {row + 1}: model {self.name} does not know {SYMBOLS[elements[row, column]]}")
        if self.encoding.kind == "attributes":
            return mlp.forward_dense(self.encoding.attributes(elements, amounts), self.layers, backend)
        fractions = amounts / amounts.sum(axis=1, dtype=np.float64, keepdims=True)
        return mlp.forward(places, fractions.astype(np.float32), self.layers, backend)


def load(name: str | Path = DEFAULT) -> Model:
    """The model `name`: one that ships (see `available`), or a path to a weights file with its card beside it.

    Raises
    ------
    ModelError
        No such model, or a file that is damaged or does not belong to its card.
    """
    path = Path(name)
    if path.suffix != ".safetensors":
        path = SHIPPED / f"{name}.safetensors"
        if not path.is_file() or path.parent != SHIPPED:
            known = ", ".join(sorted(available())) or "none ship"
            raise ModelError(f"no model {str(name)!r}: give one of {known}, or a path to a .safetensors file")
    card_path = path.with_suffix(".json")
    for needed in (path, card_path):
        if not needed.is_file():
            raise ModelError(f"no such file: {needed} (a model is a .safetensors file and a .json card beside it)")
    content = path.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    card = _read_card(card_path)
    if card["weights_sha256"] != checksum:
        raise ModelError(f"{path} is not the file that its card describes: its SHA-256 is {checksum}")
    try:
        tensors = safetensors.numpy.load(content)
        numbers = range(sum(name.endswith(".weight") for name in tensors))
        sources = card.get("shortcuts") or [None] * len(numbers)
        layers = mlp.pack(
            [(tensors[f"{i}.weight"], tensors[f"{i}.bias"]) for i in numbers],
            [None if sources[i] is None else (sources[i], tensors.get(f"{i}.projection")) for i in numbers],
        )
        encoding = FRACTIONS
        if card.get("inputs") == "attributes":
            encoding = Encoding("attributes", tensors["input.mean"], tensors["input.scale"])
    except (safetensors.SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path} holds no network that can be used: {error}") from None
    elements = np.array([ATOMIC_NUMBERS[symbol] for symbol in card["elements"]], np.int64)
    if layers.weights[0].shape[0] != inputs(encoding, len(elements)):
        raise ModelError(
            f"{path} takes {layers.weights[0].shape[0]} inputs but its card names {inputs(encoding, len(elements))}"
        )
    return Model(card["name"], path, checksum, card, layers, elements, encoding)


def available() -> dict[str, dict[str, float]]:
    """Models that ship: {name: metrics from its card}."""
    return {path.stem: _read_card(path)["metrics"] for path in sorted(SHIPPED.glob("*.json"))}


def save(
    path: Path,
    layers: Sequence[Pair],
    shortcuts: Sequence[Jump],
    encoding: Encoding,
    elements: Sequence[int],
    card: dict[str, Any],
) -> None:
    """Write weights (as `architecture.folded` gives them, in their dtype) to `path` and the card beside them."""
    tensors = {}
    for i, ((weight, bias), shortcut) in enumerate(zip(layers, shortcuts, strict=True)):
        tensors[f"{i}.weight"] = np.ascontiguousarray(weight)
        tensors[f"{i}.bias"] = np.ascontiguousarray(bias)
        if shortcut and shortcut[1] is not None:
            tensors[f"{i}.projection"] = np.ascontiguousarray(shortcut[1])
    if encoding.kind == "attributes":
        tensors |= {"input.mean": encoding.mean, "input.scale": encoding.scale}
    content = safetensors.numpy.save(tensors)
    full = {
        **card,
        "name": path.stem,
        "architecture": ARCHITECTURE,
        "widths": [len(bias) for _, bias in layers],
        "elements": [SYMBOLS[z] for z in elements],
        "shortcuts": [shortcut and shortcut[0] for shortcut in shortcuts],
        "inputs": encoding.kind,
        "output": "formation energy, eV/atom",
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    text = json.dumps(full, indent=2) + "\n"
    write_atomically(path.with_suffix(".json"), lambda temporary: temporary.write_text(text))


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a model card: {error}") from None
    needed = {"name": str, "architecture": str, "elements": list, "weights_sha256": str, "metrics": dict}
    for key, kind in needed.items():
        if not isinstance(card, dict) or not isinstance(card.get(key), kind):
            raise ModelError(f"{path}: not a model card: {key!r} is missing or of the wrong kind")
    if card["architecture"] != ARCHITECTURE:
        raise ModelError(f"{path}: unknown architecture {card['architecture']!r}")
    unknown = [symbol for symbol in card["elements"] if symbol not in ATOMIC_NUMBERS]
    if unknown:
        raise ModelError(f"{path}: {unknown[0]!r} is no element")
    return card
