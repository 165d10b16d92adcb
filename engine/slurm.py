"""Workers that are jobs of SLURM, as many as wanted for as long as a scan takes (dask-jobqueue)."""

import logging
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from matscreen.engine.libraries import library
from matscreen.models.errors import InputError, JobError

MOST_JOBS = 1000
"""Each is a process that asks for it and several connections of the scheduler, which is in this process."""

LOOK_SECONDS = 15
"""How often to ask SLURM which of the jobs are still to come or at work."""

ANSWER_SECONDS = 60

OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
"""States of jobs that will not come again; `squeue` names them for some minutes."""

RENEWALS = 20
"""How often a job is asked for again, on average: nodes on which none can work must not be tried for ever."""


@contextmanager
def slurm_jobs(count: int, say: Callable[[str], None]) -> Iterator[str]:
    """Address of a scheduler in this process with `count` jobs, the first of which works.

    Dask's configuration describes the jobs (jobqueue.slurm: queue, cores, memory, walltime, interface). One that ends,
    as at its walltime, or that SLURM did not take, is asked for again.

    InputError for a package or a configuration that is missing, or jobs that SLURM would refuse; JobError if all of
    them end before one has worked.
    """
    if not 0 < count <= MOST_JOBS:
        raise InputError(f"--slurm takes a number of jobs from 1 to {MOST_JOBS:,}, not {count}")
    jobqueue = library("dask_jobqueue", "slurm")
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)  # a job that is refused is told below
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    try:
        cluster = jobqueue.SLURMCluster()
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise _refusal(str(error)) from None
    with cluster:
        # SLURM's answer to jobs asked for later goes to a log, and nobody comes.
        tried = _slurm("sbatch", "--test-only", script=cluster.job_script())
        if tried.returncode:
            raise _refusal(tried.stderr.removeprefix("sbatch: error: "))
        cluster.scale(jobs=count)
        say(f"asked SLURM for {count:,} job(s); waiting for the first to begin")
        with Client(cluster) as client:
            _wait_for_the_first(client, cluster)
        ended = threading.Event()
        watch = threading.Thread(target=_renew, args=(cluster, count, say, ended), daemon=True)
        watch.start()
        try:
            yield str(cluster.scheduler_address)
        finally:
            ended.set()
            watch.join()


def _refusal(said: str) -> InputError:
    first = (said.splitlines() or ["no reason given"])[0].removesuffix(", for example:")
    return InputError(f"SLURM takes no such jobs (see jobqueue.slurm in Dask's configuration): {first}")


def _wait_for_the_first(client: Client, cluster: Any) -> None:
    looks = 0
    while not client.scheduler_info()["workers"]:
        try:
            client.wait_for_workers(1, timeout=LOOK_SECONDS)
        except TimeoutError:
            looks += 1
            gone = _gone(cluster)
            if looks > 1 and gone is not None and len(gone) == len(cluster.workers):
                raise JobError(
                    "the SLURM jobs were refused or ended before one had connected; slurm-JOB.out, or the "
                    "log-directory of jobqueue.slurm, tells why"
                ) from None


def _renew(cluster: Any, count: int, say: Callable[[str], None], ended: threading.Event) -> None:
    """Ask again for jobs that are no more, until `ended`. When none is left that may be, the scheduler ends."""
    left, before, told = RENEWALS * count, set[str](), False
    while not ended.wait(LOOK_SECONDS):
        missing = set(_gone(cluster) or ())
        gone = sorted(missing & before)  # one seen once may be a job that Dask is asking for at this moment
        before = missing
        if not gone:
            continue
        if left < len(gone):
            if not told:
                say(f"{len(gone):,} SLURM job(s) ended again and again and are not asked for any more")
            told = True
            if len(gone) == len(cluster.worker_spec):
                say("no SLURM job is left")
                cluster.sync(cluster.scheduler.close)  # whoever waits for workers hears of it
                return
            continue
        left -= len(gone)
        before = set()
        say(f"{len(gone):,} SLURM job(s) ended; asked for again")

        async def forget(names: list[str] = gone) -> None:
            for name in names:
                cluster.workers.pop(name, None)
            cluster.scale(jobs=count)

        cluster.sync(forget)


def _gone(cluster: Any) -> list[str] | None:
    """Names of jobs that SLURM did not take or has no more; None if it does not answer."""
    queue = _slurm("squeue", "--me", "--states=all", "--noheader", "--format", "%A %T")
    if queue.returncode:
        return None
    states = dict(line.split(maxsplit=1) for line in queue.stdout.splitlines() if " " in line.strip())
    alive = {job for job, state in states.items() if state not in OVER}
    wanted = dict(cluster.workers)
    return [name for name in cluster.worker_spec if name not in wanted or wanted[name].job_id not in alive]


def _slurm(*command: str, script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=script, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer in {ANSWER_SECONDS} s")
    except FileNotFoundError:
        raise InputError(f"no SLURM here: {command[0]} is not installed") from None
