"""Structures, inputs, manifest, results and the list after them."""

import gzip
import importlib.util
import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.vasp import Incar, Poscar

from matscreen.engine import CompositionSpace, PhaseTable, Run, cli, rundir, scan
from matscreen.engine.computed import read_computed
from matscreen.engine.queue import slurm
from matscreen.engine.queue.build import build_queue
from matscreen.engine.queue.decorate import Proposal, at_likely_volume, proposals
from matscreen.engine.queue.flows import jobflow
from matscreen.engine.queue.ingest import formation_energy, ingest, read_elements
from matscreen.engine.queue.inputs import cif, quantum_espresso, suggested_cutoffs, vasp
from matscreen.engine.queue.manifest import Manifest, read_manifest
from matscreen.engine.queue.prototypes import Prototype, aflow, from_path, prototype
from matscreen.engine.queue.relax import Relaxer, load_chgnet
from matscreen.engine.queue.results import Calculated, UnfinishedError, read_calculation, read_store
from matscreen.engine.report.contents import contents
from matscreen.engine.rescreen import current_candidates, rescreen
from matscreen.engine.shortlist import Filters
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError

ELEMENTS = "element,energy_ev_atom\nLi,-1.9\nFe,-8.4\nO,-4.9\nF,-1.9\n"


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


# ------------------------------------------------------------------ structures


@pytest.mark.parametrize(
    ("formula", "parent"),
    [
        ("CsCl", "CsCl"),
        ("KBr", "NaCl"),
        ("SrTiO3", "CaTiO3"),
        ("ZnAl2O4", "MgAl2O4"),
        ("CaF2", "CaF2"),
        ("NaFeO2", "NaCrS2"),
    ],
)
def test_the_structures_that_everybody_knows(formula: str, parent: str, known: tuple[Prototype, ...]) -> None:
    found = proposals(formula, known, 3)
    assert parent in {one.parent for one in found[:2]}
    for one in found:
        assert one.structure.composition.reduced_formula == Composition(formula).reduced_formula
    assert [one.likelihood or 0 for one in found] == sorted((one.likelihood or 0 for one in found), reverse=True)


def test_no_structure_comes_twice_and_none_is_squeezed(known: tuple[Prototype, ...]) -> None:
    found = proposals("LiFeO2", known, 8)
    assert len(found) > 3
    matcher = StructureMatcher()
    for i, one in enumerate(found):
        assert one.structure.is_valid(tol=1.0)
        assert not any(matcher.fit(one.structure, other.structure) for other in found[:i])
        assert 5 < one.structure.volume / len(one.structure) < 40


def test_a_sublattice_can_be_split() -> None:
    """The oxygens of a tetragonal perovskite are two orbits, one on the axis and two off it."""
    sites = [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    perovskite = prototype("tetragonal", Structure(Lattice.tetragonal(3.9, 4.1), ["K", "Nb", "O", "O", "O"], sites))
    assert perovskite.orbits.max() == 3
    found = proposals("KTiO2F", [perovskite], 5)
    assert {one.structure.composition.reduced_formula for one in found} == {"KTiO2F"}
    assert found[0].structure.get_space_group_info()[0] == "P4/mmm"
    assert proposals("KTi2O2", [perovskite], 5)  # titanium on a site of oxygen, too
    assert proposals("KTiO", [perovskite], 5) == []


@pytest.mark.parametrize("formula", ["NaCCl", "H2CO"])
def test_elements_in_state_zero(formula: str, known: tuple[Prototype, ...]) -> None:
    """Carbon can balance as C⁰, which touches nothing of opposite charge."""
    for one in proposals(formula, known, 2):
        assert one.structure.composition.reduced_formula == Composition(formula).reduced_formula


def test_volumes_of_the_prototypes_themselves(known: tuple[Prototype, ...]) -> None:
    """Structures as they were measured: hydrides, carbides, pnictides and metals among them."""
    off = [
        np.log(at_likely_volume(one.structure).volume / one.structure.volume)
        for one in known
        if len(one.structure.composition) > 1
    ]
    assert np.std(off) < 0.3
    assert np.mean(np.abs(off) < 0.2) > 0.7


def test_a_hull_of_mixed_valence_has_room(known: tuple[Prototype, ...]) -> None:
    magnetite = proposals("Fe3O4", known, 1)[0].structure
    assert magnetite.volume / len(magnetite) == pytest.approx(10.6, rel=0.3)


def test_what_fits_no_prototype(known: tuple[Prototype, ...]) -> None:
    assert proposals("Li7Fe5O3F", known[:20], 3) == []


def test_volumes_are_those_of_crystals(known: tuple[Prototype, ...]) -> None:
    measured = {"NaCl": 22.4, "MgO": 9.3, "CsCl": 35.1, "CaF2": 13.6, "SrTiO3": 11.9, "NiAl": 12.0}  # Å³ an atom
    for formula, volume in measured.items():
        found = [one.structure.volume / len(one.structure) for one in proposals(formula, known, 4)]
        assert min(abs(own / volume - 1) for own in found) < 0.1


def test_prototypes_of_the_user(tmp_path: Path) -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    salt.to(filename=str(tmp_path / "salt.cif"))
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a nonsense\n")
    disordered = Structure(Lattice.cubic(3), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    disordered.to(filename=str(tmp_path / "disordered.cif"))
    found, complaints = from_path(tmp_path)
    assert [one.name for one in found] == ["salt.cif"]
    assert len(found[0].structure) == 2
    assert len(complaints) == 2
    listed = tmp_path / "list.json"
    listed.write_text(
        json.dumps([salt.as_dict(), {"structure": salt.as_dict(), "material_id": "mp-1"}, {"@module": "os"}])
    )
    found, complaints = from_path(listed)
    assert len(found) == 2
    assert len(complaints) == 1
    for bad, said in ((tmp_path / "nowhere", "no such"), (tmp_path / "salt.txt", "neither")):
        if said == "neither":
            bad.write_text("{")
        with pytest.raises(InputError, match=said):
            from_path(bad)


# ------------------------------------------------------------------ inputs and manifest


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


# ------------------------------------------------------------------ results


def espresso(folder: Path, counts: dict[str, int], hartree: float, converged: str = "true", status: int = 0) -> None:
    """An output of pw.x, cut to what is read of it."""
    atoms = "".join(f'<atom name="{s}" index="1">0 0 0</atom>' for s, n in counts.items() for _ in range(n))
    (folder / "matscreen.xml").write_text(
        '<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0"><output>'
        f"<convergence_info><scf_conv><convergence_achieved>{converged}</convergence_achieved></scf_conv></convergence_info>"
        f"<atomic_structure><atomic_positions>{atoms}</atomic_positions></atomic_structure>"
        f"<total_energy><etot>{hartree}</etot></total_energy></output><exit_status>{status}</exit_status></qes:espresso>"
    )


def finish(queue: Path, entry: Any, formation: float, references: dict[str, float]) -> None:
    counts = {str(e): int(n) for e, n in Composition(entry.formula).items()}
    total = sum(n * (references[s] + formation) for s, n in counts.items())
    espresso(queue / entry.folder, counts, total / 27.211386245988)


def test_the_loop_is_closed(queue: Path, tmp_path: Path) -> None:
    run, entries = tmp_path / "run", read_manifest(queue).entries
    (tmp_path / "elements.csv").write_text(ELEMENTS)
    references = read_elements(tmp_path / "elements.csv")
    first, other = entries[0], next(e for e in entries if e.formula != entries[0].formula)
    before = rundir.read_candidates(run)
    finish(queue, first, -5.0, references)
    found = ingest(queue, tmp_path / "elements.csv")
    assert [(formula, folder) for formula, folder, _ in found.done] == [(first.formula, first.folder)]
    assert found.done[0][2] == pytest.approx(-5.0)
    assert len(found.left) == len(entries) - 1
    assert read_manifest(queue).entries[0].status == "done"

    told = rescreen(run)
    now, computed = current_candidates(run)
    assert computed == 1
    assert (told.before, told.now, told.calculated) == (len(before), len(now), 1)
    assert first.formula not in now["formula"].to_pylist()
    assert now["hull_distance_ev_atom"].to_pylist() == sorted(now["hull_distance_ev_atom"].to_pylist())
    assert told.above > 0  # −5 eV/atom pulls the whole system down
    names = [(r["formula"], r["formation_energy_ev_atom"]) for r in PhaseTable.load().table.to_pylist()]
    every = PhaseTable(
        "both",
        [*(n for n, _ in names), first.formula],
        np.array([*(e for _, e in names), -5.0]),
        ["x"] * (len(names) + 1),
        {},
    )
    expected = now["formation_energy_ev_atom"].to_numpy() - every.hull_energy(now["formula"].to_pylist())
    np.testing.assert_allclose(now["hull_distance_ev_atom"].to_numpy(), expected, atol=1e-9)

    finish(queue, other, -0.1, references)
    assert len(ingest(queue, tmp_path / "elements.csv").done) == 1
    both = read_computed(run)
    assert both is not None
    assert len(both) == 2
    with pytest.raises(JobError, match="older than what was calculated"):
        current_candidates(run)
    assert rescreen(run).found == {first.formula: 0.0, other.formula: pytest.approx(0, abs=9)}
    assert current_candidates(run)[1] == 2
    page = contents(run, Filters())
    assert page["candidates"]["formula"] == current_candidates(run)[0]["formula"].to_pylist()
    assert page["computed"] == sorted({first.formula, other.formula})
    assert first.formula in {phase[0] for phase in page["phases"]}


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "matscreen.xml").write_text((f / "matscreen.xml").read_text()[:-40]), "cannot be read"),
        (lambda f: espresso(f, {"Na": 1, "Cl": 1}, -10.0), "is of NaCl"),
        (lambda f: espresso(f, {"Li": 1, "F": 1}, -10.0, converged="false"), "not converged"),
        (lambda f: espresso(f, {"Li": 1, "F": 1}, -10.0, status=3), "status 3"),
        (lambda f: espresso(f, {"Xq": 1, "F": 1}, -10.0), "no element"),
        (lambda f: espresso(f, {"Li": 1, "F": 1}, float("nan")), "not a number"),
        (lambda f: (f / "matscreen.xml").write_text("<html>login</html>"), "no finished output"),
        (lambda f: (f / "vasprun.xml").write_text("<modeling>"), "vasprun.xml cannot be read"),
        (lambda f: (f / "vasprun.xml.gz").write_bytes(gzip.compress(b"<modeling/>")[:-9]), "cannot be read"),
        (lambda f: (f / "structure.cif").write_text("data_other"), "not the one that was queued"),
        (lambda f: (f / "structure.cif").unlink(), "structure.cif: No such file"),
        (lambda f: [p.unlink() for p in f.glob("*.xml")], "no output yet"),
    ],
)
def test_what_cannot_be_trusted_stays_queued(queue: Path, tmp_path: Path, break_it: Any, said: str) -> None:
    (tmp_path / "elements.csv").write_text(ELEMENTS)
    entry = read_manifest(queue).entries[0]
    finish(queue, entry, -2.0, read_elements(tmp_path / "elements.csv"))
    break_it(queue / entry.folder)
    found = ingest(queue, tmp_path / "elements.csv")
    assert found.done == []
    assert said in next(reason for _, folder, reason in found.left if folder == entry.folder)
    after = read_manifest(queue).entries[0]
    assert after.status == "queued"
    assert said in after.reason
    assert read_computed(tmp_path / "run") is None


def test_a_bomb_of_entities_is_no_calculation(tmp_path: Path) -> None:
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {c} "{f"&{p};" * 10}">' for p, c in zip("abcdefghi", "bcdefghij", strict=True)
    )
    (tmp_path / "pw.xml").write_text(f"<!DOCTYPE espresso [{entities}]><espresso><output>&j;</output></espresso>")
    with pytest.raises(UnfinishedError, match="cannot be read"):
        read_calculation(tmp_path)


def test_documents_of_a_store(tmp_path: Path) -> None:
    salt = Structure(Lattice.cubic(3.9), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]).as_dict()
    done = {"metadata": {"matscreen_folder": "0001-NaCl/1"}, "completed_at": "2026-01-02"}
    store = tmp_path / "store.json"
    task = {**done, "output": {"output": {"structure": salt, "energy": -6.8}}}
    before = {**done, "completed_at": "2026-01-01", "output": {"structure": salt, "energy": -6.0}}
    after = {**done, "completed_at": "2026-01-03", "output": {"formula": "NaCl"}}
    foreign = [{"output": {"structure": salt, "energy": -1.0}}, 3, {"metadata": None}]
    store.write_text(json.dumps([after, task, before, *foreign]))
    assert read_store(store) == {"0001-NaCl/1": Calculated({"Na": 1, "Cl": 1}, -6.8, "jobflow")}
    store.write_text(json.dumps([{**done, "output": {"energy": "low"}}]))
    assert "no energy" in str(read_store(store)["0001-NaCl/1"])
    for text, said in (("{", "no store"), ("{}", "no list")):
        store.write_text(text)
        with pytest.raises(InputError, match=said):
            read_store(store)
    with pytest.raises(InputError, match="no such file"):
        read_store(tmp_path / "nowhere")


class Counting:
    """A maker whose job, in place of a calculation, gives each atom −3 eV."""

    def make(self, structure: Structure) -> Any:
        return importlib.import_module("jobflow").Flow([_counted(structure)])


def _energy(structure: Structure) -> dict[str, Any]:
    return {"structure": structure, "energy": -3.0 * len(structure)}


def _counted(structure: Structure) -> Any:
    return importlib.import_module("jobflow").job(_energy)(structure)


def test_a_flow_run_by_jobflow_comes_back(run: Run, known: tuple[Prototype, ...], tmp_path: Path) -> None:
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
    (tmp_path / "elements.csv").write_text(ELEMENTS)
    references = read_elements(tmp_path / "elements.csv")
    found = ingest(tmp_path / "queue", tmp_path / "elements.csv", store=tmp_path / "store.json")
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


def test_formation_energies() -> None:
    references = {"Na": -1.3, "Cl": -1.8}
    assert formation_energy(Calculated({"Na": 2, "Cl": 2}, -13.6, "qe"), "NaCl", references) == pytest.approx(-1.85)
    with pytest.raises(InputError, match="none for Cl"):
        formation_energy(Calculated({"Na": 1, "Cl": 1}, -6.8, "qe"), "NaCl", {"Na": -1.3})
    with pytest.raises(UnfinishedError, match="no formation energy"):
        formation_energy(Calculated({"Na": 1, "Cl": 1}, -6800.0, "qe"), "NaCl", references)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("element,energy\nLi,1\n", "no column 'energy_ev_atom'"),
        ("element,energy_ev_atom\nXx,1\n", "row 1: unknown element"),
        ("element,energy_ev_atom\nLi,1\nLi,2\n", "more than once"),
        ("element,energy_ev_atom\nLi,nan\n", "not a finite number"),
    ],
)
def test_bad_energies_of_elements(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "elements.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_elements(tmp_path / "elements.csv")


def test_the_commands(
    queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["matscreen", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    run = str(tmp_path / "run")
    code, out, err = command(
        "queue", run, "--to", "cif", "--top", "2", "--structures", "1", "--out", str(tmp_path / "small")
    )
    assert (code, out.strip()) == (0, str(tmp_path / "small"))
    assert isinstance(read_manifest(tmp_path / "small"), Manifest)
    code, _, err = command("queue", run, "--to", "qe")
    assert (code, "--pseudopotentials" in err) == (2, True)
    code, _, err = command("queue", str(tmp_path / "nowhere"))
    assert (code, "no run directory" in err) == (2, True)
    code, _, err = command("rescreen", run)
    assert (code, "nothing was calculated" in err) == (2, True)
    (tmp_path / "elements.csv").write_text(ELEMENTS)
    finish(queue, read_manifest(queue).entries[0], -3.0, read_elements(tmp_path / "elements.csv"))
    code, out, _ = command("queue", "ingest", str(queue), "--elements", str(tmp_path / "elements.csv"))
    assert (code, "1 done" in out) == (0, True)
    code, out, _ = command("queue", "status", str(queue))
    assert (code, "done" in out) == (0, True)
    code, out, _ = command("rescreen", run)
    assert (code, "1 were calculated" in out) == (0, True)
    code, _, err = command("show", run, "--top", "3")
    assert (code, "rescreened with 1 calculated" in err) == (0, True)


class Squeezer:
    """A potential of a kind: an atom's energy is its volume's distance from 12 Å³, where each structure relaxes to."""

    def relax(self, structure: Structure, **_: Any) -> dict[str, Any]:
        if len(structure) > 40:
            raise ValueError("too large")
        relaxed = structure.copy()
        relaxed.scale_lattice(12.0 * len(structure))
        energy = abs(structure.volume / len(structure) - 12) * len(structure)
        if structure.volume < 4 * len(structure):
            raise RuntimeError("too dense")
        return {"final_structure": relaxed, "trajectory": type("Trajectory", (), {"energies": [energy]})}


def test_relaxed_structures_come_by_energy_and_tell_of_the_hull(known: tuple[Prototype, ...]) -> None:
    given = proposals("LiFeS2", known, 6)
    relaxer = Relaxer(Squeezer(), known)
    found = relaxer(given, -1.5)
    relaxed = [one for one in found if one.above_hull_ev_atom is not None]
    assert len(relaxed) > 1
    assert all(one.structure.volume / len(one.structure) == pytest.approx(12) for one in relaxed)
    assert [one.above_hull_ev_atom for one in relaxed] == sorted(one.above_hull_ev_atom for one in relaxed)
    before = {one.prototype: abs(one.structure.volume / len(one.structure) - 12) for one in given}
    at_elements = (relaxer.elements["Li"] + relaxer.elements["Fe"] + 2 * relaxer.elements["S"]) / 4
    assert relaxed[0].above_hull_ev_atom == pytest.approx(before[relaxed[0].prototype] - at_elements + 1.5, abs=1e-3)
    assert len(found) == len(given)
    assert math.isnan(relaxer._element("F"))  # of which no prototype is


def test_chgnet_puts_rock_salt_first(known: tuple[Prototype, ...]) -> None:
    pytest.importorskip("chgnet", reason="needs chgnet (pip install 'matscreen[relax]')")
    small = [one for one in proposals("NaCl", known, 4) if len(one.structure) <= 4]
    found = load_chgnet(known)(small, -2.1)
    assert found[0].parent == "NaCl"
    assert found[0].above_hull_ev_atom == pytest.approx(0, abs=0.2)


def test_structures_can_be_ranked_by_an_energy(run: Run, known: tuple[Prototype, ...], tmp_path: Path) -> None:
    def densest(found: list[Proposal], hull_energy: float) -> list[Proposal]:
        assert hull_energy <= 0
        return sorted(found, key=lambda one: one.structure.volume / len(one.structure))

    row = next(r for r in rundir.read_candidates(run.path).to_pylist() if r["n_elements"] == 2)
    manifest, _ = build_queue([row], run.path, "x", list(known), tmp_path / "queue", "cif", cif, 1, densest)
    chosen = Structure.from_file(tmp_path / "queue" / manifest.entries[0].folder / "structure.cif")
    volumes = [one.structure.volume / len(one.structure) for one in proposals(row["formula"], known, 4)]
    assert chosen.volume / len(chosen) == pytest.approx(min(volumes), rel=1e-3)
