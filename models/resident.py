"""A model's networks on a GPU: elements and amounts go in, what they predict comes out, all between stays there.

One thread of a process at a time: the device would do one after the other anyway, and Triton loads a kernel when it is
first launched, which two threads must not do at once.
"""

import threading
import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from matscreen.kernels.backend import device_of, gpu_here
from matscreen.kernels.embedding import Tables
from matscreen.kernels.embedding import gpu as embedding
from matscreen.kernels.features import composition_features
from matscreen.kernels.features import gpu as features
from matscreen.kernels.mlp import Precision, weights
from matscreen.kernels.mlp import gpu as mlp
from matscreen.models.encoding import LARGEST
from matscreen.models.errors import JobError
from matscreen.models.member import Member

ROWS = 2**16
"""Compositions at a time; with a pair network their attributes and embeddings take about half a gigabyte."""

SAMPLE = 4096
"""Compositions that tell the range of a network's activations, for those of 8 bits."""


class Held(NamedTuple):
    """A network on the device."""

    network: weights.Network
    tables: Tables | None
    mean: torch.Tensor
    scale: torch.Tensor


_held: dict[tuple[object, ...], Held] = {}
"""By the identities of a network's arrays, with which they go."""

_lock = threading.Lock()


def outputs(
    members: Sequence[Member],
    known: np.ndarray,
    elements: np.ndarray,
    amounts: np.ndarray,
    places: np.ndarray,
    precision: Precision,
) -> np.ndarray:
    """(members, N, outputs) float32 of compositions (see `Model.energies`), of the device that Triton has.

    known : (E,) atomic numbers of the networks' elements; places : (N, K) int32, which of those each element is

    BackendError for a precision that the device or the networks cannot have, JobError where its memory is full.
    """
    cuda = gpu_here() == "cuda"
    device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
    try:
        with _lock:
            held = [_on_device(member, known, precision, device) for member in members]
            beside = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
            shape = len(members), len(elements), len(members[0].layers.biases[-1])
            result = torch.empty(shape, dtype=torch.float32, pin_memory=cuda)
            for start in range(0, len(elements), ROWS):
                part = slice(start, start + ROWS)
                given = (_sent(array[part], device) for array in (elements, amounts, places))
                _fetch(_part(held, *given), result[:, part], beside)
            if beside:
                beside.synchronize()
    except torch.OutOfMemoryError:
        raise JobError(f"the GPU has no memory left for {len(members)} networks and {ROWS:,} compositions") from None
    return result.numpy().copy()  # so that no page stays locked for who keeps it


def _sent(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """The array on the device, from memory that it reads without this thread waiting."""
    here = torch.tensor(np.ascontiguousarray(array))
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here


def _fetch(found: torch.Tensor, into: torch.Tensor, beside: torch.cuda.Stream | None) -> None:
    """Copy (members, n, outputs) to here; of a device in a stream of its own, while it computes the next."""
    if beside is None:
        into.copy_(found)
        return
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for here, there in zip(into, found, strict=True):  # a member's lie in one piece, which such a copy needs
            here.copy_(there, non_blocking=True)
    found.record_stream(beside)


def _part(held: Sequence[Held], elements: torch.Tensor, amounts: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(members, n, outputs) on the device; attributes are computed once for all members."""
    amounts = amounts.double()
    x = (amounts / amounts.sum(dim=1, keepdim=True)).float()
    with device_of(x):
        wanted = any(len(one.mean) for one in held)
        attributes = features.composition_features(elements, amounts) if wanted else None
        found = []
        for one in held:
            if attributes is None:
                found.append(mlp.forward(places, x, one.network))
                continue
            standard = ((attributes - one.mean) / one.scale).clamp(-LARGEST, LARGEST).float()
            embedded = [embedding.embed(places, x, one.tables)] if one.tables else []
            found.append(mlp.forward_dense(torch.cat([*embedded, standard], dim=1), one.network))
    return torch.stack(found)


def _on_device(member: Member, known: np.ndarray, precision: Precision, device: torch.device) -> Held:
    """The network there, put there if it is not."""
    layers, encoding = member.layers, member.encoding
    jumps = (jump.projection for jump in layers.shortcuts if jump and jump.projection is not None)
    arrays = (*layers.weights, *layers.biases, *jumps, *(encoding.tables or ()), encoding.mean, encoding.scale)
    key = (*map(id, arrays), precision, device)
    if key not in _held:
        sample = _sample(member, known) if precision == "fp8" else None
        _held[key] = Held(
            weights.network(layers, precision, str(device), sample),
            encoding.tables and Tables(*(torch.from_numpy(table).to(device) for table in encoding.tables)),  # type: ignore[arg-type]
            *(torch.from_numpy(array).to(device) for array in (encoding.mean, encoding.scale)),
        )
        for array in arrays:  # another may get its identity once it is gone
            weakref.finalize(array, _held.pop, key, None).atexit = False
    return _held[key]


def _sample(member: Member, known: np.ndarray) -> np.ndarray:
    """(SAMPLE, inputs) float32 of random compositions of up to four of the elements, the same every time."""
    generator = np.random.default_rng(0)
    places = np.argsort(generator.random((SAMPLE, len(known))), axis=1)[:, :4]
    fractions = generator.dirichlet(np.ones(places.shape[1]), SAMPLE)
    if member.encoding.kind == "fractions":
        rows = np.zeros((SAMPLE, len(known)), np.float32)
        np.put_along_axis(rows, places, fractions.astype(np.float32), axis=1)
        return rows
    attributes = composition_features(known[places].astype(np.uint8), fractions)
    return member.encoding.dense(places, fractions.astype(np.float32), attributes, "cpu")
