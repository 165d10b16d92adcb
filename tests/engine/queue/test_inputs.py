"""A queue as it is written: manifest, inputs for each code, the SLURM script, all or nothing."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.vasp import Incar, Poscar

from matscreen.engine import Run, rundir
from matscreen.engine.queue import slurm
from matscreen.engine.queue.build import build_queue
from matscreen.engine.queue.decorate import Proposal, proposals
from matscreen.engine.queue.inputs import cif, quantum_espresso, suggested_cutoffs, vasp
from matscreen.engine.queue.manifest import read_manifest
from matscreen.engine.queue.prototypes import Prototype
from matscreen.models.errors import InputError


def test_a_queue_is_what_its_manifest_says(queue: Path) -> None:
    manifest = read_manifest(queue)
    assert manifest.entries
    for entry in manifest.entries:
        structure = Structure.from_file(queue / entry.folder / "structure.cif")
        assert structure.composition.reduced_formula == Composition(entry.formula).reduced_formula
        assert entry.status == "queued"
    assert {p.name for p in queue.iterdir()} == {"manifest.json", *(e.folder.split("/")[0] for e in manifest.entries)}


def test_the_same_run_gives_the_same_queue(queue: Path, run: Run, known: tuple[Prototype, ...], tmp_path: Path) -> None:
    rows = rundir.read_candidates(run.path, 6).to_pylist()
    again = tmp_path / "again"
    told = read_manifest(queue)
    build_queue(rows, Path(told.run), told.fingerprint, list(known), again, "cif", cif, structures=2)
    assert (again / "manifest.json").read_bytes() == (queue / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="already there"):
        build_queue(rows, Path(told.run), told.fingerprint, list(known), again, "cif", cif)


def test_a_queue_that_fails_leaves_nothing(run: Run, known: tuple[Prototype, ...], tmp_path: Path) -> None:
    def fail(structure: Structure, folder: Path) -> None:
        raise InputError("no")

    rows = rundir.read_candidates(run.path, 3).to_pylist()
    with pytest.raises(InputError, match="no"):
        build_queue(rows, run.path, "x", list(known), tmp_path / "queue", "cif", fail)
    assert list(tmp_path.iterdir()) == []


def test_inputs_for_vasp(tmp_path: Path) -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    vasp(salt, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"}
    assert Incar.from_file(tmp_path / "INCAR")["ENCUT"] == 520
    assert Poscar.from_file(tmp_path / "POSCAR").structure.composition.reduced_formula == "NaCl"
    assert (tmp_path / "POTCAR.spec").read_text().split() == ["Na_pv", "Cl"]


def test_inputs_for_vasp_have_no_hubbard_u(tmp_path: Path) -> None:
    """MPRelaxSet gives iron in oxides 5.3 eV; iron itself has none, and formation energies are differences to it."""
    wustite = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), ["Fe", "O"], [[0, 0, 0], [0.5] * 3])
    vasp(wustite, tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    assert incar["LDAU"] is False
    assert "LDAUU" not in incar


def test_inputs_for_quantum_espresso(tmp_path: Path) -> None:
    (tmp_path / "upf").mkdir()
    (tmp_path / "upf/Fe.pbe-spn.UPF").write_text('<PP_HEADER wfc_cutoff="  9.0E+01" rho_cutoff="1.1E+03"/>')
    (tmp_path / "upf/o_pbe.upf").write_text("Suggested minimum cutoff for wavefunctions:  45. Ry\n")
    assert suggested_cutoffs(tmp_path / "upf/Fe.pbe-spn.UPF") == (90.0, 0.0)
    assert suggested_cutoffs(tmp_path / "upf/o_pbe.upf") == (45.0, 0.0)
    (tmp_path / "upf/Fe.blyp.UPF").write_text('<PP_HEADER functional="BLYP" wfc_cutoff="30"/>')
    (tmp_path / "upf/Fe.pbe-spn.UPF").write_text('<PP_HEADER functional="SLA  PW   PBX  PBC" wfc_cutoff="9.0E+01"/>')
    (tmp_path / "upf/o_pbe.upf").write_text('functional="PBE" Suggested minimum cutoff for wavefunctions:  45. Ry')
    write = quantum_espresso(tmp_path / "upf")
    wustite = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.3), ["Fe", "O"], [[0, 0, 0], [0.5] * 3]
    ).get_primitive_structure()
    write(wustite, tmp_path)
    text = (tmp_path / "pw.in").read_text()
    for wanted in ("ecutwfc = 90.0", "ecutrho = 720.0", "nspin = 2", "Fe.pbe-spn.UPF", "vc-relax"):
        assert wanted in text
    with pytest.raises(InputError, match="no pseudopotentials of one functional for Li"):
        write(Structure(Lattice.cubic(3), ["Li"], [[0, 0, 0]]), tmp_path)
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "holds no pseudo"), ("nowhere", "no such folder")):
        with pytest.raises(InputError, match=said):
            quantum_espresso(tmp_path / folder)


def test_the_slurm_script_runs_each_entry_once(queue: Path) -> None:
    folders = [entry.folder for entry in read_manifest(queue).entries]
    slurm.MOST_TASKS, most = len(folders) - 1, slurm.MOST_TASKS
    slurm.write_script(queue, folders, "cif", "pwd >> ../../ran")
    slurm.MOST_TASKS = most
    for task in (*range(1, len(folders) - 1), 0, 0):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}
        subprocess.run(["bash", "submit.sh"], cwd=queue, env=environment, check=True)
    assert [Path(line).relative_to(queue.resolve()).as_posix() for line in (queue / "ran").read_text().split()] == [
        *folders[1:-1],
        folders[0],
        folders[-1],
    ]
    with pytest.raises(InputError, match="--command"):
        slurm.write_script(queue, folders, "cif")


def test_an_entry_that_fails_does_not_keep_the_task_from_the_next(queue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = (entry.folder for entry in read_manifest(queue).entries)
    monkeypatch.setattr(slurm, "MOST_TASKS", 1)
    slurm.write_script(queue, [first, *others], "cif", "test -e there; pwd >> ../../ran")
    for folder in others:
        (queue / folder / "there").touch()
    ended = subprocess.run(["bash", "submit.sh"], cwd=queue, env={**os.environ, "SLURM_ARRAY_TASK_ID": "0"})
    assert ended.returncode == 1
    assert not (queue / first / "finished").exists()
    assert len((queue / "ran").read_text().split()) == len(others)


def test_hostile_manifests(queue: Path) -> None:
    told = json.loads((queue / "manifest.json").read_text())
    for change, said in (
        ({"folder": "../../etc"}, "no folder of this queue"),
        ({"folder": "/etc"}, "no folder of this queue"),
        ({"status": "gone"}, "no folder of this queue"),
        ({"folder": "a\0b"}, "no folder of this queue"),
        ({"formula": "(((("}, "FormulaError"),
        ({"formula": 5}, "wrong kind"),
        ({"hull_distance_ev_atom": "x"}, "wrong kind"),
        ({"more": 1}, "TypeError"),
    ):
        altered = {**told, "entries": [{**told["entries"][0], **change}]}
        (queue / "manifest.json").write_text(json.dumps(altered))
        with pytest.raises(InputError, match=said):
            read_manifest(queue)
    (queue / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="cannot be used"):
        read_manifest(queue)
    with pytest.raises(InputError, match="no manifest"):
        read_manifest(queue / "nowhere")


def test_structures_can_be_ranked_by_an_energy(run: Run, known: tuple[Prototype, ...], tmp_path: Path) -> None:
    def densest(found: list[Proposal], hull_energy: float) -> list[Proposal]:
        assert hull_energy <= 0
        return sorted(found, key=lambda one: one.structure.volume / len(one.structure))

    row = next(r for r in rundir.read_candidates(run.path).to_pylist() if r["n_elements"] == 2)
    manifest, _ = build_queue([row], run.path, "x", list(known), tmp_path / "queue", "cif", cif, 1, densest)
    chosen = Structure.from_file(tmp_path / "queue" / manifest.entries[0].folder / "structure.cif")
    volumes = [one.structure.volume / len(one.structure) for one in proposals(row["formula"], known, 4)]
    assert chosen.volume / len(chosen) == pytest.approx(min(volumes), rel=1e-3)
