"""Memory over a scan of 54 million compositions, and of one that keeps whatever it looks at.

The processes are those of a cluster: the scheduler, a worker with one thread, and the client, which writes the chunks,
merges and ranks. Each is looked at every second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
from distributed import Client

from bench.harness import RESULTS, publish
from matscreen.engine.journal import events
from matscreen.models.pictures import figure, save_figure

SPACES = {
    "0.6 eV/atom below": ("all", "--threshold", "0.6", "--exclude", "lanthanides,actinides,5d metals,Tc,Kr,Xe,Be,Cd"),
    "everything a candidate": (
        "3d metals,alkali metals,alkaline earths,N,O,F,P,S,Cl",
        "--threshold",
        "-100",
        "--exact",
    ),
}
PORT = 18780
GIB = 2**30


def family(parent: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        first = psutil.Process(parent.pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def resident(parent: subprocess.Popen[bytes]) -> int:
    """Bytes of the largest of a process and those that it started: a nanny, or a resource tracker, is nothing."""
    sizes = [0]
    for process in family(parent):
        with suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes)


def watched(arguments: tuple[str, ...], folder: Path) -> tuple[dict[str, list[tuple[float, int]]], float, Path]:
    """(seconds, bytes) of each process over a scan, when that began, and where the run is."""
    address, environment = f"tcp://127.0.0.1:{PORT}", os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"}

    def start(*command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", *command], env=environment)

    parts = {"scheduler": start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(PORT))}
    parts["worker"] = start("distributed.cli.dask_worker", address, "--nthreads", "1", "--local-directory", str(folder))
    curves: dict[str, list[tuple[float, int]]] = {name: [] for name in ("scheduler", "worker", "client")}
    path = folder / "run"
    try:
        with Client(address, timeout=30) as client:
            client.wait_for_workers(1, timeout=60)
        scan = ("matscreen.engine.cli", "scan", *arguments, "--scheduler", address, "--out", str(path), "--top", "3")
        parts["client"] = start(*scan)
        started = time.time()
        while parts["client"].poll() is None:
            for name, process in parts.items():
                curves[name].append((time.time() - started, resident(process)))
            time.sleep(1)
        if parts["client"].returncode:
            raise SystemExit("the scan failed")
    finally:
        for process in [process for part in parts.values() for process in family(part)]:
            process.kill()
        for part in parts.values():
            part.wait()
    return curves, started, path


def drift(curve: list[tuple[float, int]], begin: float, end: float) -> float:
    """Bytes that memory grows by from the middle of a scan to its end, along a straight line."""
    seconds, sizes = np.array(curve).T
    later = (seconds > (begin + end) / 2) & (seconds < end)
    slope = np.polyfit(seconds[later], sizes[later], 1)[0]
    return float(slope * (end - begin) / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few elements")
    quick = parser.parse_args().quick
    figures = {}
    drawn = figure(9, 3.6)
    axes = drawn.subplots(1, len(SPACES))
    for axis, (name, arguments) in zip(axes, SPACES.items(), strict=True):
        if quick:
            arguments = ("Li-Fe-Ti-P-O-S", *arguments[1 : 3 + ("--exact" in arguments)])
        with tempfile.TemporaryDirectory() as temporary:
            curves, started, path = watched(arguments, Path(temporary))
            summary = json.loads((path / "summary.json").read_text())
            told = events(path)
        rates = summary["throughput"]
        chunks = [event for event in told if event["event"] == "chunk"]
        begin, end, merged = (
            datetime.fromisoformat(event["time"]).timestamp() - started for event in (told[0], chunks[-1], told[-1])
        )
        figures[name] = {
            "arguments": " ".join(arguments),
            "compositions": summary["compositions"],
            "candidates": summary["candidates"],
            "chunks": len(chunks),
            "seconds": merged - begin,
            "merge seconds": rates["merge_seconds"],
            "peak, GiB": {part: max(size for _, size in curve) / GIB for part, curve in curves.items()},
            "growth over the second half of the scan, GiB": {
                part: drift(curve, begin, end) / GIB for part, curve in curves.items()
            },
            "curve: seconds, GiB": {
                part: [[round(at), round(size / GIB, 3)] for at, size in curve[:: len(curve) // 300 + 1]]
                for part, curve in curves.items()
            },
        }
        for part, curve in curves.items():
            seconds, sizes = np.array(curve).T
            axis.plot(seconds / 60, sizes / GIB, label=part, linewidth=1)
        axis.axvspan(end / 60, merged / 60, color="0.92", label="merge")
        axis.set(title=f"{name}: {summary['compositions']:,}", xlabel="minutes", ylim=(0, None))
    axes[0].set_ylabel("memory, GiB")
    axes[0].legend(frameon=False, fontsize=8)
    if quick:
        print(json.dumps({name: {k: v for k, v in f.items() if "curve" not in k} for name, f in figures.items()}))
        return
    save_figure(drawn, RESULTS / "memory.png")
    publish("memory", figures)


if __name__ == "__main__":
    main()
