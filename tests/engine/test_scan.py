"""Scans that are killed, starved, tampered with or spread over workers end with the same bytes."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dask
import numpy as np
import pyarrow.parquet as pq
import pytest
from distributed import Client, Future
from distributed.comm.core import CommClosedError

from matscreen.engine import CompositionSpace, PhaseTable, resume, rundir, scan, schema, screen
from matscreen.engine.journal import events
from matscreen.engine.scan import Progress, Run
from matscreen.engine.verify import verify
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError

ELEMENTS = "Li-Mg-Al-Ti-Fe-Ni-O-S"
CHUNK = 500


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable) -> Path:
    """An uninterrupted run, by one worker, in one chunk."""
    path = tmp_path_factory.mktemp("scan") / "whole"
    scan(CompositionSpace(ELEMENTS), model, phases, path, threshold=0.05, chunk_size=CHUNK, workers=1)
    return path


def candidates_of(path: Path) -> bytes:
    return (path / "candidates.parquet").read_bytes()


def test_candidates_are_those_that_a_plain_loop_finds(whole: Path, model: Model, phases: PhaseTable) -> None:
    space = CompositionSpace(ELEMENTS)
    formulas = [space[i] for i in range(len(space))]
    distance = model.predict(formulas).astype(np.float64) - phases.hull_energy(formulas)
    kept = np.flatnonzero(distance < -0.05)
    table = rundir.read_candidates(whole)
    assert 0 < len(kept) < len(space)
    assert sorted(table["id"].to_pylist()) == kept.tolist()
    order = np.lexsort((kept, distance[kept]))
    np.testing.assert_allclose(table["hull_distance_ev_atom"].to_numpy(), distance[kept][order], atol=1e-9)
    assert table.schema.equals(schema.CANDIDATES)
    for row in table.slice(0, 50).to_pylist():
        assert row["formula"] == formulas[row["id"]]
        assert row["chemical_system"] == "-".join(sorted(row["elements"]))
        assert row["n_elements"] == len(row["elements"]) == len(row["amounts"])
        assert sum(part["fraction"] for part in row["decomposition"]) == pytest.approx(1)
        assert {p["formula"]: p["fraction"] for p in row["decomposition"]} == phases.decomposition(row["formula"])
    distances = table["hull_distance_ev_atom"].to_numpy()
    assert (np.diff(distances) >= 0).all()
    summary = rundir.read_summary(whole)
    assert summary["candidates"] == len(table)
    assert summary["by_arity"]["3"]["compositions"] == 56 * 109
    systems = set(table.filter(pq.filters_to_expression([("n_elements", "==", 3)]))["chemical_system"].to_pylist())
    assert summary["by_arity"]["3"]["systems_with_candidate"] == len(systems)


def test_screen_is_what_scan_does(whole: Path, model: Model, phases: PhaseTable) -> None:
    space = CompositionSpace(ELEMENTS)
    found = screen(space.chunk(0, len(space)), model, phases, threshold=0.05)
    table = rundir.read_candidates(whole).sort_by("id")
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.parametrize("workers", [2, 5])
def test_bytes_do_not_depend_on_the_number_of_workers(
    whole: Path, tmp_path: Path, model: Model, phases: PhaseTable, workers: int
) -> None:
    states: list[Progress] = []
    scan(CompositionSpace(ELEMENTS), model, phases, tmp_path / "run", 0.05, False, CHUNK, workers, None, states.append)
    assert candidates_of(tmp_path / "run") == candidates_of(whole)
    assert [s.done for s in states] == sorted(s.done for s in states)
    assert states[-1].done == states[-1].total == len(CompositionSpace(ELEMENTS))


WAITING = """
import time
from matscreen.engine.cli import main, run_bar
def wait(_, done, *__):
    while done:
        time.sleep(0.01)  # one long sleep can miss a signal that comes just before it
run_bar.RunBar.update = wait
main()
"""
"""A command line that stays at the first chunk it tells of: an interrupt cannot come after the last one."""


def start_scan(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WAITING, "scan", ELEMENTS, "--threshold", "0.05", "--out", str(path)]

    def hear_interrupts() -> None:  # even where the test itself was started in the background, deaf to them
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [*command, "--chunk-size", str(CHUNK), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=hear_interrupts,
    )


def wait_for_a_chunk(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not list(path.glob("chunks/*.parquet")):
        assert time.monotonic() < deadline, "no chunk came"
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.002)


def test_interrupted_from_the_keyboard(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = start_scan(path)
    try:
        wait_for_a_chunk(path, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"interrupted" in stderr
    assert b"Traceback" not in stderr
    assert not (path / "candidates.parquet").exists()
    resume(path)
    assert candidates_of(path) == candidates_of(whole)


def test_no_scheduler(tmp_path: Path, model: Model, phases: PhaseTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matscreen.engine.cluster.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        scan(CompositionSpace("Li-O"), model, phases, tmp_path / "run", scheduler="tcp://127.0.0.1:9")


def test_no_room_to_work_in(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask keeps a folder among temporary files."""
    (tmp_path / "file").touch()
    path = Path(shutil.copytree(whole, tmp_path / "run"))
    next((path / "chunks").iterdir()).unlink()
    with (
        dask.config.set({"temporary-directory": str(tmp_path / "file")}),
        pytest.raises(JobError, match="is there room"),
    ):
        resume(path)
    resume(path)
    assert candidates_of(path) == candidates_of(whole)


def test_a_scheduler_that_is_gone_before_the_first_chunk(
    tmp_path: Path, model: Model, phases: PhaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answered when it was asked for workers; the run is there by then, and can be resumed."""
    monkeypatch.setattr("matscreen.engine.cluster.CONNECT_SECONDS", 1)
    monkeypatch.setattr(sys.modules[Run.__module__], "need_workers", lambda _: None)
    with pytest.raises(JobError, match="the Dask scheduler is gone"):
        scan(CompositionSpace("Li-O"), model, phases, tmp_path / "run", scheduler="tcp://127.0.0.1:9")
    assert resume(tmp_path / "run").summary["compositions"] == 31


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def test_a_chunk_of_another_run_is_not_taken(whole: Path, tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    other, path = tmp_path / "other", tmp_path / "run"
    scan(CompositionSpace(ELEMENTS), model, phases, other, threshold=0.3, chunk_size=CHUNK)
    shutil.copytree(whole, path)
    shutil.rmtree(path / "chunks")
    shutil.copytree(other / "chunks", path / "chunks")
    notices: list[str] = []
    resume(path, notice=notices.append)
    assert candidates_of(path) == candidates_of(whole)
    assert "of another run" in notices[0]


def test_damaged_candidates_are_said_and_made_again(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    truncate(path / "candidates.parquet")
    with pytest.raises(JobError, match="is damaged"):
        rundir.read_candidates(path)
    resume(path)
    assert candidates_of(path) == candidates_of(whole)


def test_a_single_bit_of_damage_is_never_shown(whole: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    content = candidates_of(path)
    for at in rng.integers(0, len(content), 40).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        (path / "candidates.parquet").write_bytes(damaged)
        with pytest.raises(JobError, match="not what the run wrote"):
            rundir.read_candidates(path)
    for nonsense in ("{}", "[]", "null", '{"by_arity": 3}', "\xff"):
        (path / "summary.json").write_text(nonsense, "latin-1")
        with pytest.raises(JobError, match="summary.json is damaged"):
            rundir.read_candidates(path)


def test_a_run_keeps_its_own_reference(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    file = tmp_path / "mine.parquet"
    pq.write_table(phases.table.select(["formula", "formation_energy_ev_atom"]), file)
    space = CompositionSpace("Li-Fe-O")
    scan(space, model, PhaseTable.read(file), tmp_path / "run", threshold=0.05)
    found = candidates_of(tmp_path / "run")
    moved = file.rename(tmp_path / "moved.parquet")
    (tmp_path / "run" / "candidates.parquet").unlink()
    resume(tmp_path / "run")
    assert candidates_of(tmp_path / "run") == found
    verify(tmp_path / "run", sample=5)
    pq.write_table(pq.read_table(moved).slice(1), file)
    with pytest.raises(InputError, match="has changed since"):
        resume(tmp_path / "run")
    file.unlink()
    (tmp_path / "run" / "phases.parquet").write_bytes(b"nothing")
    with pytest.raises(JobError, match=r"phases.parquet cannot be read"):
        verify(tmp_path / "run")
    in_memory = PhaseTable.from_table("mine", phases.table)
    scan(space, model, in_memory, tmp_path / "other", threshold=0.05)
    shutil.rmtree(tmp_path / "other" / "chunks")
    assert resume(tmp_path / "other").candidates.equals(rundir.read_candidates(tmp_path / "run"))


def test_a_run_that_was_not_born_is_begun_again(whole: Path, tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    path = tmp_path / "run"
    (path / "chunks").mkdir(parents=True)
    (path / "phases.parquet").write_bytes(b"half")
    (path / ".run.json.x.tmp").write_bytes(b"")
    scan(CompositionSpace(ELEMENTS), model, phases, path, threshold=0.05, chunk_size=CHUNK)
    assert candidates_of(path) == candidates_of(whole)


def test_verify_sees_rows_that_were_changed(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    config = rundir.read_config(path)
    table = rundir.read_candidates(path)
    checksum = rundir.write_candidates(path, config.fingerprint, [table.slice(1)])
    summary = rundir.read_summary(path)
    with pytest.raises(JobError, match="not what the run wrote"):
        verify(path)
    (path / "summary.json").write_text(json.dumps(summary | {"candidates_sha256": checksum}))
    with pytest.raises(JobError, match="does not hold the candidates"):
        verify(path)
    report = verify(whole, sample=20)
    assert report.sampled > 30
    assert report.energy_error < 1e-5
    assert report.hull_error < 1e-10


def test_resume_refuses_what_has_changed(tmp_path: Path, model: Model) -> None:
    reference = tmp_path / "phases.csv"
    reference.write_text("formula,formation_energy_ev_atom\nLi2O,-2\n")
    path = tmp_path / "run"
    scan(CompositionSpace("Li-O"), model, PhaseTable.read(reference), path)
    resume(path)
    reference.write_text("formula,formation_energy_ev_atom\nLi2O,-2.1\n")
    with pytest.raises(InputError, match="has changed since the run was started"):
        resume(path)
    document = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(document | {"threshold": 0.1}))
    with pytest.raises(InputError, match="was altered"):
        resume(path)
    with pytest.raises(InputError, match="is no run directory"):
        resume(tmp_path)


def test_bad_requests_write_nothing(tmp_path: Path, model: Model, phases: PhaseTable) -> None:
    space = CompositionSpace("Li-O")
    for arguments, complaint in (
        ({"threshold": float("nan")}, "finite"),
        ({"chunk_size": 0}, "chunk size"),
        ({"workers": 0}, "workers"),
    ):
        with pytest.raises(InputError, match=complaint):
            scan(space, model, phases, tmp_path / "run", **arguments)  # type: ignore[arg-type]
        assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="does not know He"):
        scan(CompositionSpace("He-O"), model, phases, tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="already there|cannot make"):
        scan(space, model, phases, tmp_path / "file")
    with pytest.raises(InputError, match="cannot make the run directory"):
        scan(space, model, phases, tmp_path / "file" / "run")
    scan(space, model, phases, tmp_path / "run")
    with pytest.raises(InputError, match="matscreen resume"):
        scan(space, model, phases, tmp_path / "run")


def test_charge_neutral(model: Model, phases: PhaseTable, tmp_path: Path) -> None:
    from matscreen.engine.chemistry import is_charge_neutral

    space = CompositionSpace("Li-Fe-Ni-O")
    every = screen(space[:], model, phases, threshold=-1.0)
    neutral = screen(space[:], model, phases, threshold=-1.0, charge_neutral=True)
    ids, elements, amounts = schema.composition_arrays(space[:])
    allowed = set(ids[is_charge_neutral(elements, amounts)].tolist())
    assert [r for r in every.to_pylist() if r["id"] in allowed] == neutral.to_pylist()
    assert 0 < len(neutral) < len(every)
    run = scan(space, model, phases, tmp_path / "run", threshold=-1.0, charge_neutral=True)
    assert run.summary["screened"] == len(allowed)
    assert verify(tmp_path / "run", sample=20).sampled


def test_a_chunk_must_be_one(model: Model, phases: PhaseTable) -> None:
    found = screen(CompositionSpace("Li-O")[:], model, phases, threshold=-5)
    with pytest.raises(InputError, match="not a chunk of compositions"):
        screen(found, model, phases)
    with pytest.raises(InputError, match="threshold"):
        screen(CompositionSpace("Li-O")[:], model, phases, threshold=float("inf"))


def test_what_is_lost_on_the_way_is_asked_for_again(
    whole: Path, tmp_path: Path, model: Model, phases: PhaseTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not answer while the job is told, and one whose chunk does not arrive."""
    calls: dict[str, int] = {}

    def once_lost(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def called(*arguments: object, **options: object) -> object:
            calls[name] = calls.get(name, 0) + 1
            if calls[name] == 1:
                raise CommClosedError("in <TCP (closed)>: Stream is closed")
            return real(*arguments, **options)

        return called

    monkeypatch.setattr(Future, "result", once_lost("result", Future.result))
    monkeypatch.setattr(Client, "register_plugin", once_lost("register", Client.register_plugin))
    scan(CompositionSpace(ELEMENTS), model, phases, tmp_path / "run", 0.05, False, CHUNK)
    assert candidates_of(tmp_path / "run") == candidates_of(whole)
    assert calls["register"] >= 2
    assert [event["event"] for event in events(tmp_path / "run")].count("retried") == 1

    def dead(*_: object) -> None:
        raise CommClosedError("in <TCP (closed)>: Stream is closed")

    monkeypatch.setattr(Future, "result", dead)
    with pytest.raises(JobError, match="the Dask scheduler is gone"):
        scan(CompositionSpace(ELEMENTS), model, phases, tmp_path / "other", 0.05, False, CHUNK)
