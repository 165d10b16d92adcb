"""A small run directory to look at."""

from dataclasses import replace
from pathlib import Path

import pytest

from matscreen.engine import CompositionSpace, PhaseTable, rundir, schema
from matscreen.engine.rundir import Chunk, RunConfig
from matscreen.engine.screen import Screened, screen_chunk
from matscreen.models import Model

SPACE = CompositionSpace("Li-Ti-O")


@pytest.fixture(scope="module")
def known(phases: PhaseTable) -> PhaseTable:
    return PhaseTable.from_table("known", phases.system("Li-Ti-O").select(schema.PHASES.names))


@pytest.fixture(scope="module")
def screened(model: Model, known: PhaseTable) -> Screened:
    found = screen_chunk(SPACE[:], model, known, 0.0, False, True)
    assert len(found.candidates) > 20
    return replace(found, enumerate_seconds=0.5)


@pytest.fixture
def config(model: Model, known: PhaseTable) -> RunConfig:
    return RunConfig(
        version="1",
        space=SPACE.spec(),
        threshold=0.0,
        charge_neutral=False,
        chunk_size=100,
        model={"name": model.name, "source": "here", "checksum": model.checksum, "student": ""},
        reference={"name": "known", "origin": {"path": "there"}, "checksum": known.checksum},
    )


@pytest.fixture
def path(tmp_path: Path, config: RunConfig, known: PhaseTable) -> Path:
    """A run without chunks."""
    rundir.create(tmp_path / "deep" / "run", config, known.table, {"python": "3"})
    return tmp_path / "deep" / "run"


@pytest.fixture
def chunk(path: Path, config: RunConfig, screened: Screened) -> Chunk:
    return rundir.write_chunk(path, config.fingerprint, 3, (0, len(SPACE)), screened)
