"""`matscreen doctor`: what this machine has and what will be used."""

import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from pathlib import Path

import numba
import platformdirs
import torch

from matscreen.engine.cli.output import print_table
from matscreen.engine.reference import SOURCES
from matscreen.engine.reference.sources import cached_path
from matscreen.models import available


def doctor() -> None:
    """Say what was found: processor, GPU, versions, models, reference data, caches. Nothing is changed."""
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


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none that PyTorch can use; scans run on the CPU"
    return f"{torch.cuda.get_device_name(0)} (scans run on the CPU in this version)"


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
