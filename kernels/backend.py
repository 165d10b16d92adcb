"""Which implementation of a kernel runs."""

import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Backend = Literal["auto", "reference", "cpu", "gpu"]


class BackendError(ValueError):
    """A backend that does not exist, or that this machine or kernel cannot run."""


def resolve(backend: str, kernel: str, gpu: bool = False) -> Literal["reference", "cpu", "gpu"]:
    """The implementation to run for `backend`; `gpu` says whether `kernel` has a GPU version that can run here.

    `auto` takes the GPU where it can run, else the CPU. BackendError for anything that cannot be had.
    """
    if backend == "auto":
        return "gpu" if gpu else "cpu"
    if backend == "reference":
        return "reference"
    if backend == "cpu":
        return "cpu"
    if backend == "gpu":
        if gpu:
            return "gpu"
        raise BackendError(f"{kernel} has no GPU version that runs on this machine; use backend='cpu' or 'auto'")
    raise BackendError(f"unknown backend {backend!r}: expected 'auto', 'reference', 'cpu' or 'gpu'")


def as_numpy(*arrays: Any) -> tuple[list[Any], Callable[[np.ndarray], Any]]:
    """The arrays, torch tensors made NumPy, and what makes a result a tensor on their device again if any was one."""
    torch = sys.modules.get("torch")  # nobody can hold a tensor who has not imported it
    tensors = [a for a in arrays if torch is not None and isinstance(a, torch.Tensor)]
    if torch is None or not tensors:
        return list(arrays), lambda result: result
    plain = [a.detach().cpu().numpy() if isinstance(a, torch.Tensor) else a for a in arrays]
    return plain, lambda result: torch.from_numpy(result).to(tensors[0].device)
