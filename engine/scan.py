"""A whole space, chunk by chunk, into a run directory that survives anything."""

import importlib.metadata
import json
import math
import os
import platform
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import pyarrow as pa
from distributed import Client, Future

from matscreen.engine import rundir, schema
from matscreen.engine.cascade import looks
from matscreen.engine.cluster import (
    GONE,
    LOST,
    Job,
    JobPlugin,
    connect,
    dashboard_of,
    need_workers,
    screen_range,
    threads_of,
)
from matscreen.engine.journal import Journal, journal, resources
from matscreen.engine.lock import locked
from matscreen.engine.properties import Property, need_elements
from matscreen.engine.properties import reopen as reopen_property
from matscreen.engine.reference import PhaseTable
from matscreen.engine.rundir import Chunk, RunConfig
from matscreen.engine.screen import Screened
from matscreen.engine.space import CompositionSpace
from matscreen.engine.summary import Tally, summarize
from matscreen.kernels.backend import BackendError, gpu_here
from matscreen.kernels.mlp import Precision
from matscreen.models import Model, load
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically

SMALLEST_CHUNK, LARGEST_CHUNK = 2**14, 2**20
"""Bounds of the default chunk size: seconds of work at least; at most, two threads that keep every composition as a
candidate need 1.5 GB at their peak."""

PATIENCE_SECONDS = 5
"""How long to wait for a chunk before asking whether the scheduler is still there, and how many threads it has."""

MOST_CHUNKS = 1_000_000
"""Each is a file; a space that needs more is years of work for one machine."""

ATTEMPTS = 3
"""How often a chunk is given out again after its worker died."""


@dataclass(frozen=True)
class Progress:
    """How far a scan is: compositions done and in all, candidates so far; `resumed` of those done were done before."""

    done: int
    total: int
    candidates: int
    resumed: int


Report = Callable[[Progress], None]
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path

    @property
    def candidates(self) -> pa.Table:
        """`schema.candidates`, by rising hull distance, ties by id."""
        return rundir.read_candidates(self.path)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts by arity, rates by stage, and the checksum of the candidates."""
        return rundir.read_summary(self.path)


def scan(
    space: CompositionSpace,
    model: Model,
    phases: PhaseTable,
    out: str | Path,
    threshold: float = 0.2,
    charge_neutral: bool = False,
    chunk_size: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    report: Report = lambda _: None,
    exact: bool = False,
    notice: Notice = lambda _: None,
    properties: Sequence[Property] = (),
    gpu: Precision | None = None,
) -> Run:
    """Screen every composition of `space` and keep what lies more than `threshold` below the hull.

    Parameters
    ----------
    out : the run directory to make; it must not exist or be empty
    threshold, charge_neutral, exact : as in `screen`
    chunk_size : compositions a chunk, about (whole chemical systems); by default a 64th of the space, within bounds
    workers : threads in this process; by default all cores
    scheduler : address of a Dask scheduler to use instead, such as `tcp://host:8786`
    report : called after every chunk
    notice : called with what people should know, in a line
    properties, gpu : as in `screen`; it changes no candidate, and may be another when the run is resumed

    Raises
    ------
    InputError
        Arguments that cannot be used; nothing is written then. BackendError, also a ValueError, without a GPU to use.
    JobError
        The run stopped, for instance for want of disk space; `resume` continues it.
    """
    if not np.isfinite(threshold):
        raise InputError(f"threshold must be a finite number of eV/atom, not {threshold}")
    need_energies(model, space)
    need_elements(properties, space.elements)
    exact = exact or threshold < 0 or not _students(model)
    if chunk_size is None:
        chunk_size = min(max(len(space) // 64, SMALLEST_CHUNK), LARGEST_CHUNK)
    if not 1 <= chunk_size <= 2**24:
        raise InputError(f"chunk size must lie between 1 and {2**24:,}, not {chunk_size}")
    if len(space) / chunk_size > MOST_CHUNKS:
        raise InputError(
            f"{len(space):,} compositions are more than {MOST_CHUNKS:,} chunks of {chunk_size:,}; narrow it"
        )
    path = Path(out)
    job = Job(space, model, phases, float(threshold), charge_neutral, exact, tuple(properties), gpu)
    _need_gpu(job, scheduler)
    config = config_of(job, chunk_size)
    workers = _workers(workers)
    need_workers(scheduler)  # before anything is written
    rundir.create(path, config, phases.table, versions())
    return _run(path, config, job, workers, scheduler, report, notice)


def resume(
    path: str | Path,
    workers: int | None = None,
    scheduler: str | None = None,
    report: Report = lambda _: None,
    notice: Notice = lambda _: None,
    gpu: Precision | None = None,
) -> Run:
    """Continue the run at `path`, or just make sure that it is whole; ends with the bytes of an uninterrupted run.

    Raises
    ------
    InputError
        No run there, or its model, reference or matscreen version is not what it was started with.
    """
    path = Path(path)
    config = rundir.read_config(path)
    if config.search:
        raise InputError(f"{path} is a search: matscreen.engine.search.run.resume continues it")
    job = replace(reopen(path, config), gpu=gpu)
    _need_gpu(job, scheduler)
    need_workers(scheduler)
    return _run(path, config, job, _workers(workers), scheduler, report, notice)


def need_energies(model: Model, space: CompositionSpace) -> None:
    """InputError for a model that predicts no formation energies, or not those of all the space."""
    if unknown := sorted(set(space.elements) - set(model.elements.tolist())):
        raise InputError(f"model {model.name} does not know {', '.join(SYMBOLS[z] for z in unknown)}; exclude them")
    if model.target.energy is None:
        raise InputError(f"model {model.name} predicts {model.target}, not formation energies")


def _need_gpu(job: Job, scheduler: str | None) -> None:
    """Where one is asked for: BackendError if there is none here, InputError for a model without guard bands."""
    if job.gpu:
        one = schema.composition_arrays(job.space.chunk(0, 1))[1:]
        asked = looks(job.model, job.threshold, *one, job.exact, job.gpu)
        if scheduler is not None:
            return
        if gpu_here() != "cuda":
            raise BackendError(
                "predicting on a GPU needs CUDA and Triton (pip install 'matscreen[gpu]'); leave out --gpu"
            )
        for look in asked:  # whatever a device cannot do, it cannot do with one composition
            look.predicted(*one)


def config_of(job: Job, chunk_size: int, search: dict[str, Any] | None = None) -> RunConfig:
    """What a run directory keeps of a job, whose inverse is `reopen`; `search` of a search."""
    model, phases = job.model, job.phases
    students = "" if job.exact else _students(model)
    told = {"name": model.name, "source": str(model.source), "checksum": model.checksum, "student": students}
    return RunConfig(
        version=importlib.metadata.version("matscreen"),
        space=job.space.spec(),
        threshold=job.threshold,
        charge_neutral=job.charge_neutral,
        chunk_size=chunk_size,
        model=told,
        reference={"name": phases.name, "origin": phases.origin, "checksum": phases.checksum},
        properties=tuple(one.spec() for one in job.properties),
        search=search or {},
    )


def _students(model: Model) -> str:
    """Checksums of those that it has, for a run to remember."""
    return " ".join(student.model.checksum for student in (model.systems, model.student) if student)


def reopen(path: Path, config: RunConfig) -> Job:
    """Space, model and reference of the run at `path`, compared with what it was started with.

    The reference is the run's own copy; InputError if its file is still there and has changed since.
    """
    version = importlib.metadata.version("matscreen")
    if config.version != version:
        raise InputError(f"the run was started with matscreen {config.version}, this is {version}")
    model = load(config.model["name"] if not Path(config.model["source"]).exists() else config.model["source"])
    if model.checksum != config.model["checksum"]:
        raise InputError(f"model {config.model['source']} is not the one that the run was started with")
    student = config.model["student"]
    if student and student != _students(model):
        raise InputError(f"the students of {config.model['source']} are not those that the run was started with")
    phases = rundir.read_phases(path, config)
    origin = config.reference["origin"]
    if Path(origin.get("path", "")).is_file() and PhaseTable.reopen(origin).checksum != phases.checksum:
        raise InputError(f"reference {config.reference['name']} has changed since the run was started")
    space = CompositionSpace(**config.space)
    properties = tuple(reopen_property(spec) for spec in config.properties)
    return Job(space, model, phases, config.threshold, config.charge_neutral, not student, properties)


def _run(
    path: Path,
    config: RunConfig,
    job: Job,
    workers: int,
    scheduler: str | None,
    report: Report,
    notice: Notice,
) -> Run:
    ranges = list(job.space.ranges(config.chunk_size))
    try:
        with locked(path), journal(path) as log:
            log.write("opened", pid=os.getpid(), host=platform.node())
            chunks, rejected = rundir.finished_chunks(path, config.fingerprint, ranges)
            if rejected:
                where = path / "rejected"
                notice(f"{rejected} chunk file(s) damaged or of another run: moved to {where}, done again")
            done, found = sum(c.stop - c.start for c in chunks.values()), sum(c.candidates for c in chunks.values())
            state = Progress(done, len(job.space), found, done)
            log.write("begun", **asdict(state), rejected=rejected)
            report(state)
            started = time.perf_counter()
            for chunk in _missing_chunks(path, config, job, workers, scheduler, ranges, chunks, log, notice):
                chunks[chunk.number] = chunk
                scanned, found = chunk.stop - chunk.start, state.candidates + chunk.candidates
                state = replace(state, done=state.done + scanned, candidates=found)
                told = {name: value for name, value in asdict(chunk).items() if name not in ("file", "finished_at")}
                log.write("chunk", **told, **resources())
                report(state)
            seconds = time.perf_counter() - started
            started = time.perf_counter()
            tally = Tally()
            tables = map(tally.count, rundir.merged(path, [chunks[number] for number in sorted(chunks)]))
            checksum = rundir.write_candidates(path, config.fingerprint, tables)
            merge_seconds = time.perf_counter() - started
            summary = summarize(job.space, chunks, tally, checksum, state.done - done, seconds, merge_seconds)
            text = json.dumps(summary, indent=2) + "\n"
            write_atomically(path / "summary.json", lambda temporary: temporary.write_text(text))
            log.write("finished", seconds=round(seconds + merge_seconds, 3), candidates=summary["candidates"])
    except OSError as error:
        where = error.filename or path
        raise JobError(
            f"cannot write {where}: {error.strerror or error}; what is done is safe, then: matscreen resume {path}"
        ) from None
    return Run(path)


def _missing_chunks(
    path: Path,
    config: RunConfig,
    job: Job,
    workers: int,
    scheduler: str | None,
    ranges: list[tuple[int, int]],
    chunks: Mapping[int, Chunk],
    log: Journal,
    notice: Notice,
) -> Iterator[Chunk]:
    """Those that are not there yet, as they are finished and written."""
    missing = [n for n in range(len(ranges)) if n not in chunks]
    if not missing:
        return
    with connect(scheduler, workers) as client:
        threads, link = threads_of(client), dashboard_of(client)
        log.write("connected", scheduler=scheduler or "here", threads=threads, dashboard=link, gpu=job.gpu)
        if link:
            notice(f"Dask shows what it does at {link}")
        for number, screened in _screen_chunks(client, job, ranges, missing, log, notice):
            yield rundir.write_chunk(path, config.fingerprint, number, ranges[number], screened)


def _screen_chunks(
    client: Client, job: Job, ranges: list[tuple[int, int]], missing: list[int], log: Journal, notice: Notice
) -> Iterator[tuple[int, Screened]]:
    """Chunks by number as they are finished, with a bounded number given out at a time."""
    name = f"matscreen-{uuid.uuid4().hex}"  # another scan on the same cluster has a job of its own
    waiting = deque(missing)
    attempts: Counter[int] = Counter()
    numbers: dict[Future[Screened], int] = {}
    finished: SimpleQueue[Future[Screened]] = SimpleQueue()
    most, counted, alone = 0, -math.inf, False
    try:
        _teach(client, JobPlugin(name, job))
        while waiting or numbers:
            if time.monotonic() > counted + PATIENCE_SECONDS:  # workers come and go
                threads, counted = threads_of(client), time.monotonic()
                if not threads and not alone:
                    log.write("no workers")
                    notice("the cluster has no workers; waiting for some")
                most, alone = 2 * threads, not threads
            while waiting and len(numbers) < most:
                number = waiting.popleft()
                attempts[number] += 1
                future = client.submit(screen_range, name, *ranges[number], pure=False)
                numbers[future] = number
                future.add_done_callback(finished.put)
            try:
                future = finished.get(timeout=PATIENCE_SECONDS)
            except Empty:
                if client.status != "running":
                    raise JobError(GONE) from None
                continue
            number = numbers.pop(future)
            try:
                screened = future.result()
            except Exception as error:
                _check(client, number, attempts[number], error)
                log.write("retried", number=number, attempt=attempts[number], error=f"{type(error).__name__}: {error}")
                waiting.append(number)
                if isinstance(error, KeyError):  # a scheduler that was started again knows no job
                    _teach(client, JobPlugin(name, job))
                continue
            yield number, screened
    except LOST:
        raise JobError(GONE) from None
    finally:
        if client.status == "running":
            with suppress(Exception):  # what is written is written
                client.unregister_worker_plugin(name)


def _teach(client: Client, plugin: JobPlugin) -> None:
    """Register the plugin with every worker; one that is lost meanwhile is not waited for."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            client.register_plugin(plugin)
            return
        except LOST:
            if client.status != "running" or attempt == ATTEMPTS:
                raise


def _check(client: Client, number: int, attempts: int, error: Exception) -> None:
    """JobError where it would not help to give the chunk out again."""
    if isinstance(error, LOST):  # with the scheduler, or with a worker before its answer came
        if client.status != "running" or attempts >= ATTEMPTS:
            raise JobError(GONE)
    elif isinstance(error, ArithmeticError | InputError):  # the same again wherever it is done
        raise JobError(f"chunk {number}: {error}")
    elif isinstance(error, OSError | MemoryError) or attempts >= ATTEMPTS:
        raise JobError(f"chunk {number} failed {attempts} time(s): {type(error).__name__}: {error}")


def _workers(workers: int | None) -> int:
    if workers is None:
        return len(os.sched_getaffinity(0))
    if not 1 <= workers <= 1024:
        raise InputError(f"workers must be a number from 1 to 1024, not {workers}")
    return workers


def versions() -> dict[str, str]:
    packages = ("matscreen", "numpy", "numba", "torch", "pyarrow", "dask", "distributed")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
