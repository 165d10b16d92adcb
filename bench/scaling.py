"""How far a scan scales: real scans on up to 1,000 Dask workers that sleep as long as a chunk takes one core.

A chunk is screened once to know how long that is and what comes back. Then the scheduler, the client and everything
that goes between them and the workers are the real ones: each worker has its own connections and heartbeats, is given
chunks and sends back as many candidates as that chunk had; the client writes them. Only the screening sleeps, and the
job itself (model and phases) is not sent, so that two cores can hold a thousand workers.
"""

import argparse
import asyncio
import multiprocessing
import os
import pickle
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import torch
from dask import config
from distributed import Client, Worker

from bench.harness import publish
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, cluster, scan
from matscreen.engine.journal import events
from matscreen.engine.rundir import write_chunk
from matscreen.engine.scan import Progress
from matscreen.engine.screen import Screened, screen_chunk

FARMS = 8
"""Processes that hold the sleeping workers."""

SIZE = 2**16
"""Compositions a chunk: what a scan of four million takes by default, a sixteenth of what larger ones take."""

WORKERS = (10, 30, 100, 300, 1000)

ROUNDS = 4
"""Chunks a worker."""

KINDS = 4
"""Different chunks that are screened to know what one takes."""


def chunks_of(space: CompositionSpace, size: int) -> list[tuple[int, int]]:
    """Some chunks of about that size, spread over the space."""
    ranges = list(space.ranges(size))
    return [ranges[i] for i in np.linspace(len(ranges) // 8, len(ranges) - 2, KINDS).astype(int)]


def measured(job: cluster.Job, size: int, folder: Path) -> tuple[float, list[Screened], dict[str, float]]:
    """Seconds that a chunk takes one core, what comes back, and figures to publish."""
    taken, found, writing, rows, sent = [], [], [], [], []
    screen_chunk(job.space.chunk(0, 1000), job.model, job.phases, job.threshold, False, False)
    (folder / "chunks").mkdir()
    for number, (start, stop) in enumerate(chunks_of(job.space, size)):
        started = time.perf_counter()
        screened = screen_chunk(job.space.chunk(start, stop), job.model, job.phases, job.threshold, False, False)
        taken.append(time.perf_counter() - started)
        started = time.perf_counter()
        write_chunk(folder, "", number, (start, stop), screened)
        writing.append(time.perf_counter() - started)
        found.append(screened)
        rows.append(len(screened.candidates))
        sent.append(len(pickle.dumps(screened, protocol=5)))
    seconds = float(np.mean(taken))
    return (
        seconds,
        found,
        {
            "compositions a chunk": size,
            "seconds a chunk, one core": seconds,
            "candidates a chunk": float(np.mean(rows)),
            "MB sent back a chunk": float(np.mean(sent)) / 1e6,
            "seconds to write a chunk": float(np.mean(writing)),
        },
    )


def larger_formulas(model: models.Model, phases: PhaseTable) -> dict[str, float]:
    """What a composition of five or six elements takes, of the 851 thousand million of at most 13 atoms."""
    space = CompositionSpace("all", arity=(5, 6), max_atoms=13)
    chance = np.random.default_rng(0)

    def screened(start: int, length: int) -> int:
        chunk = space.chunk(start, start + length)
        return len(screen_chunk(chunk, model, phases, 0.6, False, False).candidates)

    screened(0, 2**10)  # compiles
    starts = chance.integers(0, len(space) - 2**10, 64).tolist()
    started = time.perf_counter()
    for start in starts:
        screened(start, 2**10)
    rate = len(starts) * 2**10 / (time.perf_counter() - started)
    # Neighbours share their elements: few of each of many places tell the share.
    starts = chance.integers(0, len(space) - 8, 1024).tolist()
    return {
        "compositions of 5 and 6 elements, at most 13 atoms": len(space),
        "of these, compositions/s, one core": rate,
        "share more than 0.6 eV/atom below the hull": sum(screened(start, 8) for start in starts) / (8 * len(starts)),
    }


def farm(address: str, count: int, file: str, seconds: float, folder: str) -> None:
    """So many workers in this process; they sleep where others screen."""
    import matscreen.engine.scan  # noqa: F401  (seconds, which are not to be counted later)

    canned = pickle.loads(Path(file).read_bytes())  # noqa: S301 (written above, by this program)

    def sleep(name: str, start: int, stop: int) -> Screened:
        time.sleep(seconds * random.Random(start).uniform(0.5, 1.5))  # else they all come at once
        return canned[start % len(canned)]

    cluster.screen_range = sleep

    # What a worker does for itself fifty times a second it would do on a machine of its own.
    config.set(
        {
            "distributed.admin.tick.interval": "60s",
            "distributed.admin.system-monitor.interval": "60s",
            "distributed.worker.profile.enabled": False,
        }
    )

    async def live() -> None:
        options = {"nthreads": 1, "dashboard": False, "local_directory": folder, "memory_limit": 0}
        workers = [Worker(address, **options) for _ in range(count)]
        await asyncio.gather(*workers)
        await asyncio.gather(*(worker.finished() for worker in workers))

    asyncio.run(live())


@contextmanager
def sleepers(count: int, seconds: float, found: list[Screened], folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A scheduler of `count` sleeping workers: its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    address, file = f"tcp://127.0.0.1:{port}", folder / "canned"
    file.write_bytes(pickle.dumps(found))
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    scheduler = subprocess.Popen([*command, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"])
    spawn = multiprocessing.get_context("spawn")
    shares = [count // FARMS + (number < count % FARMS) for number in range(FARMS)]
    farms = [
        spawn.Process(target=farm, args=(address, share, str(file), seconds, str(folder)), daemon=True)
        for share in shares
        if share
    ]
    try:
        for process in farms:
            process.start()
        with Client(address, timeout=60) as client:
            client.wait_for_workers(count, timeout=300)
        yield address, psutil.Process(scheduler.pid)
    finally:
        for process in farms:
            process.kill()
            process.join()
        scheduler.kill()
        scheduler.wait()


def cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


class Enough(Exception):  # noqa: N818 (nothing is wrong)
    """All chunks are there; to merge tens of millions of candidates would only take time."""


def enough(state: Progress) -> None:
    """Raise it."""
    if state.done == state.total:
        raise Enough


def scaled(job: cluster.Job, workers: int, count: int, seconds: float, found: list[Screened]) -> dict[str, float]:
    """Figures of a scan of `count` chunks on so many sleeping workers."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, given = Path(temporary), (job.space, job.model, job.phases)
        with sleepers(workers, seconds, found, folder) as (address, scheduler):
            before = cpu(scheduler)
            size = len(job.space) // count
            with suppress(Enough):
                scan(*given, folder / "run", job.threshold, False, size, None, address, enough)
            used = cpu(scheduler) - before
        done = [event for event in events(folder / "run") if event["event"] == "chunk"]
    begin, end = done[len(done) // 4], done[3 * len(done) // 4]  # all are at work, none idle for want of chunks
    between = 3 * len(done) // 4 - len(done) // 4
    elapsed = datetime.fromisoformat(end["time"]) - datetime.fromisoformat(begin["time"])
    rate = between / elapsed.total_seconds()
    figures = {
        "workers": workers,
        "chunks": len(done),
        "chunks/s in the middle half": rate,
        "chunks/s if only screening took time": workers / seconds,
        "share of that": rate * seconds / workers,
        "scheduler, ms of CPU a chunk": 1e3 * used / len(done),
        "client, ms of CPU a chunk": 1e3 * (end["cpu_seconds"] - begin["cpu_seconds"]) / between,
    }
    print(figures, flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few workers, small chunks; nothing is written")
    quick = parser.parse_args().quick
    os.environ["DASK_LOGGING__DISTRIBUTED"] = "error"
    torch.set_num_threads(1)
    space, model, phases = CompositionSpace("all"), models.load(), PhaseTable.load()
    job = cluster.Job(space, model, phases, 0.2, False, False)
    figures: dict[str, Any] = {"MB of the job, sent once to each worker": len(cloudpickle.dumps(job)) / 1e6}
    figures |= larger_formulas(model, phases)
    with tempfile.TemporaryDirectory() as temporary:
        seconds, found, told = measured(job, SIZE // 16 if quick else SIZE, Path(temporary))
    figures |= told
    print(figures, flush=True)
    cluster.JobPlugin.__getstate__ = lambda plugin: {"name": plugin.name, "job": None}  # type: ignore[method-assign]
    figures["scans"] = [
        scaled(job, workers, max(ROUNDS * workers, 64), seconds, found)
        for workers in (WORKERS[:2] if quick else WORKERS)
    ]
    if not quick:
        publish("scaling", figures)


if __name__ == "__main__":
    main()
