"""What the benchmarks share: medians, the machine, and where results go."""

import contextlib
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
DATA = Path(os.environ.get("MATSCREEN_DATA", ROOT.parent / "shared" / "data"))


PACKAGES = (
    "numpy", "numba", "torch", "triton", "pymatgen-core", "matminer", "scipy", "orix", "kikuchipy",
    "opencv-python-headless",
)  # fmt: skip


def median_seconds(run: Callable[[], object], repeats: int = 5, warm: bool = True) -> float:
    """Median wall time of `run`, after a first call that is not counted (compilation, caches)."""
    if warm:
        run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def sgemm_rate() -> float:
    """Best product of float32 matrices on the threads PyTorch is set to, FLOP/s: the limit of a forward pass."""
    import torch

    from matscreen.kernels.products import product

    best = 0.0
    for m in (512, 1024, 2048):
        a, b, c = torch.randn(m, 1024), torch.randn(1024, 1024), torch.empty(m, 1024)
        for multiply in (lambda a=a, b=b, c=c: torch.mm(a, b, out=c), lambda a=a, b=b: product(a, b)):
            best = max(best, 2 * m * 1024 * 1024 / median_seconds(multiply, 15))
    return best


def dense_network(widths: Sequence[int]) -> "torch.nn.Module":
    """A ReLU network as one writes it in PyTorch, with its own first weights: the peer of ours."""
    from torch import nn

    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1]).eval()


def copy_rate() -> float:
    """Bytes/s of a large copy, counting bytes read and written: the limit of whatever only moves data."""
    source, target = np.ones(2**25), np.empty(2**25)
    return 2 * source.nbytes / median_seconds(lambda: np.copyto(target, source))


def commit() -> str:
    """Of the code that measures; empty outside of a repository."""
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip()


def record(name: str, figures: Any) -> dict[str, Any]:
    """The figures with machine, versions and commit."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "benchmark": name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": versions,
        "figures": figures,
    }


def publish(name: str, figures: dict[str, Any]) -> None:
    """Print the figures and write them, with machine, versions and commit, to `bench/results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record(name, figures), indent=2) + "\n")
    print(f"\n{name}")
    for key, value in figures.items():
        print(f"  {key:<52} {value:,.4g}" if isinstance(value, float | int) else f"  {key:<52} {value}")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
