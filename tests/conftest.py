"""What the tests share: the embedded reference, the shipped model, and the published data where they are at hand."""

import fcntl
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # PyTorch's threads of two processes wait for each other on two cores
    compiled = Path(__file__).parents[1] / ".venv/numba"  # what one has compiled the other need not
    os.environ["NUMBA_CACHE_DIR"] = str(compiled)
    if importlib.util.find_spec("orix"):
        compiled.mkdir(parents=True, exist_ok=True)
        with (compiled / "orix").open(
            "w"
        ) as lock:  # the parts of a gufunc that two compile at once do not fit together
            fcntl.flock(lock, fcntl.LOCK_EX)
            importlib.import_module("orix.quaternion").Orientation  # noqa: B018

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports a Triton kernel

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from matscreen import models
from matscreen.engine import PhaseTable, cli
from matscreen.models import Model
from matscreen.models.architecture import ARCHITECTURES, Architecture

settings.register_profile("matscreen", deadline=None, derandomize=True)  # the first call of a kernel compiles it
settings.load_profile("matscreen")

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("MATSCREEN_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def phases() -> PhaseTable:
    return PhaseTable.load("oqmd-legacy")


@pytest.fixture(scope="session")
def model() -> Model:
    return models.load()


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Commands take all cores; the tests after them do not."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_201)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line: of its arguments, its exit code."""

    def called(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["matscreen", *arguments])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return called


def published(name: str) -> Path:
    """A file of published data; the test is skipped where it is not there."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"needs {name} (set MATSCREEN_DATA to its folder)")
    return path


def write_energies(path: Path, formulas: list[str], energies: list[float]) -> Path:
    """A Parquet table to learn from."""
    pq.write_table(pa.table({"formula": formulas, "formation_energy_ev_atom": energies}), path)
    return path


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> str:
    """ElemNet in a hundredth of its width, for tests in which it matters little what learns."""
    monkeypatch.setitem(ARCHITECTURES, "narrow", Architecture(((64, 2), (48, 1), (32, 1), (16, 1))))
    return "narrow"


@pytest.fixture
def compounds(tmp_path: Path) -> Path:
    """A few hundred binaries whose energy is a smooth function of the fraction."""
    metals, others = ["Li", "Na", "Mg", "Al", "Ti", "Fe", "Ni", "Zn"], ["O", "S", "F", "Cl", "N", "P"]
    formulas, energies = [], []
    for i, m in enumerate(metals):
        for j, x in enumerate(others):
            for a, b in ((1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (1, 3)):
                formulas.append(f"{m}{a}{x}{b}")
                energies.append(-(1 + 0.2 * i + 0.3 * j) * 4 * a * b / (a + b) ** 2)
    return write_energies(tmp_path / "compounds.parquet", formulas, energies)
