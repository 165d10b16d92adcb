"""Where chunks are screened: threads of this process, or any running Dask cluster."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import dask
import torch
from distributed import Client, LocalCluster, Worker, WorkerPlugin, get_worker

from matscreen.engine.reference import PhaseTable
from matscreen.engine.screen import Screened, screen_chunk
from matscreen.engine.space import CompositionSpace
from matscreen.models import Model
from matscreen.models.errors import InputError

CONNECT_SECONDS = 15


@dataclass(frozen=True)
class Job:
    """What a worker must know to screen any chunk of a run."""

    space: CompositionSpace
    model: Model
    phases: PhaseTable
    threshold: float
    charge_neutral: bool
    exact: bool


class JobPlugin(WorkerPlugin):
    """Gives every worker the job once, those that join or come back later too; tasks then carry two integers."""

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.job = job

    def setup(self, worker: Worker) -> None:
        """One thread a task: the chunks are the parallelism; threads within a product would only get in the way."""
        torch.set_num_threads(1)


def screen_range(name: str, start: int, stop: int) -> Screened:
    """The task: screen compositions `start` to `stop` of the job that plugin `name` holds."""
    job: Job = cast(JobPlugin, get_worker().plugins[name]).job
    started = time.perf_counter()
    chunk = job.space.chunk(start, stop)
    enumerate_seconds = time.perf_counter() - started
    screened = screen_chunk(chunk, job.model, job.phases, job.threshold, job.charge_neutral, job.exact)
    return replace(screened, enumerate_seconds=enumerate_seconds)


@contextmanager
def connect(scheduler: str | None, workers: int) -> Iterator[tuple[Client, int]]:
    """A client and its number of worker threads: of the cluster at `scheduler`, else of `workers` threads here.

    InputError if no scheduler answers, or it has no workers.
    """
    quiet = {
        "distributed.worker.memory.terminate": False,  # this process is the worker: its memory is ours to bound
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "logging.distributed": "error",
    }
    if scheduler is None:
        threads_before = torch.get_num_threads()
        with dask.config.set(quiet):
            cluster = LocalCluster(
                n_workers=1, threads_per_worker=workers, processes=False, dashboard_address=None, silence_logs=50
            )
        try:
            with Client(cluster) as client:
                yield client, workers
        finally:
            cluster.close(timeout=5)
            torch.set_num_threads(threads_before)
        return
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {scheduler}: {str(error).splitlines()[0]}") from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"the Dask scheduler at {scheduler} has no workers yet; start some first")
        yield client, threads
