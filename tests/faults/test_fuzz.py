"""Readers take what is good, refuse what is not, and never do anything else."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import ROOT
from faults import fuzz
from faults.conftest import LONG, SEED
from faults.record import Record
from faults.targets import Target, targets
from matscreen.models import Model
from matscreen.models.errors import InputError
from matscreen.models.formula import parse_formula

NAMES = (
    *(
        "formula",
        "elements",
        "id",
        "property",
        "reference.csv",
        "reference.parquet",
        "samples.csv",
        "elements.csv",
        "pattern.xy",
    ),
    *(
        "manifest.json",
        "run.json",
        "summary.json",
        "phases.parquet",
        "candidates.parquet",
        "chunk.parquet",
        "trial.parquet",
        "log.jsonl",
    ),
    *(
        "weights",
        "weights of an embedding",
        "weights of others",
        "card.json",
        "frame.tif",
        "frame.edf",
        "frame.cbf",
        "frame.h5",
        "geometry.poni",
    ),
    *("patterns.h5", "spectra.csv", "spectra.parquet", "spectra.h5"),
)

PARTS = 4
"""Processes after each other that share the cases: some libraries keep a little of everything they read."""


@pytest.fixture(scope="module")
def all_targets(tmp_path_factory: pytest.TempPathFactory, model: Model) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("targets"), model)


def test_all_readers_are_named(all_targets: dict[str, Target]) -> None:
    assert set(all_targets) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_good_input_is_taken(name: str, all_targets: dict[str, Target], tmp_path: Path) -> None:
    """Else the fuzzing would only ever see the door."""
    found = all_targets[name].read(all_targets[name].seeds[0], tmp_path)
    assert found
    if name.startswith("frame."):  # these readers tell of a problem instead of raising
        assert [frame.problem for frame in found] == [""]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_mutated_input(name: str, all_targets: dict[str, Target], tmp_path: Path) -> None:
    target = all_targets[name]
    inside, outside = tmp_path / "own", sorted(tmp_path.iterdir())
    inside.mkdir()

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False), st.booleans())
    def thrown(chance: random.Random, anything: bool) -> None:
        content = chance.randbytes(chance.randrange(200)) if anything else fuzz.mutated(chance, target.seeds)
        with fuzz.at_most(20):
            fuzz.survives(target, content, inside)

    thrown()
    assert [path for path in sorted(tmp_path.iterdir()) if path != inside] == outside  # nothing was written elsewhere


@pytest.mark.skipif(not LONG, reason="takes hours: make faults")
@pytest.mark.parametrize("name", NAMES)
def test_guided_by_coverage(name: str, tmp_path: Path, record: Record) -> None:
    cases = int(os.environ.get("MATSCREEN_CASES", "100000"))
    command = [sys.executable, str(Path(fuzz.__file__)), name, "--cases", str(cases // PARTS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])}
    for _ in record.trials(f"mutated input of the reader of {name}", 1, cases):
        for part in range(PARTS):
            own = [*command, "--seed", str(SEED + part)]
            ended = subprocess.run(own, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stderr[-3000:]


def test_pickles_are_never_run(all_targets: dict[str, Target], tmp_path: Path) -> None:
    for name in ("weights", "weights of others"):
        pickled = next(seed for seed in all_targets[name].seeds if seed.startswith(b"\x80\x04"))
        pickle.loads(pickled)  # noqa: S301 (it does work)
        marker = next(tmp_path.parent.parent.rglob("pickle was run"))
        marker.unlink()
        with pytest.raises(InputError, match="holds no network"):
            all_targets[name].read(pickled, tmp_path)
        assert not marker.exists()


def test_headers_that_lie(all_targets: dict[str, Target], tmp_path: Path) -> None:
    _, small, liar, far, *_ = all_targets["weights"].seeds
    for content in (liar, far):
        assert content != small
        with pytest.raises(InputError, match="holds no network"):
            all_targets["weights"].read(content, tmp_path)


def test_nested_columns(all_targets: dict[str, Target], tmp_path: Path) -> None:
    _, energies, formulas, encoded = all_targets["reference.parquet"].seeds
    for content in (energies, formulas):
        with pytest.raises(InputError, match=r"row 1|not text|column"):
            all_targets["reference.parquet"].read(content, tmp_path)
    assert len(all_targets["reference.parquet"].read(encoded, tmp_path)) == 9  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["H" * 10**6, "(" * 10**6, "Fe" + "9" * 10**6, "é" * 10**6])
def test_a_formula_of_a_million_characters_is_refused_at_once(text: str) -> None:
    with fuzz.at_most(5), pytest.raises(InputError) as error:  # one that read it all would take minutes
        parse_formula(text)
    assert len(str(error.value)) < 200
