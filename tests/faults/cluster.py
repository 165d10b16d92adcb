"""A Dask cluster of processes, on this machine or each in a network namespace of its own, as if on several machines."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client

SETTINGS = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "15s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "15s",
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "DASK_DISTRIBUTED__WORKER__PRELOAD": str(Path(__file__).with_name("unhurried.py")),
}
"""Less patience than at night with hosts that do not answer, and workers that take their time over each chunk."""


def scheduler(address: str, *options: str, within: str = "") -> subprocess.Popen[bytes]:
    """Start one at `tcp://host:port`, and wait until it listens; in a network namespace if one is named."""
    host, port = address.partition("://")[2].split(":")
    process = _dask("scheduler", "--host", host, "--port", port, *options, within=within)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return process
        except OSError:
            assert time.monotonic() < deadline, f"no scheduler at {address}"
            time.sleep(0.1)


def worker(address: str, *options: str, within: str = "") -> subprocess.Popen[bytes]:
    """Start one for the scheduler at `address`."""
    return _dask("worker", address, *options, within=within)


def _dask(command: str, *options: str, within: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", f"distributed.cli.dask_{command}", "--no-dashboard", *options]
    inside = ["ip", "netns", "exec", within] if within else []
    return subprocess.Popen([*inside, *program], env=os.environ | SETTINGS, stdout=-3, stderr=-3)


def ready(address: str, workers: int) -> None:
    """Wait until the scheduler answers and has so many workers."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with Client(address, timeout=5) as client:
                client.wait_for_workers(workers, timeout=60)
                return
        except (OSError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError(f"no cluster at {address}")


def wait_for_chunks(path: Path, count: int) -> None:
    """Until the scan into `path` has begun, and so many of its chunks are there."""
    deadline = time.monotonic() + 600
    while not (path / "log.jsonl").is_file() or len(list(path.glob("chunks/*.parquet"))) < count:
        assert time.monotonic() < deadline, "no chunks came"
        time.sleep(0.002)


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Kill them and the processes that they started."""
    for process in processes:
        subprocess.run(["pkill", "-9", "-P", str(process.pid)], check=False)
        process.kill()
        process.wait()


@contextmanager
def hosts(count: int) -> Iterator[Mapping[str, str]]:
    """So many hosts, {namespace: address}, on one switch with this one; only root can make them."""
    if os.geteuid():
        pytest.skip("needs root, to make network namespaces")
    names = [f"ms{number}" for number in range(count)]
    try:
        _ip("link add ms-switch type bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs ip (iproute2) and the right to use it: {error}")
    try:
        _ip("addr add 10.77.0.1/24 dev ms-switch", "link set ms-switch up")
        for number, name in enumerate(names):
            _ip(
                f"netns add {name}",
                f"link add {name}-host type veth peer name eth0 netns {name}",
                f"link set {name}-host master ms-switch up",
                f"-n {name} addr add 10.77.0.{10 + number}/24 dev eth0",
                f"-n {name} link set eth0 up",
                f"-n {name} link set lo up",
            )
        yield {name: f"10.77.0.{10 + number}" for number, name in enumerate(names)}
    finally:
        # First the cables, whose names are free again only once their hosts are really gone.
        ends = [f"link del {name}-host" for name in names] + [f"netns del {name}" for name in names]
        for command in [*ends, "link del ms-switch"]:
            subprocess.run(["ip", *command.split()], check=False, capture_output=True)


def plug(host: str, inside: bool) -> None:
    """Pull the cable of a host out, or put it in again."""
    _ip(f"link set {host}-host {'up' if inside else 'down'}")


def slow(host: str, rate: str) -> None:
    """Give a host so slow a line."""
    subprocess.run(f"tc qdisc add dev {host}-host root tbf rate {rate} burst 32kbit latency 400ms".split(), check=True)


def sent_to(host: str) -> int:
    """Bytes that went to a host so far."""
    return int(Path(f"/sys/class/net/{host}-host/statistics/tx_bytes").read_text())


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
