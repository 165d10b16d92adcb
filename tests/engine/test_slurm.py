"""How jobs of SLURM are asked for again, with a cluster and a queue that are made up (tests/faults has a real one)."""

import asyncio
import subprocess
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from matscreen.engine import slurm


class Cluster:
    """Jobs by name; those in `alive` are in SLURM's queue."""

    def __init__(self, names: int) -> None:
        self.worker_spec = {f"w{n}": None for n in range(names)}
        self.workers = {name: SimpleNamespace(job_id=name) for name in self.worker_spec}
        self.alive = set(self.worker_spec)
        self.asked: list[int] = []
        self.closed = False
        self.scheduler = SimpleNamespace(close=self._close)

    async def _close(self) -> None:
        self.closed = True

    def scale(self, jobs: int) -> None:
        self.asked.append(jobs)
        for name in self.worker_spec:
            self.workers.setdefault(name, SimpleNamespace(job_id=name))

    def sync(self, run: Callable[[], Any]) -> None:
        asyncio.run(run())


class Queue:
    """Answers of `squeue`, one a look; `then` is called before each."""

    def __init__(self, cluster: Cluster, ended: threading.Event, looks: int, then: Callable[[int], None]) -> None:
        self.cluster, self.ended, self.looks, self.then, self.seen = cluster, ended, looks, then, 0

    def __call__(self, *command: str, script: str = "") -> subprocess.CompletedProcess[str]:
        assert command[0] == "squeue"
        self.then(self.seen)
        self.seen += 1
        if self.seen == self.looks:
            self.ended.set()
        lines = [f"{name} RUNNING" for name in sorted(self.cluster.alive)] + ["", "nonsense", "w9 CANCELLED"]
        return subprocess.CompletedProcess(command, 0, "\n".join(lines), "")


def renewed(
    monkeypatch: pytest.MonkeyPatch, cluster: Cluster, looks: int, then: Callable[[int], None]
) -> tuple[list[str], int]:
    """What was said, and how often the queue was looked at."""
    ended, said = threading.Event(), list[str]()
    queue = Queue(cluster, ended, looks, then)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(slurm, "_slurm", queue)
    slurm._renew(cluster, len(cluster.worker_spec), said.append, ended)
    return said, queue.seen


def test_jobs_that_end_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(3)

    def then(look: int) -> None:
        cluster.alive = set(cluster.worker_spec) - ({"w1"} if look in (2, 3) else set())

    said, _ = renewed(monkeypatch, cluster, 8, then)
    assert said == ["1 SLURM job(s) ended; asked for again"]
    assert cluster.asked == [3]
    assert not cluster.closed


def test_jobs_that_are_being_asked_for_have_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing in one look, there in the next."""
    cluster = Cluster(3)

    def then(look: int) -> None:
        cluster.alive = set(cluster.worker_spec) - {f"w{look % 3}"}

    assert renewed(monkeypatch, cluster, 12, then)[0] == []
    assert cluster.asked == []


def test_jobs_that_end_again_and_again_end_the_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that still works may go on; without any the scheduler closes, of which the scan hears."""
    monkeypatch.setattr(slurm, "RENEWALS", 2)
    cluster = Cluster(2)

    def then(look: int) -> None:
        cluster.alive = {"w0"} if look < 20 else set()

    said, looks = renewed(monkeypatch, cluster, 1000, then)
    assert said[:4] == ["1 SLURM job(s) ended; asked for again"] * 4
    assert said[4:] == ["1 SLURM job(s) ended again and again and are not asked for any more", "no SLURM job is left"]
    assert cluster.closed
    assert 20 < looks < 30


def test_a_queue_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(command, 60)

    monkeypatch.setattr(subprocess, "run", silent)
    assert slurm._gone(Cluster(2)) is None
    assert slurm._slurm("sbatch").stderr == "sbatch did not answer in 60 s"
