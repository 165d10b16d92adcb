"""What is scanned under attack, how often, and the record of what was survived.

`make test` tries each fault a few times; `make faults` (MATSCREEN_FAULTS=long) many times, and writes
docs/reliability.md.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from conftest import ROOT
from faults.children import Children
from faults.record import Record
from matscreen.engine import PhaseTable
from matscreen.engine.scan import Progress

LONG = os.environ.get("MATSCREEN_FAULTS") == "long"
SEED = int(os.environ.get("MATSCREEN_SEED", "2026"))

ELEMENTS = "Li-Mg-Fe-Ti-O-S"
SCAN = ("--threshold", "0.05", "--chunk-size", "500", "--workers", "2", "--top", "0")


def trials(short: int, long: int) -> int:
    """How often a fault is tried."""
    return long if LONG else short


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> np.random.Generator:
    """Draws of the test's own: another seed (MATSCREEN_SEED), other faults."""
    return np.random.default_rng([SEED, *request.node.name.encode()])


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    kept = Record(SEED)
    yield kept
    if LONG:
        kept.write(ROOT / "docs" / "reliability.md")


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    with Children() as started:
        yield started


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, phases: PhaseTable) -> Path:
    """Known phases of the elements that are scanned."""
    path = tmp_path_factory.mktemp("reference") / "known.csv"
    pyarrow.csv.write_csv(phases.system(ELEMENTS).select(["formula", "formation_energy_ev_atom"]), path)
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, reference: Path, children: Children) -> Path:
    """A run that nothing happened to."""
    path = tmp_path_factory.mktemp("whole") / "run"
    said = path.with_name("said")
    assert children.run(*scan_of(reference, path), said=said) == 0, said.read_text()
    return path


def scan_of(reference: Path, path: Path) -> tuple[str, ...]:
    """The arguments of a scan into `path`."""
    return ("scan", ELEMENTS, "--reference", str(reference), *SCAN, "--out", str(path))


def candidates_of(path: Path) -> bytes:
    """What must be the same whatever happened."""
    return (path / "candidates.parquet").read_bytes()


class Script:
    """A report of progress during which things happen: `{after how many reports: what}`."""

    def __init__(self, happens: Mapping[int, Callable[[], object]]) -> None:
        self.happens = happens
        self.reports = 0

    def __call__(self, _: Progress) -> None:
        self.reports += 1
        if self.reports in self.happens:
            self.happens[self.reports]()
