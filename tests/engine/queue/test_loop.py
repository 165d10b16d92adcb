"""From a queue back to the list: results come in, what cannot be trusted stays queued, candidates are rescreened."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Composition

from matscreen.engine import PhaseTable, cli, rundir
from matscreen.engine.computed import read_computed
from matscreen.engine.merge import merge
from matscreen.engine.queue.ingest import ingest, read_elements
from matscreen.engine.queue.manifest import Manifest, read_manifest
from matscreen.engine.report.contents import contents
from matscreen.engine.rescreen import current_list, rescreen
from matscreen.engine.shortlist import Filters
from matscreen.models.errors import InputError, JobError


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


def test_the_loop_is_closed(elements: Path, queue: Path, tmp_path: Path) -> None:
    run, entries = tmp_path / "run", read_manifest(queue).entries
    references = read_elements(elements)
    first, other = entries[0], next(e for e in entries if e.formula != entries[0].formula)
    before = rundir.read_candidates(run)
    finish(queue, first, -5.0, references)
    found = ingest(queue, elements)
    assert [(formula, folder) for formula, folder, _ in found.done] == [(first.formula, first.folder)]
    assert found.done[0][2] == pytest.approx(-5.0)
    assert len(found.left) == len(entries) - 1
    assert read_manifest(queue).entries[0].status == "done"

    told = rescreen(run)
    file, computed = current_list(run)
    now = pq.read_table(file)
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
    assert len(ingest(queue, elements).done) == 1
    both = read_computed(run)
    assert both is not None
    assert len(both) == 2
    with pytest.raises(JobError, match="older than what was calculated"):
        current_list(run)
    told = rescreen(run)
    above = -0.1 - every.hull_energy([other.formula])[0]
    assert above > 0
    assert told.found == {first.formula: 0.0, other.formula: pytest.approx(above, abs=1e-9)}
    assert told.calculated == 2
    assert current_list(run)[1] == 2
    page, listed = contents(run, Filters()), pq.read_table(current_list(run)[0])
    assert page["candidates"]["formula"] == listed["formula"].to_pylist()
    assert page["computed"] == sorted({first.formula, other.formula})
    assert sum(part["candidates"] for part in page["summary"]["by_arity"].values()) == len(listed)
    assert first.formula in {phase[0] for phase in page["phases"]}

    whole = (run / "computed.parquet").read_bytes()
    (run / "computed.parquet").write_bytes(whole[:-9])
    with pytest.raises(JobError, match="ingest the queue again"):
        rescreen(run)
    few = elements.with_name("few.csv")
    few.write_text("element,energy_ev_atom\nLi,-1.9\n")
    with pytest.raises(InputError, match="have none for"):
        ingest(queue, few)  # an ingestion that fails on the way loses nothing
    assert len(ingest(queue, elements).done) == 2
    assert (run / "computed.parquet").read_bytes() == whole


def test_a_list_is_rescreened_in_parts(
    elements: Path, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, entry = tmp_path / "run", read_manifest(queue).entries[0]
    finish(queue, entry, -2.0, read_elements(elements))
    ingest(queue, elements)
    whole = rescreen(run)
    kept = (run / "rescreened.parquet").read_bytes()
    assert 0 < whole.now < whole.before
    (run / "rescreened.parquet").unlink()
    monkeypatch.setattr("matscreen.engine.rescreen.AT_ONCE", 7)
    assert rescreen(run) == whole
    assert (run / "rescreened.parquet").read_bytes() == kept

    def full(*_: object) -> None:
        raise MemoryError

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def damaging(parts: list[Path]) -> Iterator[pa.Table]:
        content = bytearray(parts[3].read_bytes())
        content[4:60] = bytes(56)
        parts[3].write_bytes(content)
        return merge(parts)

    for broken, said in (
        (full, "not enough memory to measure"),
        (no_room, "measure .* again: .*No space left"),
        (damaging, "cannot measure the candidates of .* again: "),
    ):
        monkeypatch.setattr("matscreen.engine.rescreen.merge", broken)
        with pytest.raises(JobError, match=said):
            rescreen(run)
        assert (run / "rescreened.parquet").read_bytes() == kept
        assert not list(run.glob(".*.tmp"))


def test_a_folder_that_is_no_run_stays_as_it_is(elements: Path, queue: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "sub").mkdir(parents=True)
    files = [tmp_path / "mine" / ".notes.tmp", tmp_path / "mine" / "sub" / ".draft.tmp"]
    for file in files:
        file.write_text("mine")
    with pytest.raises(InputError, match="no run directory"):
        ingest(queue, elements, tmp_path / "mine")
    assert sorted(path for path in (tmp_path / "mine").rglob("*") if path.is_file()) == sorted(files)


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
def test_what_cannot_be_trusted_stays_queued(
    elements: Path, queue: Path, tmp_path: Path, break_it: Any, said: str
) -> None:
    entry = read_manifest(queue).entries[0]
    finish(queue, entry, -2.0, read_elements(elements))
    break_it(queue / entry.folder)
    found = ingest(queue, elements)
    assert found.done == []
    assert said in next(reason for _, folder, reason in found.left if folder == entry.folder)
    after = read_manifest(queue).entries[0]
    assert after.status == "queued"
    assert said in after.reason
    assert read_computed(tmp_path / "run") is None


def test_the_commands(
    elements: Path, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    finish(queue, read_manifest(queue).entries[0], -3.0, read_elements(elements))
    code, out, _ = command("queue", "ingest", str(queue), "--elements", str(elements))
    assert (code, "1 done" in out) == (0, True)
    code, out, _ = command("queue", "status", str(queue))
    assert (code, "done" in out) == (0, True)
    code, out, _ = command("rescreen", run)
    assert (code, "1 were calculated" in out) == (0, True)
    code, _, err = command("show", run, "--top", "3")
    assert (code, "rescreened with 1 calculated" in err) == (0, True)
