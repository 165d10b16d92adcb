"""Workers that are jobs of SLURM, as many as wanted for as long as a scan takes (dask-jobqueue)."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client

from matscreen.engine.libraries import library
from matscreen.models.errors import InputError, JobError

MOST_JOBS = 100_000
LOOK_SECONDS = 15
"""While no job has begun to work: how often to ask SLURM whether any is still to come."""


@contextmanager
def slurm_jobs(count: int, say: Callable[[str], None]) -> Iterator[str]:
    """Address of a scheduler in this process with `count` jobs, the first of which works.

    Dask's configuration describes the jobs (jobqueue.slurm: queue, cores, memory, walltime, interface). One that ends,
    as at its walltime, is asked for again.

    InputError for a package or a configuration that is missing, or jobs that SLURM would refuse; JobError if all of
    them end before one has worked.
    """
    if not 0 < count <= MOST_JOBS:
        raise InputError(f"--slurm takes a number of jobs from 1 to {MOST_JOBS:,}, not {count}")
    jobqueue = library("dask_jobqueue", "slurm")
    try:
        cluster = jobqueue.SLURMCluster()
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise _refusal(str(error).removesuffix(", for example:")) from None
    with cluster:
        # SLURM's answer to jobs asked for later goes to a log, and nobody comes.
        tried = _slurm("sbatch", "--test-only", script=cluster.job_script())
        if tried.returncode:
            raise _refusal(tried.stderr.removeprefix("sbatch: error: "))
        cluster.adapt(minimum_jobs=count, maximum_jobs=count)
        say(f"asked SLURM for {count:,} job(s); waiting for the first to begin")
        with Client(cluster) as client:
            _wait_for_the_first(client, cluster)
        yield str(cluster.scheduler_address)


def _refusal(said: str) -> InputError:
    first = (said.splitlines() or ["no reason given"])[0]
    return InputError(f"no SLURM jobs (see jobqueue.slurm in Dask's configuration): {first}")


def _wait_for_the_first(client: Client, cluster: Any) -> None:
    asked = False
    while not client.scheduler_info()["workers"]:
        try:
            client.wait_for_workers(1, timeout=LOOK_SECONDS)
        except TimeoutError:
            jobs = {job.job_id for job in cluster.workers.values()} - {None}
            queue = _slurm("squeue", "--noheader", "--format", "%A")
            gone = asked and queue.returncode == 0 and not jobs & set(queue.stdout.split())
            if gone:
                raise JobError(
                    "the SLURM jobs ended before one had connected; slurm-JOB.out, or the log-directory of "
                    "jobqueue.slurm, tells why"
                ) from None
            asked = bool(jobs)


def _slurm(*command: str, script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(f"no SLURM here: {command[0]} is not installed") from None
