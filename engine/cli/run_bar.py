"""The bar of a scan or a search."""

import time

import rich.progress
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from matscreen.engine.cli.output import PROGRESS


class RunBar:
    """How much is done, how many a second, what was found and how long it takes yet."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar = rich.progress.Progress(
            TextColumn("{task.percentage:>5.1f}%"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            console=PROGRESS,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, told="")
        self._started = time.perf_counter()

    def __enter__(self) -> "RunBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int, resumed: int, found: str) -> None:
        """So many of `total` are done, `resumed` of them before."""
        rate = (done - resumed) / max(time.perf_counter() - self._started, 1e-9)
        speed = f"{rate:,.0f}" if done > resumed else "–"
        self._bar.update(self._task, total=total, completed=done, told=f"{speed} {self._unit}/s · {found}")
