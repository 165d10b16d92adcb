"""`--slurm`, against SLURM itself."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import cluster
from faults.children import Children
from faults.conftest import candidates_of, scan_of, trials
from faults.record import Record
from faults.slurm import jobs, slurm, told
from matscreen.engine import resume
from matscreen.engine.journal import events

pytestmark = pytest.mark.slow

JOBS = {
    "QUEUE": "night",
    "CORES": "1",
    "MEMORY": "2GB",
    "INTERFACE": "lo",
    "WALLTIME": "01:00:00",
}


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def nights(batch: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Dask's configuration of jobs; what starts from here on finds SLURM."""
    settings = {f"DASK_JOBQUEUE__SLURM__{name}": value for name, value in JOBS.items()}
    settings["DASK_JOBQUEUE__SLURM__LOG_DIRECTORY"] = str(tmp_path)
    settings["DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT"] = "1s"
    for name, value in (batch | settings | cluster.SETTINGS).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("nights")
def test_a_scan_on_slurm(batch: dict[str, str], reference: Path, whole: Path, tmp_path: Path, record: Record) -> None:
    """Both jobs are cancelled: others are asked for, the scan goes on, and none is left at the end."""
    fault = "all SLURM jobs are cancelled while they work; others are asked for"
    with Children() as children:
        for trial in record.trials(fault, trials(1, 5)):
            path, said = tmp_path / f"{trial}", tmp_path / "said"
            scanning = children.start(*scan_of(reference, path), "--slurm", "2", said=said)
            cluster.wait_for_chunks(path, 3)
            first = jobs(batch)
            assert first
            told(batch, "scancel", *first)  # all of them: the scan must wait for others
            deadline = time.monotonic() + 60
            assert children.wait(scanning) == 0, said.read_text()
            assert candidates_of(path) == candidates_of(whole)
            assert "asked SLURM for 2 job(s)" in said.read_text()
            assert "SLURM job(s) ended; asked for again" in said.read_text()
            connected = next(event for event in events(path) if event["event"] == "connected")
            assert connected["scheduler"] != "here"
            while jobs(batch):
                assert time.monotonic() < deadline + 60, "jobs are left"
                time.sleep(0.1)


def test_jobs_that_slurm_refuses(nights: pytest.MonkeyPatch, reference: Path, tmp_path: Path) -> None:
    nights.setenv("DASK_JOBQUEUE__SLURM__QUEUE", "day")
    said = tmp_path / "said"
    with Children() as children:
        code = children.run(*scan_of(reference, tmp_path / "run"), "--slurm", "1", said=said)
    assert code == 2
    assert "SLURM takes no such jobs" in said.read_text()
    assert "invalid partition" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert not (tmp_path / "run").exists()


def test_jobs_that_end_before_they_work(nights: pytest.MonkeyPatch, reference: Path, tmp_path: Path) -> None:
    """As where the nodes do not have the Python of this machine."""
    nights.setenv("DASK_JOBQUEUE__SLURM__PYTHON", "/nowhere/python")
    said = tmp_path / "said"
    with Children() as children:
        code = children.run(*scan_of(reference, tmp_path / "run"), "--slurm", "2", said=said)
    assert code == 1
    assert "ended before one had connected" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert "/nowhere/python" in "".join(path.read_text() for path in tmp_path.glob("*.err"))


@pytest.mark.usefixtures("nights")
def test_jobs_that_may_not_be_asked_for_again(
    batch: dict[str, str], reference: Path, whole: Path, tmp_path: Path
) -> None:
    """The scan ends instead of waiting for ever, and can be resumed."""
    path = tmp_path / "run"
    code = (
        "import matscreen.engine.slurm as s; s.RENEWALS = 0; s.LOOK_SECONDS = 3; from matscreen.engine.cli import main"
    )
    command = [sys.executable, "-c", f"{code}; main()", *scan_of(reference, path), "--slurm", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as scanning:
        cluster.wait_for_chunks(path, 3)
        told(batch, "scancel", *jobs(batch))
        _, said = scanning.communicate(timeout=300)
    assert scanning.returncode == 1, said
    assert "no SLURM job is left" in said
    assert "the Dask scheduler is gone" in said
    assert "Traceback" not in said
    resume(path)
    assert candidates_of(path) == candidates_of(whole)
