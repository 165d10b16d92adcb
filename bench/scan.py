"""The main job end to end, as `make scan` runs it, and its stages."""

import tempfile
import time
from pathlib import Path

from bench.harness import publish
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, scan

ELEMENTS = "Li,Na,Mg,Al,Si,Ca,Ti,V,Mn,Fe,Ni,Zn,S,O"


def main() -> None:
    space, model, phases = CompositionSpace(ELEMENTS), models.load(), PhaseTable.load()
    with tempfile.TemporaryDirectory() as folder:
        scan(CompositionSpace("Li-O"), model, phases, Path(folder) / "warm")
        started = time.perf_counter()
        run = scan(space, model, phases, Path(folder) / "run")
        seconds = time.perf_counter() - started
        summary = run.summary
    rates = summary["throughput"]
    publish(
        "scan",
        {
            "compositions": len(space),
            "candidates": summary["candidates"],
            "seconds": seconds,
            "compositions/s, all cores": len(space) / seconds,
            "prediction, compositions/s/core": rates["predict_per_second_per_thread"],
            "hull beside it, compositions/s/core": rates["hull_per_second_per_thread"],
        },
    )


if __name__ == "__main__":
    main()
