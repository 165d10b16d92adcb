"""What calculations and their elements are read to say."""

import gzip
import json
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from matscreen.engine.queue.ingest import formation_energy, read_elements
from matscreen.engine.queue.results import Calculated, UnfinishedError, read_calculation, read_store
from matscreen.models.errors import InputError


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


U = """<i type="logical" name="LDAU"> T</i><v name="LDAUU"> 5.3 0.0</v><v name="LDAUJ"> 0.0 0.0</v>
<v type="int" name="LDAUL"> 2 0</v>"""


def vasprun(energy: float, steps: int = 5, u: str = "") -> str:
    """vasprun.xml of a cell of FeO, cut to what is read of it."""
    kinds = "".join(f"<rc><c> 1</c><c>{s}</c><c> 1</c><c> 1</c><c> PAW_PBE {s} </c></rc>" for s in ("Fe", "O"))
    structure = """<structure{}><crystal><varray name="basis"><v> 0.0 2.15 2.15 </v><v> 2.15 0.0 2.15 </v>
        <v> 2.15 2.15 0.0 </v></varray><i name="volume"> 19.9 </i></crystal><varray name="positions">
        <v> 0.0 0.0 0.0 </v><v> 0.5 0.5 0.5 </v></varray></structure>"""
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    energies = "<energy>" + "".join(f'<i name="{name}"> {energy} </i>' for name in names) + "</energy>"
    row = "<v> 0.0 0.0 0.0 </v>"
    return f"""<?xml version="1.0"?><modeling>
<generator><i name="program" type="string">vasp </i><i name="version" type="string">6.4.2 </i></generator>
<incar><i type="int" name="NSW"> 99</i><i type="int" name="IBRION"> 2</i>{u}</incar>
<kpoints><generation param="Gamma"><v type="int" name="divisions"> 1 1 1 </v></generation>
<varray name="kpointlist">{row}</varray><varray name="weights"><v> 1.0 </v></varray></kpoints>
<parameters><separator name="electronic"><i type="int" name="NELM"> 100</i><i type="int" name="NSW"> 99</i>
<i type="int" name="IBRION"> 2</i>{u}</separator></parameters>
<atominfo><atoms> 2 </atoms><types> 2 </types><array name="atoms"><field type="string">element</field>
<field type="int">atomtype</field><set><rc><c>Fe</c><c> 1</c></rc><rc><c>O </c><c> 2</c></rc></set></array>
<array name="atomtypes"><field type="int">atomspertype</field><field type="string">element</field><field>mass</field>
<field>valence</field><field type="string">pseudopotential</field><set>{kinds}</set></array></atominfo>
{structure.format(' name="initialpos" ')}
<calculation>{steps * f"<scstep>{energies}</scstep>"}{structure.format("")}
<varray name="forces">{2 * row}</varray><varray name="stress">{3 * row}</varray>{energies}</calculation>
{structure.format(' name="finalpos" ')}</modeling>"""


def test_vasp(tmp_path: Path) -> None:
    (tmp_path / "vasprun.xml").write_text(vasprun(-15.25))
    assert read_calculation(tmp_path) == Calculated({"Fe": 1, "O": 1}, -15.25, "vasp")
    (tmp_path / "vasprun.xml").unlink()
    (tmp_path / "vasprun.xml.gz").write_bytes(gzip.compress(vasprun(-15.25).encode()))
    assert read_calculation(tmp_path).energy_ev_atom == -7.625


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (vasprun(-15.25, steps=100), "not converged .electrons"),
        (vasprun(-15.25, u=U), "Hubbard U"),
        (vasprun(-15.25)[:-300], "cannot be read"),
    ],
)
def test_vasp_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "vasprun.xml").write_text(text)
    with pytest.raises(UnfinishedError, match=said):
        read_calculation(tmp_path)
