"""All 446,597,140 compositions, screened by one command on the cores of this machine, and the memory of its process.

What the command wrote is left in `--out`, to be looked at and verified.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from bench.harness import publish
from bench.memory import GIB, drift, resident
from matscreen.engine.journal import events

SCAN = ("scan", "all", "--threshold", "0.6")


def memory_of(arguments: tuple[str, ...]) -> tuple[list[tuple[float, int]], float]:
    """(time, bytes) of `matscreen` with these arguments, each ten seconds, and how long it ran, in seconds."""
    process = subprocess.Popen([sys.executable, "-m", "matscreen.engine.cli", *arguments])
    started, curve = time.time(), []
    while True:
        curve.append((time.time(), resident(process)))
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        if code:
            raise SystemExit("the scan failed")
        return curve, time.time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a new folder for the run, 2 GB")
    out = parser.parse_args().out
    curve, seconds = memory_of((*SCAN, "--out", str(out)))
    summary, told = json.loads((out / "summary.json").read_text()), events(out)
    chunks = [datetime.fromisoformat(event["time"]).timestamp() for event in told if event["event"] == "chunk"]
    publish(
        "everything",
        {
            "command": " ".join(("matscreen", *SCAN)),
            "cores": len(os.sched_getaffinity(0)),
            "compositions": summary["compositions"],
            "candidates": summary["candidates"],
            "share that the model itself predicted": summary["predicted_by_the_model_itself"] / summary["screened"],
            "by number of elements": summary["by_arity"],
            "seconds": seconds,
            "of these: merge and rank": summary["throughput"]["merge_seconds"],
            "compositions/s": summary["compositions"] / seconds,
            "chunks": len(chunks),
            "peak memory, GiB": max(size for _, size in curve) / GIB,
            "growth over the second half of the scan, GiB": drift(curve, chunks[0], chunks[-1]) / GIB,
            "bytes on disk": sum(file.stat().st_size for file in out.rglob("*") if file.is_file()),
        },
    )


if __name__ == "__main__":
    main()
