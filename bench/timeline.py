"""Who works when: what a scan predicts, measures, describes and writes, stage by stage, on the processor or a GPU.

    python -m bench.timeline [ELEMENTS] [--gpu bf16]        a minute

Writes `bench/results/timeline.json`, for chrome://tracing or ui.perfetto.dev, and a picture of the same.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.harness import RESULTS, record
from bench.scan import ELEMENTS
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, rundir, scan, screen
from matscreen.engine.cascade import Look
from matscreen.kernels import hull
from matscreen.models.pictures import figure, save_figure

TRACED = 4 * 10**6
"""µs of a scan in the trace file, from its first stage on; more would only make it large."""


class Span(NamedTuple):
    """A stage at work, in seconds of the clock."""

    stage: str
    start: float
    stop: float


def watched(spans: list[Span], name: Callable[..., str], run: Callable[..., Any]) -> Callable[..., Any]:
    """`run`, which then tells `spans` when it was at work."""

    def called(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return run(*given, **named)
        finally:
            spans.append(Span(name(*given), started, time.perf_counter()))

    return called


def stage_of(look: Look, *_: object) -> str:
    """What a prediction is called."""
    return f"{look.model.name}, {f'GPU, {look.precision}' if look.precision else 'processor'}"


def lanes(spans: list[Span]) -> list[int]:
    """For each of the spans, by rising start, the first row in which nothing else is at work."""
    free: list[float] = []
    found = []
    for span in spans:
        lane = next((n for n, until in enumerate(free) if until <= span.start), len(free))
        free[lane : lane + 1] = [span.stop]
        found.append(lane)
    return found


def busy(spans: list[Span]) -> float:
    """Seconds in which at least one of them is at work."""
    total, until = 0.0, 0.0
    for span in sorted(spans, key=lambda one: one.start):
        total += max(span.stop - max(span.start, until), 0)
        until = max(until, span.stop)
    return total


def drawn(stages: dict[str, list[Span]], begun: float, seconds: float, path: Path) -> None:
    """A row for each stage and each of its threads."""
    rows = [(name, lane) for name, own in stages.items() for lane in range(max(lanes(own)) + 1)]
    plot = figure(11, 1 + 0.32 * len(rows))
    axes = plot.subplots()
    for number, (name, own) in enumerate(stages.items()):
        taken = lanes(own)
        for span, lane in zip(own, taken, strict=True):
            where = rows.index((name, lane)) - 0.4
            axes.broken_barh([(span.start - begun, span.stop - span.start)], (where, 0.8), color=f"C{number}", lw=0)
    axes.set(xlabel="seconds", xlim=(0, seconds), yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticklabels([name if not lane else "" for name, lane in rows])
    save_figure(plot, path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.timeline")
    parser.add_argument("elements", nargs="?", default=ELEMENTS)
    parser.add_argument("--gpu", choices=("fp32", "tf32", "bf16", "fp8"))
    given = parser.parse_args()
    space, model, phases = CompositionSpace(given.elements), models.load(), PhaseTable.load()
    spans: list[Span] = []
    inside = screen.__globals__  # the module, whose name its function has
    Look.predicted = watched(spans, stage_of, Look.predicted)  # type: ignore[method-assign]
    hull.hull_energies = watched(spans, lambda *_: "hull distances", hull.hull_energies)
    inside["describe"] = watched(spans, lambda *_: "decompositions, chemistry", inside["describe"])
    rundir.write_chunk = watched(spans, lambda *_: "written", rundir.write_chunk)
    with tempfile.TemporaryDirectory() as folder:
        scan(CompositionSpace("Li-O"), model, phases, Path(folder) / "warm", gpu=given.gpu)
        spans.clear()
        begun = time.perf_counter()
        scan(space, model, phases, Path(folder) / "run", gpu=given.gpu)
        seconds = time.perf_counter() - begun
    spans.sort(key=lambda one: one.start)
    stages = {
        name: [span for span in spans if span.stage == name] for name in dict.fromkeys(one.stage for one in spans)
    }
    events = [
        {"name": span.stage, "ph": "X", "pid": number, "tid": lane, "ts": round(1e6 * (span.start - begun)),
         "dur": round(1e6 * (span.stop - span.start))}
        for number, own in enumerate(stages.values())
        for span, lane in zip(own, lanes(own), strict=True)
    ]  # fmt: skip
    names = [
        {"name": "process_name", "ph": "M", "pid": number, "args": {"name": name}} for number, name in enumerate(stages)
    ]
    figures = {
        "compositions": len(space),
        "seconds": seconds,
        "share of the time that a stage is at work": {name: busy(own) / seconds for name, own in stages.items()},
        "seconds of all threads": {
            name: float(np.sum([s.stop - s.start for s in own])) for name, own in stages.items()
        },
    }
    told = {"traceEvents": names + [event for event in events if event["ts"] < TRACED], "otherData": figures}
    (RESULTS / "timeline.json").write_text(json.dumps(record("timeline", figures) | told) + "\n")
    drawn(stages, begun, seconds, RESULTS / "timeline.png")
    print(json.dumps(figures, indent=1), f"{len(spans):,} spans, wrote {RESULTS / 'timeline.json'}", sep="\n")


if __name__ == "__main__":
    main()
