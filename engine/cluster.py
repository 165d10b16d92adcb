"""Where chunks are screened: threads of this process, or any running Dask cluster."""

import importlib.util
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import dask
import distributed.batched
import torch
from distributed import CancelledError, Client, LocalCluster, Worker, WorkerPlugin, get_worker
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError
from tornado.ioloop import IOLoop

from matscreen.engine.libraries import library
from matscreen.engine.properties import Property
from matscreen.engine.reference import PhaseTable
from matscreen.engine.screen import Screened, screen_chunk
from matscreen.engine.slurm import slurm_jobs
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.mlp import Precision
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError

CONNECT_SECONDS = 15

LOST = (CancelledError, ClosedClientError, CommClosedError, TimeoutError)
"""What Dask raises when somebody does not answer any more."""

GONE = "the Dask scheduler is gone; what is done is safe: `matscreen resume` goes on"


@dataclass(frozen=True)
class Job:
    """What a worker must know to screen any chunk of a run."""

    space: CompositionSpace
    model: Model
    phases: PhaseTable
    threshold: float
    charge_neutral: bool
    exact: bool
    properties: tuple[Property, ...] = ()
    gpu: Precision | None = None


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
    asked = job.threshold, job.charge_neutral, job.exact, job.properties, job.gpu
    screened = screen_chunk(chunk, job.model, job.phases, *asked)
    return replace(screened, enumerate_seconds=enumerate_seconds)


def steady_clock() -> None:
    """Let Dask send its messages, and Tornado wait for them, by a clock that nobody can set.

    When the time of day is set back they sleep until it comes round again, and a scan with them. To be called before
    any loop runs in the process.
    """
    setattr(IOLoop, "time", lambda _: time.monotonic())  # noqa: B010
    vars(distributed.batched)["time"] = time.monotonic  # its deadlines go to the loop


@contextmanager
def cluster(scheduler: str | None, slurm: int, cuda: bool, say: Callable[[str], None]) -> Iterator[str | None]:
    """Address of the scheduler to work on: the one given, or of a cluster that lives as long as the job.

    `slurm` jobs (`slurm_jobs`), or with `cuda` a process for each GPU here. None with neither.

    InputError for more than one of them, or a package that is missing.
    """
    if sum((scheduler is not None, slurm != 0, cuda)) > 1:
        raise InputError("give one of --scheduler, --slurm and --cuda")
    if slurm:
        with slurm_jobs(slurm, say) as address:
            yield address
    elif cuda:
        # A process for each GPU takes its share of the cores, which measure hulls and predict again.
        threads = max(len(os.sched_getaffinity(0)) // max(torch.cuda.device_count(), 1), 1)
        with library("dask_cuda", "cuda").LocalCUDACluster(threads_per_worker=threads) as started:
            yield started.scheduler_address
    else:
        yield scheduler


@contextmanager
def connect(scheduler: str | None, workers: int) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, which `need_workers` has found there, else of `workers` threads here.

    JobError if it is gone since, or there is no room to work in.
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
        try:
            with dask.config.set(quiet):
                threads = LocalCluster(
                    n_workers=1,
                    threads_per_worker=workers,
                    processes=False,
                    dashboard_address="127.0.0.1:0",  # nobody else's business
                    silence_logs=50,
                )
        except (RuntimeError, OSError) as error:  # Dask keeps a folder there
            said = (str(error.__cause__ or error) or type(error).__name__).splitlines()[0]
            raise JobError(f"cannot start to work here: {said}; is there room in {tempfile.gettempdir()}?") from None
        try:
            with Client(threads) as client:
                yield client
        finally:
            threads.close(timeout=5)
            torch.set_num_threads(threads_before)
        return
    try:
        client = _answering(scheduler)
    except InputError:
        raise JobError(GONE) from None
    with client:
        yield client


def need_workers(scheduler: str | None) -> None:
    """To be called before anything is written: InputError if no scheduler answers there, or if it has no workers."""
    if scheduler is not None:
        with _answering(scheduler) as client:
            if not threads_of(client):
                raise InputError(f"the Dask scheduler at {scheduler} has no workers yet; start some first")


def _answering(scheduler: str) -> Client:
    """A client of the scheduler at this address; InputError if none answers."""
    for name in ("distributed", "distributed.client"):  # what they say of losing the scheduler we say
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:  # the last without the keys that it wants
        raise InputError(f"no Dask scheduler answers at {scheduler}: {str(error).splitlines()[0]}") from None


def threads_of(client: Client) -> int:
    """How many threads its workers have at the moment; JobError if its scheduler is gone."""
    try:
        return sum(client.nthreads().values())
    except (*LOST, OSError, AttributeError):  # the last from a client that has given up
        raise JobError(GONE) from None


def dashboard_of(client: Client) -> str | None:
    """Where Dask shows what it does; None where it has nothing to draw with."""
    here = client.cluster is not None
    return None if here and importlib.util.find_spec("bokeh") is None else str(client.dashboard_link)
