"""Which implementation of a kernel runs."""

from typing import Literal

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
