"""What one sees of a training: which network, epoch, rate, errors and time left."""

import time

import rich.progress

from matscreen.engine.cli.output import PROGRESS
from matscreen.models.loop import Progress


class TrainingBar:
    """A bar for one training after another; `hidden` in all processes of a group but one."""

    def __init__(self, epochs: int, hidden: bool = False, what: str = "compositions") -> None:
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.fields[which]}epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TextColumn("{task.fields[rate]} " + what + "/s · error {task.fields[error]}"),
            rich.progress.TimeRemainingColumn(),
            console=PROGRESS,
            transient=True,
            disable=hidden,
        )
        self._task = self._bar.add_task("", total=None, which="", epoch=0, epochs=epochs, rate="–", error="–")
        self._first: dict[str, tuple[int, float]] = {}

    def __enter__(self) -> "TrainingBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, state: Progress, which: str = "") -> None:
        """Show `state` of the training `which`; the rate counts from its first step here, not from a checkpoint's."""
        seen, since = self._first.setdefault(which, (state.seen, time.perf_counter()))
        rate = (state.seen - seen) / max(time.perf_counter() - since, 1e-9)
        self._bar.update(
            self._task,
            total=state.total,
            completed=state.seen,
            which=which and which + " ",
            epoch=state.epoch,
            rate=f"{rate:,.0f}",
            error=f"{state.train_error:.4f} (validation {state.validation_error:.4f})",
        )
