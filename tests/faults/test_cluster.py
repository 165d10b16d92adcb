"""Workers, schedulers and hosts that die or cannot be reached."""

import functools
import os
import signal
import subprocess
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from distributed import Client

from faults import cluster
from faults.children import Children
from faults.conftest import ELEMENTS, SCAN, Script, candidates_of, scan_of, trials
from faults.record import Record
from matscreen.engine import CompositionSpace, PhaseTable, resume, scan
from matscreen.engine.cluster import Job
from matscreen.engine.journal import events
from matscreen.models import Model

PORT = 18790


def test_workers_that_are_killed(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "a Dask worker is killed (SIGKILL) at a random time; its nanny starts another"
    address = f"tcp://127.0.0.1:{PORT}"
    started = [cluster.scheduler(address)]
    started += [cluster.worker(address, "--nthreads", "1") for _ in range(2)]
    try:
        cluster.ready(address, 2)
        for trial in record.trials(fault, trials(1, 20)):
            path, said = tmp_path / f"{trial}", tmp_path / "said"
            with Client(address, timeout=10) as client:
                client.wait_for_workers(2, timeout=60)
                scanning = children.start(*scan_of(reference, path), "--scheduler", address, said=said)
                cluster.wait_for_chunks(path, int(chance.integers(0, 10)))
                workers = sorted(client.run(os.getpid).values())  # of this moment: a late one may have been replaced
                os.kill(workers[int(chance.integers(len(workers)))], signal.SIGKILL)
            assert children.wait(scanning) == 0, said.read_text()
            assert candidates_of(path) == candidates_of(whole)
    finally:
        cluster.stop(*started)


def test_no_worker_is_left(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "all Dask workers are killed (SIGKILL); the scan says so, and another one comes"
    address = f"tcp://127.0.0.1:{PORT - 2}"
    started = [cluster.scheduler(address)]
    try:
        for trial in record.trials(fault, trials(1, 10)):
            path, said = tmp_path / f"{trial}", tmp_path / f"said{trial}"
            only = cluster.worker(address, "--nthreads", "2", "--no-nanny")
            started.append(only)
            cluster.ready(address, 1)
            scanning = children.start(*scan_of(reference, path), "--scheduler", address, said=said)
            cluster.wait_for_chunks(path, int(chance.integers(0, 5)))
            cluster.stop(only)
            deadline = time.monotonic() + 60
            while "the cluster has no workers" not in said.read_text():
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.1)
            last = cluster.worker(address, "--nthreads", "2")
            started.append(last)
            assert children.wait(scanning) == 0, said.read_text()
            assert candidates_of(path) == candidates_of(whole)
            cluster.stop(last)
    finally:
        cluster.stop(*started)


def test_schedulers_that_are_killed(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the Dask scheduler is killed (SIGKILL) at a random time"
    for trial in record.trials(fault, trials(1, 20)):
        port = PORT + 1 + trial
        path, said, address = tmp_path / f"{trial}", tmp_path / f"said{trial}", f"tcp://127.0.0.1:{port}"
        scheduler = cluster.scheduler(address)
        worker = cluster.worker(address, "--nthreads", "2", "--no-nanny")
        try:
            cluster.ready(address, 1)
            scanning = children.start(*scan_of(reference, path), "--scheduler", address, said=said)
            cluster.wait_for_chunks(path, int(chance.integers(0, 10)))
            scheduler.kill()
            code = children.wait(scanning)
        finally:
            cluster.stop(worker, scheduler)
        told = said.read_text()
        assert code == 1, told
        assert "the Dask scheduler is gone" in told
        assert "Traceback" not in told
        assert children.run("resume", str(path), "--top", "0", said=said) == 0, said.read_text()
        assert candidates_of(path) == candidates_of(whole)


@pytest.mark.slow
def test_many_hosts(
    model: Model, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    """A scheduler and three workers, each with its own address; one is cut off, one dies, one has a slow line."""
    fault = "of three hosts one is cut off and comes back, one dies, one has a line of 16 Mbit/s"
    for trial in record.trials(fault, trials(1, 5)):
        path = tmp_path / f"{trial}"
        cut, back, death = sorted(chance.choice(np.arange(4, 12), 3, replace=False).tolist())
        with cluster.hosts(4) as addresses:
            head, *others = addresses
            address = f"tcp://{addresses[head]}:8786"
            started = {head: cluster.scheduler(address, within=head)}
            try:
                for name in others:
                    options = (address, "--host", addresses[name], "--nthreads", "1")
                    started[name] = cluster.worker(*options, within=name)
                cluster.ready(address, 3)
                cluster.slow(others[2], "16mbit")
                before = cluster.sent_to(others[2])
                happens = {
                    cut: functools.partial(cluster.plug, others[0], False),
                    back: functools.partial(cluster.plug, others[0], True),
                    death: functools.partial(cluster.stop, started[others[1]]),
                }
                report = Script(happens)
                space, phases = CompositionSpace(ELEMENTS), PhaseTable.read(reference)
                scan(space, model, phases, path, float(SCAN[1]), False, int(SCAN[3]), None, address, report)
                sent = cluster.sent_to(others[2]) - before
            finally:
                cluster.stop(*started.values())
        assert candidates_of(path) == candidates_of(whole)
        connected = next(event for event in events(path) if event["event"] == "connected")
        assert (connected["scheduler"], connected["threads"]) == (address, 3)
        job = len(cloudpickle.dumps(Job(space, model, phases, float(SCAN[1]), False, False)))
        assert sent < 1.2 * job + 200_000  # the job goes there once; then ids of chunks, and heartbeats


@pytest.mark.slow
def test_a_cluster_that_takes_only_who_has_its_keys(
    model: Model, reference: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS as Dask has it: by its configuration, and `--scheduler tls://…`."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=matscreen -keyout {key} -out {certificate}"
    made = subprocess.run(["openssl", *options.split()], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("needs openssl, to make a certificate")
    tls = {"CA_FILE": certificate} | {
        f"{who}__{what}": file
        for who in ("SCHEDULER", "WORKER", "CLIENT")
        for what, file in (("KEY", key), ("CERT", certificate))
    }
    for name, file in tls.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(file))
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "True")
    address = f"tls://127.0.0.1:{PORT - 1}"
    scheduler = cluster.scheduler(address, "--protocol", "tls")
    worker = cluster.worker(address, "--nthreads", "2", "--no-nanny")
    said = tmp_path / "said"
    try:
        with Children() as keyed:  # Dask reads its configuration once
            arguments = (*scan_of(reference, tmp_path / "run"), "--scheduler", address)
            deadline = time.monotonic() + 60
            while keyed.run(*arguments, said=said):
                assert time.monotonic() < deadline, said.read_text()
        assert candidates_of(tmp_path / "run") == candidates_of(whole)
        for name in tls:
            monkeypatch.delenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}")
        with Children() as keyless:
            said.write_text("")
            elsewhere = (*scan_of(reference, tmp_path / "other"), "--scheduler", address)
            assert keyless.run(*elsewhere, said=said) == 2
            assert "no Dask scheduler answers" in said.read_text()
    finally:
        cluster.stop(worker, scheduler)
    resume(tmp_path / "run")
