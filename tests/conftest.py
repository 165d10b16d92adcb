"""What the tests share: the embedded reference, the shipped model, and the published data where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from matscreen import models
from matscreen.engine import PhaseTable
from matscreen.models import Model

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


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_201)


def published(name: str) -> Path:
    """A file of published data; the test is skipped where it is not there."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"needs {name} (set MATSCREEN_DATA to its folder)")
    return path
