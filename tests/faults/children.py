"""Processes to be killed, each forked from one that has imported everything: a death then costs a second, not ten.

Run as a program it forks what it is told on its standard input; `Children` is the other end.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 600
"""Seconds that a process may take to end."""


@dataclass(frozen=True)
class Death:
    """When a process kills itself: about step `step` of making, writing, flushing and renaming its files.

    Attributes
    ----------
    step : counted over all files
    done : 0 before the step, 1 after it; between them, a write that far on its way
    """

    step: int
    done: float


class Children:
    """The other end of `serve`."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(self, *arguments: str, said: Path, death: Death | None = None, clock: int | None = None) -> int:
        """Start `matscreen` with these arguments; its number. What it says goes to the file `said`."""
        dying = None if death is None else [death.step, death.done]
        return int(self._ask({"arguments": arguments, "said": str(said), "death": dying, "clock": clock}))

    def wait(self, pid: int) -> int:
        """Its exit code once it has ended; of a killed one the signal's number, negative."""
        code = self._ask({"wait": pid})
        assert code is not None, f"it did not end in {PATIENCE} s"
        return int(code)

    def run(self, *arguments: str, said: Path, death: Death | None = None, clock: int | None = None) -> int:
        """`start` and `wait`."""
        return self.wait(self.start(*arguments, said=said, death=death, clock=clock))

    def _ask(self, told: dict[str, Any]) -> Any:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(told) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


def serve() -> None:
    """Fork and wait as told, a line of JSON each, until there are no more."""
    import matscreen.engine.cli.results
    import matscreen.engine.cli.scan
    import matscreen.engine.cli.search
    import matscreen.engine.cli.status
    import matscreen.engine.cluster  # noqa: F401

    for line in sys.stdin:
        told = json.loads(line)
        if "wait" in told:
            answer = _ended(told["wait"])
        else:
            answer = os.fork()
            if not answer:
                _live(told)
        print(answer, flush=True)


def _ended(pid: int) -> int | None:
    """The exit code of a child, or None of one that had to be killed because it did not end."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _live(told: dict[str, Any]) -> None:
    """What a forked process does; it does not return."""
    from matscreen.engine import cli

    said = os.open(told["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if told["death"]:
        _die_at(Death(*told["death"]))
    if told["clock"] is not None:
        _jumping_clock(told["clock"])
    sys.argv = ["matscreen", *told["arguments"]]
    code = 70
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _die_at(death: Death) -> None:
    """Wrap what files are made with, so that the process kills itself there."""
    steps = 0

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == death.step and death.done < 1:
                if step is written:
                    path, content = arguments
                    with path.open("wb") as file:
                        file.write(content[: int(len(content) * death.done)])
                os.kill(os.getpid(), signal.SIGKILL)
            result = step(*arguments, **options)
            if steps == death.step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return called

    written = Path.write_bytes
    tempfile.mkstemp = counted(tempfile.mkstemp)
    Path.write_bytes = counted(written)  # type: ignore[method-assign]
    os.fsync = counted(os.fsync)
    Path.replace = counted(Path.replace)  # type: ignore[method-assign]


def _jumping_clock(seed: int) -> None:
    """The time of day leaps by up to ten years, backwards as often as forwards, several times a second."""
    real, since = time.time, time.monotonic()

    def leaping() -> float:
        leaps = int((time.monotonic() - since) / 0.3)
        return real() + random.Random(f"{seed} {leaps}").uniform(-3e8, 3e8)

    time.time = leaping
    for module in list(sys.modules.values()):  # Dask took the function itself
        if module.__name__.startswith("distributed") and getattr(module, "time", None) is real:
            vars(module)["time"] = leaping


if __name__ == "__main__":
    serve()
