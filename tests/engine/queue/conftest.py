"""A run with candidates, the prototypes, and a queue of them."""

import shutil
from pathlib import Path

import pytest

from matscreen.engine import CompositionSpace, PhaseTable, Run, rundir, scan
from matscreen.engine.queue.build import build_queue
from matscreen.engine.queue.inputs import cif
from matscreen.engine.queue.prototypes import Prototype, aflow
from matscreen.models import Model


@pytest.fixture(scope="module")
def known() -> tuple[Prototype, ...]:
    return aflow()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable) -> Run:
    return scan(CompositionSpace("Li,Fe,O,F"), model, phases, tmp_path_factory.mktemp("runs") / "four", 0.05)


@pytest.fixture
def queue(run: Run, known: tuple[Prototype, ...], tmp_path: Path) -> Path:
    """A queue of CIF files of the run's best candidates, in a folder of its own beside a copy of the run."""
    shutil.copytree(run.path, tmp_path / "run")
    rows = rundir.read_candidates(run.path, 6).to_pylist()
    fingerprint = rundir.read_config(run.path).fingerprint
    build_queue(rows, tmp_path / "run", fingerprint, list(known), tmp_path / "queue", "cif", cif, structures=2)
    return tmp_path / "queue"


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    """Total energies of the run's elements."""
    path = tmp_path / "elements.csv"
    path.write_text("element,energy_ev_atom\nLi,-1.9\nFe,-8.4\nO,-4.9\nF,-1.9\n")
    return path
