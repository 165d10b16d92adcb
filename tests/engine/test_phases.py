"""The reference: reading it, its errors, and hulls of it."""

import hashlib
import socket
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matscreen.engine import PhaseTable
from matscreen.engine.reference import SOURCES, sources
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.errors import InputError, JobError


def test_embedded_default(phases: PhaseTable) -> None:
    assert len(phases) == 15_436
    content = sources.cached_path("oqmd-legacy").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SOURCES["oqmd-legacy"].sha256
    assert {z for z in ELEMNET_ELEMENTS if z not in phases.elements} == {61}  # promethium
    assert phases.decomposition("LiFePO4") == {"LiFePO4": pytest.approx(1)}
    assert phases.hull_energy(["Fe2O3", "Fe", "Fe4O6"]).tolist() == pytest.approx([-1.648144, 0, -1.648144])


def test_a_damaged_cache_is_fetched_again_and_a_wrong_file_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phases: PhaseTable
) -> None:
    good = sources.cached_path("oqmd-legacy").read_bytes()
    cached = tmp_path / "cache.dat"
    monkeypatch.setattr(sources, "cached_path", lambda _: cached)
    cached.write_bytes(good[:-100])
    monkeypatch.setattr(sources, "_download", lambda _: good)
    said: list[str] = []
    assert sources.fetch("oqmd-legacy", said.append) == good
    assert "damaged" in said[0]
    assert cached.read_bytes() == good
    cached.unlink()
    monkeypatch.setattr(sources, "_download", lambda _: good + b" ")
    with pytest.raises(JobError, match="not used"):
        sources.fetch("oqmd-legacy")
    assert not cached.exists()


def test_pip_failing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(JobError, match=r"could not download qmpy==1.4.0: .*--reference FILE") as caught:
        sources._download(SOURCES["oqmd-legacy"])
    assert "\n" not in str(caught.value)


def test_another_wheel_of_that_name_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "qmpy-1.4.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("qmpy-1.4.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: qmpy\nVersion: 1.4.0\n")
        wheel.writestr("qmpy-1.4.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("qmpy-1.4.0.dist-info/RECORD", "")
        wheel.writestr(SOURCES["oqmd-legacy"].member, "Fe 0\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(JobError, match="could not download qmpy==1.4.0: ERROR: .*HASHES") as caught:
        sources._download(SOURCES["oqmd-legacy"])
    assert "\n" not in str(caught.value)


def test_an_index_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX", raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setattr(sources, "DOWNLOAD_SECONDS", 4)
        with pytest.raises(JobError, match="could not download qmpy==1.4.0: it took more than 4 s"):
            sources._download(SOURCES["oqmd-legacy"])


def test_files(tmp_path: Path) -> None:
    table = pa.table({"comp": ["Li2O", "Li4O2", "Fe", "Ag0.66Sc0.33"], "e": [-2.0, -1.9, 0.1, -0.3]})
    pq.write_table(table, tmp_path / "p.parquet")
    pa.csv.write_csv(table, tmp_path / "p.csv")
    for name in ("p.parquet", "p.csv"):
        phases = PhaseTable.read(tmp_path / name, formula="comp", energy="e")
        assert phases.hull_energy(["LiO", "Ag2Sc", "Fe"]).tolist() == pytest.approx([-1.5, -0.3, 0])
        assert PhaseTable.reopen(phases.origin).checksum == phases.checksum
        shown = phases.system("Li-O").to_pylist()
        assert [(r["formula"], round(r["hull_distance_ev_atom"], 6)) for r in shown] == [("Li2O", 0), ("Li2O", 0.1)]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("Fe2O3,-1\nFeQ,-1", "row 2: .*unknown element"),
        ("Fe2O3,-1\nFeO,nan", "row 2 .FeO.*not a finite number"),
        ("Fe2O3,-1\nFeO,inf", "row 2 .FeO.*not a finite number"),
        ("Fe2O3,-1\n,2", "row 2: empty formula"),
        ("Fe2O3,-1\nFe,-8.3", "row 2 .Fe.*total energies"),
        ("Fe2O3,abc", "row 1 .Fe2O3.: .* is 'abc', not a finite number"),
        ("HLiBeBCNOFNaMgAlSiPSClKCa,-1", "row 1 .*more than 16 elements"),
    ],
)
def test_bad_rows(tmp_path: Path, rows: str, complaint: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text("formula,formation_energy_ev_atom\n" + rows + "\n")
    with pytest.raises(InputError, match=complaint) as caught:
        PhaseTable.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_table_is_one_line(tmp_path: Path) -> None:
    energy = "formation_energy_ev_atom"
    (tmp_path / "twice.csv").write_text(f"formula,formula,{energy}\nFe2O3,FeO,-1\n")
    (tmp_path / "latin.csv").write_bytes(f"form\xfcla,{energy}\nFe2O3,-1\n".encode("latin-1"))
    pq.write_table(pa.table({"formula": [["Fe"]], energy: [-1.0]}), tmp_path / "list.parquet")
    pq.write_table(pa.table({"formula": ["FeO"], energy: [True]}), tmp_path / "bool.parquet")
    pq.write_table(pa.table({"formula": ["FeO"], energy: [-1e300]}), tmp_path / "huge.parquet")
    pq.write_table(pa.table({"formula": ["FeO"], energy: [[1.0]]}), tmp_path / "lists.parquet")
    for name, complaint in {
        "twice.csv": "2 column 'formula'",
        "latin.csv": "latin.csv",
        "list.parquet": "column 'formula' holds no text",
        "bool.parquet": "row 1 .FeO.: .* is True, not a finite number",
        "huge.parquet": "row 1 .FeO.: .*no energy a formation can have",
        "lists.parquet": "row 1 .FeO.: .* not a finite number",
    }.items():
        with pytest.raises(InputError, match=complaint) as caught:
            PhaseTable.read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_table_comes_back_as_it_was(tmp_path: Path, phases: PhaseTable) -> None:
    pq.write_table(phases.table, tmp_path / "kept.parquet")
    again = PhaseTable.from_table("kept", pq.read_table(tmp_path / "kept.parquet"))
    assert again.checksum == phases.checksum
    for ours, theirs in zip(again.index, phases.index, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="not a table of phases"):
        PhaseTable.from_table("other", pa.table({"formula": ["FeO"]}))


def test_amounts_are_not_rounded_to_text(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "formula,formation_energy_ev_atom\nFe1000000O,-0.1\nLa0.333333333Sr0.666666667O,-1\n"
    )
    phases = PhaseTable.read(tmp_path / "p.csv")
    assert phases.system("Fe-O-La-Sr")["hull_distance_ev_atom"].to_pylist() == pytest.approx([0, 0], abs=1e-12)


def test_more_elements_than_a_hull_takes(phases: PhaseTable) -> None:
    with pytest.raises(InputError, match="more than 16 elements"):
        phases.hull_energy(["HLiBeBCNOFNaMgAlSiPSClKCaSc"])


@pytest.mark.parametrize("name", ["nowhere.csv", "oqmd"])
def test_missing_sources(name: str) -> None:
    with pytest.raises(InputError, match="no such file|no reference"):
        PhaseTable.read(name) if "." in name else PhaseTable.load(name)


def test_garbage_files(tmp_path: Path) -> None:
    for name in ("p.parquet", "p.csv"):
        (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(1000))
        with pytest.raises(InputError):
            PhaseTable.read(tmp_path / name)


def test_pymatgen_entries() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    energies = {"Li2": -3.8, "Li": -1.7, "O2": -9.8, "Fe": -8.3, "Li2O": -14.3, "Fe2O3": -33.0, "LiFeO2": -26.0}
    entries = [PDEntry(Composition(f), e) for f, e in energies.items()]
    phases = PhaseTable.from_entries([ComputedEntry(e.composition, e.energy) for e in entries])
    diagram = PhaseDiagram(entries)
    for entry in entries:
        formula = entry.composition.reduced_formula
        expected = diagram.get_form_energy_per_atom(entry) - diagram.get_e_above_hull(entry)
        assert phases.hull_energy([formula])[0] == pytest.approx(expected, abs=1e-9)
    with pytest.raises(InputError, match="no entry for the element O"):
        PhaseTable.from_entries(entries[:1] + entries[4:])
