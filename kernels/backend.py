"""Which implementation of a kernel runs."""

import importlib.util
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

Backend = Literal["auto", "reference", "cpu", "gpu"]


UNTIMED = {"mlp", "features", "embedding"}
"""Kernels that no device was timed with yet: `auto` stays on the CPU."""


class BackendError(ValueError):
    """A backend that does not exist, or that this machine or kernel cannot run."""


def gpu_here() -> Literal["cuda", "interpreter", ""]:
    """What Triton kernels would run on: a CUDA device, Triton's interpreter (TRITON_INTERPRET=1), or nothing."""
    if importlib.util.find_spec("triton") is None:
        return ""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "interpreter"
    if not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg")):  # without importing torch to ask
        return ""
    torch = importlib.import_module("torch")
    return "cuda" if torch.cuda.is_available() else ""


def resolve(backend: str, kernel: str, gpu: bool = False) -> Literal["reference", "cpu", "gpu"]:
    """The implementation to run for `backend`; `gpu` says whether `kernel` has a GPU version.

    `auto` takes a CUDA device where there is one and the kernel was timed there, else the CPU. BackendError for
    anything that cannot be had.
    """
    if backend == "auto":
        return "gpu" if gpu and kernel not in UNTIMED and gpu_here() == "cuda" else "cpu"
    if backend == "reference":
        return "reference"
    if backend == "cpu":
        return "cpu"
    if backend == "gpu":
        if not gpu:
            raise BackendError(f"{kernel} has no GPU version; use backend='cpu' or 'auto'")
        if gpu_here():
            return "gpu"
        raise BackendError(f"{kernel} on a GPU needs CUDA and Triton (pip install 'matscreen[gpu]'); use backend='cpu'")
    raise BackendError(f"unknown backend {backend!r}: expected 'auto', 'reference', 'cpu' or 'gpu'")


def as_numpy(*arrays: Any) -> tuple[list[Any], Callable[[np.ndarray], Any]]:
    """The arrays, torch tensors made NumPy, and what makes a result a tensor on their device again if any was one."""
    torch = sys.modules.get("torch")  # nobody can hold a tensor who has not imported it
    tensors = [a for a in arrays if torch is not None and isinstance(a, torch.Tensor)]
    if torch is None or not tensors:
        return list(arrays), lambda result: result
    plain = [a.detach().cpu().numpy() if isinstance(a, torch.Tensor) else a for a in arrays]
    return plain, lambda result: torch.from_numpy(result).to(tensors[0].device)


def on_gpu(*arrays: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The arrays as tensors where Triton runs, and what makes of a result an array, or a tensor if one was given."""
    torch = importlib.import_module("torch")
    device = "cuda" if gpu_here() == "cuda" else "cpu"
    first = next((a for a in arrays if isinstance(a, torch.Tensor)), None)
    if first is not None and first.device.type == "cuda":
        device = first.device
    plain = [
        np.ascontiguousarray(a) if isinstance(a, np.ndarray) else a for a in arrays
    ]  # torch takes no other strides
    moved = [a if a is None else torch.as_tensor(a).to(device) for a in plain]
    if first is None:
        return moved, lambda result: result.cpu().numpy()
    return moved, lambda result: result.to(first.device)


def device_of(tensor: Any) -> AbstractContextManager[object]:
    """Within it Triton launches where the tensor is, which need not be the first of several GPUs."""
    if tensor.device.type != "cuda":
        return nullcontext()
    context: AbstractContextManager[object] = importlib.import_module("torch").cuda.device(tensor.device)
    return context
