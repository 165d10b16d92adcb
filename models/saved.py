"""Networks as files: weights (safetensors; what was learnt in half precision) and beside them the card (JSON)."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import safetensors
import safetensors.torch
import torch
from torch import nn

from matscreen.models.errors import InputError
from matscreen.models.files import is_file, write_atomically
from matscreen.models.fit import write_table
from matscreen.models.recipe import Schedule


def save(path: Path, network: nn.Module, architecture: str, card: dict[str, Any]) -> None:
    """Write the weights to `path` and the card beside them; InputError if they are not finite in half precision."""
    learnt = {name for name, _ in network.named_parameters()}  # a batch norm's variances may be too large for half
    tensors = {
        name: (tensor.half() if name in learnt else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    if (name := _infinite(tensors)) is not None:
        raise InputError(f"{path} is not written: {name} is not finite in half precision; learn more slowly")
    content = safetensors.torch.save(tensors)
    checksum = hashlib.sha256(content).hexdigest()
    full = {"name": path.stem, "architecture": architecture, **card, "weights_sha256": checksum}
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    text = json.dumps(full, indent=2) + "\n"
    write_atomically(path.with_suffix(".json"), lambda temporary: temporary.write_text(text))


def keep(
    out: Path, network: nn.Module, architecture: str, card: dict[str, Any], history: list[dict[str, float]]
) -> None:
    """What a training leaves: weights, card, curves (.history.parquet), and no checkpoint any more."""
    save(out, network.cpu(), architecture, card)
    write_table(out.with_suffix(".history.parquet"), pa.Table.from_pylist(history))
    out.with_suffix(".checkpoint").unlink()


def training(recipe: Schedule, history: list[dict[str, float]], device: torch.device) -> dict[str, Any]:
    """What a card says of how a network was trained."""
    return asdict(recipe) | {
        "epochs_run": len(history),
        "seconds": round(sum(epoch["seconds"] for epoch in history)),
        "torch": torch.__version__,
        "device": str(device),
    }


def read(path: Path, architecture: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Card and weights, in single precision; InputError for none, damaged ones, or those of something else."""
    if not is_file(path):
        raise InputError(f"no such file: {path}")
    content, card = path.read_bytes(), read_card(path.with_suffix(".json"), architecture)
    if card.get("weights_sha256") != (checksum := hashlib.sha256(content).hexdigest()):
        raise InputError(f"{path} is not the file that its card describes: its SHA-256 is {checksum}")
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} holds no network that can be used: {error}") from None
    if (name := _infinite(tensors)) is not None:
        raise InputError(f"{path} holds no network that can be used: {name} is not finite")
    return card, {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def _infinite(tensors: dict[str, torch.Tensor]) -> str | None:
    """The first tensor with a value that is not finite, if one has any."""
    return next((name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())), None)


def weights_file(name: str | Path, folder: Path, kind: str) -> Path:
    """A .safetensors file as it is given, or the one of that name that ships in `folder`; InputError for none such."""
    path = Path(name)
    if path.suffix == ".safetensors":
        return path
    shipped = {file.stem: file for file in sorted(folder.glob("*.safetensors"))}
    if str(name) not in shipped:
        known = ", ".join(shipped) or "none ships"
        raise InputError(f"no {kind} {str(name)!r}: give one of {known}, or a path to a .safetensors file")
    return shipped[str(name)]


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Within it a network is made from what card and weights at `path` say; InputError if they do not fit.

    Its first weights, which are drawn and then replaced, leave the random state of the caller as it was.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} holds no network that can be used: {' '.join(str(error).split())}") from None


def read_card(path: Path, architecture: str) -> dict[str, Any]:
    """The card; InputError for none, or one of another architecture."""
    try:
        card = json.loads(path.read_text())
        if not isinstance(card, dict) or card.get("architecture") != architecture:
            raise ValueError(f"it is of no {architecture}")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a model card: {error}") from None
    return card
