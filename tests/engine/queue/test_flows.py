"""Workflows for jobflow: written the same each time, run by its local runner, and read back from its store."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Composition, Structure

from matscreen.engine import Run, rundir
from matscreen.engine.queue.build import build_queue
from matscreen.engine.queue.flows import jobflow
from matscreen.engine.queue.ingest import ingest, read_elements
from matscreen.engine.queue.manifest import read_manifest
from matscreen.engine.queue.prototypes import Prototype
from matscreen.models.errors import InputError


class Counting:
    """A maker whose job, in place of a calculation, gives each atom −3 eV."""

    def make(self, structure: Structure) -> Any:
        return importlib.import_module("jobflow").Flow([_counted(structure)])


def _energy(structure: Structure) -> dict[str, Any]:
    return {"structure": structure, "energy": -3.0 * len(structure)}


def _counted(structure: Structure) -> Any:
    return importlib.import_module("jobflow").job(_energy)(structure)


def test_a_flow_run_by_jobflow_comes_back(
    elements: Path, run: Run, known: tuple[Prototype, ...], tmp_path: Path
) -> None:
    flows = pytest.importorskip("jobflow", reason="needs jobflow (pip install 'matscreen[jobflow]')")
    from maggma.stores import JSONStore

    shutil.copytree(run.path, tmp_path / "run")
    rows = rundir.read_candidates(run.path, 2).to_pylist()
    fingerprint = rundir.read_config(run.path).fingerprint
    given = rows, tmp_path / "run", fingerprint, list(known)
    write = jobflow(f"{__name__}:Counting")
    build_queue(*given, tmp_path / "queue", "jobflow", write, structures=1)
    build_queue(*given, tmp_path / "again", "jobflow", write, structures=1)
    entries = read_manifest(tmp_path / "queue").entries
    store = flows.JobStore(JSONStore(str(tmp_path / "store.json"), read_only=False))
    for entry in entries:
        text = (tmp_path / "queue" / entry.folder / "flow.json").read_text()
        assert text == (tmp_path / "again" / entry.folder / "flow.json").read_text()
        flows.run_locally(flows.Flow.from_dict(json.loads(text)), store=store, create_folders=False)
    references = read_elements(elements)
    found = ingest(tmp_path / "queue", elements, store=tmp_path / "store.json")
    assert found.left == []
    for formula, _, energy in found.done:
        fractions = Composition(formula).fractional_composition.get_el_amt_dict()
        assert energy == pytest.approx(-3 - sum(x * references[s] for s, x in fractions.items()))


def test_a_maker_that_is_none() -> None:
    with pytest.raises(InputError, match="needs nowhere|needs jobflow"):
        jobflow("nowhere.at.all:Maker")
    if importlib.util.find_spec("jobflow"):
        with pytest.raises(InputError, match="is no maker"):
            jobflow("json:nothing")
