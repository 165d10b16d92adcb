"""`matscreen doctor`: what this machine has and what will be used."""

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from pathlib import Path
from typing import Annotated

import numba
import platformdirs
import torch
import typer

from matscreen.engine.cli.output import print_table
from matscreen.engine.reference import SOURCES
from matscreen.engine.reference.sources import cached_path
from matscreen.kernels.backend import gpu_here
from matscreen.kernels.parity import checks
from matscreen.models import available
from matscreen.models.errors import JobError


def doctor(
    kernels: Annotated[
        bool, typer.Option("--kernels", help="Check every kernel here against its definition; say which backend runs.")
    ] = False,
) -> None:
    """Say what was found: processor, GPU, versions, models, reference data, caches. Nothing is changed."""
    if kernels:
        _kernels()
        return
    rows = [
        ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores to use"),
        ("numba target", f"{numba.core.codegen.get_host_cpu_features().count('+')} features, {numba.__version__}"),
        ("GPU", _gpu()),
        ("Triton", _version("triton") or "not installed (pip install 'matscreen[gpu]'); only needed on a GPU"),
        ("Python", platform.python_version()),
        *((name, _version(name) or "missing") for name in ("matscreen", "torch", "numpy", "pyarrow", "distributed")),
        *(("model", f"{name}, {_metrics(metrics)}") for name, metrics in available().items()),
        *(
            ("reference", f"{name}: {cached_path(name) if cached_path(name).is_file() else 'fetched on first use'}")
            for name in SOURCES
        ),
        (
            "cache",
            f"{platformdirs.user_cache_path('matscreen')}: {_writable(platformdirs.user_cache_path('matscreen'))}",
        ),
    ]
    print_table("", ("", "found"), rows)


def _kernels() -> None:
    """Parity of every kernel on every backend, and which one runs; exit code 1 if one is wrong."""
    here = gpu_here()
    rows, wrong = [], []
    for found in checks():
        told = "holds" if found.holds else "WRONG"
        runs = "runs here" if found.runs else "where asked for"
        rows.append(
            (found.kernel, found.backend, f"{found.difference:.1e}", f"{found.tolerance:.0e}", f"{told}; {runs}")
        )
        if not found.holds:
            wrong.append(f"{found.kernel} on {found.backend}")
    print_table("Against the definitions", ("kernel", "backend", "largest difference", "may be", ""), rows)
    why = {
        "cuda": "a CUDA device and Triton are here: filters2d and disorientation run on it; networks with --gpu",
        "interpreter": "TRITON_INTERPRET is set: the interpreter where backend='gpu' asks for it, else the CPU",
        "": "no CUDA device with Triton is here: every kernel runs on the CPU",
    }
    print_table("", ("", ""), [("which runs", why[here])])
    if wrong:
        raise JobError(f"wrong on this machine: {', '.join(wrong)}; please report it with the table above")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none that PyTorch can use; scans run on the CPU"
    return f"{torch.cuda.get_device_name(0)} (--kernels checks the kernels on it; scans take it with --gpu)"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _metrics(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _writable(path: Path) -> str:
    existing = next(p for p in (path, *path.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return "writable"
    except OSError as error:
        return f"not writable ({error.strerror})"
