"""A real SLURM on this machine's loopback: a controller and two nodes of one core."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PORT = 18850
NODES = ("ms0", "ms1")
PROGRAMS = ("slurmctld", "slurmd", "sbatch")

CONFIGURATION = """
ClusterName=matscreen
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmctldParameters=enable_configless
SlurmUser=root
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
PartitionName=night Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which its commands find it; skipped where SLURM is not installed, or not ours to start."""
    if not all(map(shutil.which, PROGRAMS)) and os.environ.get("MATSCREEN_APT") == "1":
        packages = ["slurmctld", "slurmd", "slurm-client"]
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], check=True)
    if not all(map(shutil.which, PROGRAMS)) or os.geteuid():
        pytest.skip("needs root and SLURM (apt install slurmctld slurmd slurm-client, or MATSCREEN_APT=1)")
    host = socket.gethostname()
    lines = [CONFIGURATION.format(host=host, port=PORT, folder=folder)]
    for number, name in enumerate(NODES, 1):
        lines.append(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={PORT + number} ")
        lines.append("CPUs=1 RealMemory=8000\n")
        (folder / f"spool-{name}").mkdir(parents=True)
    (folder / "state").mkdir()
    conf = folder / "slurm.conf"
    conf.write_text("".join(lines))
    environment = {"SLURM_CONF": str(conf)}
    started = []
    try:
        for daemon in (("slurmctld", "-D", "-c"), *(("slurmd", "-D", "-N", name) for name in NODES)):
            with (folder / f"{daemon[-1]}.log").open("wb") as log:
                started.append(subprocess.Popen(daemon, env=os.environ | environment, stdout=log, stderr=log))
        deadline = time.monotonic() + 60
        while told(environment, "sinfo", "--noheader", "--format", "%D %t") != ["2 idle"]:
            assert time.monotonic() < deadline, "SLURM's nodes are not there"
            time.sleep(0.2)
        yield environment
    finally:
        told(environment, "scancel", "--full", *jobs(environment))
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=30)


def told(environment: dict[str, str], *command: str) -> list[str]:
    """The lines that a command of SLURM prints."""
    done = subprocess.run(command, env=os.environ | environment, check=False, capture_output=True, text=True)
    return done.stdout.splitlines()


def jobs(environment: dict[str, str]) -> set[str]:
    """Numbers of those that run."""
    return set(told(environment, "squeue", "--noheader", "--states=RUNNING", "--format", "%A"))
