"""A candidate through Quantum ESPRESSO itself: scanned, queued, calculated, ingested, and against a direct run.

Needs pw.x and its pseudopotentials (Debian: quantum-espresso and quantum-espresso-data); with MATSCREEN_APT=1, root
installs them here.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure

from matscreen.engine import CompositionSpace, PhaseTable, rundir, scan
from matscreen.engine.queue.build import build_queue
from matscreen.engine.queue.ingest import ingest
from matscreen.engine.queue.inputs import quantum_espresso
from matscreen.engine.queue.manifest import read_manifest
from matscreen.engine.queue.prototypes import aflow
from matscreen.engine.queue.results import HARTREE_EV
from matscreen.engine.rescreen import current_list, rescreen
from matscreen.models import Model

PSEUDO = Path("/usr/share/espresso/pseudo")
FILES = ("Ni.pbe-nd-rrkjus.UPF", "Si.pbe-nl-rrkjus_psl.1.0.0.UPF")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pseudopotentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("pw.x") and PSEUDO.is_dir()) and os.environ.get("MATSCREEN_APT") == "1":
        packages = ["quantum-espresso", "quantum-espresso-data"]
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], check=True)
    if not (shutil.which("pw.x") and PSEUDO.is_dir()):
        pytest.skip("needs pw.x (apt install quantum-espresso quantum-espresso-data, or MATSCREEN_APT=1 as root)")
    folder = tmp_path_factory.mktemp("upf")
    for name in FILES:
        shutil.copy(PSEUDO / name, folder)
    return folder


def coarsen(folder: Path) -> None:
    """Two cores, a minute: no relaxation, low cutoffs, few k points."""
    text = (folder / "pw.in").read_text()
    for pattern, value in (
        (r"calculation = '[^']+'", "calculation = 'scf'"),
        (r"ecutwfc = [0-9.]+", "ecutwfc = 25"),
        (r"ecutrho = [0-9.]+", "ecutrho = 150"),
        (r"(K_POINTS automatic\s+)[0-9]+ [0-9]+ [0-9]+", r"\g<1>2 2 2"),
    ):
        text, count = re.subn(pattern, value, text)
        assert count == 1, pattern
    (folder / "pw.in").write_text(text)


def calculate(folder: Path) -> float:
    """Total energy (eV) that pw.x prints, of `pw.in` there."""
    coarsen(folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    with (folder / "pw.out").open("w") as out:
        subprocess.run(["pw.x", "-in", "pw.in"], cwd=folder, stdout=out, env=environment, timeout=900, check=True)
    found = re.findall(r"^!\s+total energy\s+=\s+([-0-9.]+) Ry", (folder / "pw.out").read_text(), re.MULTILINE)
    return float(found[-1]) * HARTREE_EV / 2


def test_a_candidate_through_pw(pseudopotentials: Path, model: Model, tmp_path: Path) -> None:
    nothing_known = PhaseTable("none", ["NiSi3"], np.array([0.5]), ["x"], {})
    run = scan(CompositionSpace("Ni-Si", arity=2, max_atoms=2), model, nothing_known, tmp_path / "run", 0.2)
    rows = rundir.read_candidates(run.path).to_pylist()
    assert [row["formula"] for row in rows] == ["SiNi"]
    write = quantum_espresso(pseudopotentials)
    caesium_chloride = [known for known in aflow() if known.name.startswith("AB_cP2_221")]
    fingerprint = rundir.read_config(run.path).fingerprint
    build_queue(rows, run.path, fingerprint, caesium_chloride, tmp_path / "queue", "qe", write, 1)
    entry = read_manifest(tmp_path / "queue").entries[0]

    lines = ["element,energy_ev_atom"]
    for symbol in ("Ni", "Si"):
        (tmp_path / symbol).mkdir()
        write(Structure(Lattice.cubic(2.5), [symbol], [[0, 0, 0]]), tmp_path / symbol)
        lines.append(f"{symbol},{calculate(tmp_path / symbol)!r}")
    (tmp_path / "elements.csv").write_text("\n".join(lines) + "\n")

    assert "no output" in ingest(tmp_path / "queue", tmp_path / "elements.csv").left[0][2]
    total = calculate(tmp_path / "queue" / entry.folder)
    references = [float(line.split(",")[1]) for line in lines[1:]]
    found = ingest(tmp_path / "queue", tmp_path / "elements.csv")
    assert found.left == []
    assert found.done[0][2] == pytest.approx((total - sum(references)) / 2, abs=1e-6)
    assert -3 < found.done[0][2] < 0  # against atoms on simple cubic lattices
    rescreen(run.path)
    assert pq.read_table(current_list(run.path)[0])["formula"].to_pylist() == []
