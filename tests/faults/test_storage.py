"""A disk that is full, read-only or gone, and files that are not what was written."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from faults.children import Children
from faults.conftest import ELEMENTS, SCAN, Script, candidates_of, scan_of, trials
from faults.record import Record
from matscreen.engine import CompositionSpace, PhaseTable, resume, scan
from matscreen.engine.scan import Progress
from matscreen.engine.verify import verify
from matscreen.models import Model
from matscreen.models.errors import InputError, JobError
from matscreen.models.formula import parse_formula

Damage = Callable[[Path, np.random.Generator], object]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; only root can mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=False).returncode:
        pytest.skip("needs root, to mount a disk that can be filled")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


def test_a_full_disk(
    disk: Path,
    tmp_path: Path,
    children: Children,
    reference: Path,
    whole: Path,
    chance: np.random.Generator,
    record: Record,
) -> None:
    fault = "the disk is full, from the start or after a random number of bytes"
    needed = sum(file.stat().st_size for file in whole.rglob("*"))
    for trial in record.trials(fault, trials(2, 20)):
        remount(disk, "size=64m")
        path, said = disk / f"{trial}", tmp_path / f"said{trial}"
        (disk / "ballast").write_bytes(bytes(2**20))
        remount(disk, f"size={2**20 + int(chance.integers(0, needed)) // 4096 * 4096}")
        assert children.run(*scan_of(reference, path), said=said) == 1, said.read_text()
        told = said.read_text()
        assert "No space left on device" in told
        assert "Traceback" not in told
        assert not list(path.rglob("*.tmp"))
        remount(disk, "size=64m")
        again = ["resume", str(path), "--top", "0"] if (path / "run.json").is_file() else scan_of(reference, path)
        assert children.run(*again, said=said) == 0, said.read_text()
        assert candidates_of(path) == candidates_of(whole)
        shutil.rmtree(path)


def started(
    path: Path, model: Model, reference: Path, do: Callable[[], object], after: int
) -> pytest.ExceptionInfo[JobError]:
    """A scan to which something happens after so many chunks; the error that it ends with."""
    space, phases = CompositionSpace(ELEMENTS), PhaseTable.read(reference)
    threshold, chunk, workers = float(SCAN[1]), int(SCAN[3]), int(SCAN[5])
    with pytest.raises(JobError) as error:
        scan(space, model, phases, path, threshold, chunk_size=chunk, workers=workers, report=Script({after: do}))
    return error


def test_a_disk_that_becomes_read_only(
    disk: Path, model: Model, reference: Path, whole: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the disk becomes read-only"
    for trial in record.trials(fault, trials(1, 10)):
        remount(disk, "size=64m")
        path = disk / f"{trial}"
        chunks, before = path / "chunks", int(chance.integers(1, 12))

        def freeze(chunks: Path = chunks) -> None:  # not the whole disk: the log is open on it
            subprocess.run(["mount", "--bind", chunks, chunks], check=True)
            remount(chunks, "ro,bind")

        error = started(path, model, reference, freeze, before)
        assert "Read-only file system" in str(error.value)
        subprocess.run(["umount", chunks], check=True)
        resume(path)
        assert candidates_of(path) == candidates_of(whole)


def test_a_directory_that_vanishes(
    tmp_path: Path, model: Model, reference: Path, whole: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the run directory vanishes, and comes back"
    for trial in record.trials(fault, trials(1, 20)):
        path, elsewhere = tmp_path / f"{trial}", tmp_path / f"{trial} elsewhere"
        error = started(path, model, reference, lambda a=path, b=elsewhere: a.rename(b), int(chance.integers(1, 12)))  # type: ignore[misc]
        assert "No such file or directory" in str(error.value)
        elsewhere.rename(path)
        resume(path)
        assert candidates_of(path) == candidates_of(whole)


def flip(file: Path, chance: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    content[int(chance.integers(len(content)))] ^= 1 << int(chance.integers(8))
    file.write_bytes(content)


def cut(file: Path, chance: np.random.Generator) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(chance.integers(len(content)))])


def blank(file: Path, chance: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    start = int(chance.integers(len(content)))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    file.write_bytes(bytes(content) if any(content) else b"")


def lengthen(file: Path, chance: np.random.Generator) -> None:
    file.write_bytes(file.read_bytes() + chance.bytes(int(chance.integers(1, 5000))))


def swap(file: Path, chance: np.random.Generator) -> None:
    others = [other for other in file.parent.iterdir() if other != file]
    other = others[int(chance.integers(len(others)))]
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def rename(file: Path, chance: np.random.Generator) -> None:
    file.rename(file.with_name(f"{int(chance.integers(10**6)):06d}-{file.name.partition('-')[2]}"))


def copy(file: Path, chance: np.random.Generator) -> None:
    shutil.copy(file, file.with_name(f"{int(chance.integers(20)):06d}-{chance.bytes(8).hex()}.parquet"))


def replace(file: Path, chance: np.random.Generator) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: dict[str, Damage] = {
    "a bit of a chunk file is flipped": flip,
    "a chunk file is cut": cut,
    "a sector of a chunk file is blank": blank,
    "a chunk file has a tail that is not its own": lengthen,
    "two chunk files are swapped": swap,
    "a chunk file has another's number": rename,
    "a chunk file is there twice": copy,
    "a chunk file is gone": lambda file, _: file.unlink(),
    "a chunk file is a directory": replace,
}


@pytest.mark.parametrize("fault", list(DAMAGES))
def test_damaged_chunks(fault: str, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record) -> None:
    for trial in record.trials(fault, trials(1, 12)):
        path = Path(shutil.copytree(whole, tmp_path / f"{trial}"))
        chunks = sorted((path / "chunks").iterdir())
        DAMAGES[fault](chunks[int(chance.integers(len(chunks)))], chance)
        with pytest.raises(JobError, match="damaged or missing"):
            verify(path, sample=0)
        (path / "candidates.parquet").unlink()
        notices: list[str] = []
        resume(path, notice=notices.append)
        assert bool(notices) == (fault != "a chunk file is gone")
        assert candidates_of(path) == candidates_of(whole)
        assert len(list((path / "chunks").iterdir())) == len(chunks)


@pytest.mark.parametrize("fault", [fault for fault in DAMAGES if fault != "a chunk file is there twice"])
def test_damage_after_chunks_were_checked(
    fault: str, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    """Before candidates are put in order: what is damaged never becomes theirs."""
    for trial in record.trials(f"{fault} while the scan is at work", trials(1, 12)):
        path = Path(shutil.copytree(whole, tmp_path / f"{trial}"))
        chunks = sorted((path / "chunks").iterdir())
        for name in ("candidates.parquet", "summary.json"):
            (path / name).unlink()

        def hurt(_: Progress, chunks: list[Path] = chunks) -> None:
            DAMAGES[fault](chunks[int(chance.integers(len(chunks)))], chance)

        with pytest.raises(JobError, match="was damaged while the scan was at work"):
            resume(path, report=hurt)
        assert not (path / "candidates.parquet").exists()
        resume(path)
        assert candidates_of(path) == candidates_of(whole)


def test_a_reference_that_changes(
    whole: Path, reference: Path, tmp_path: Path, children: Children, chance: np.random.Generator, record: Record
) -> None:
    fault = "the file of known phases changes between start and resume (refused)"
    text = reference.read_text()
    _, *lines = text.splitlines()
    for trial in record.trials(fault, trials(1, 12)):
        path, own = tmp_path / f"{trial}", tmp_path / "known.csv"
        own.write_text(text)
        assert children.run(*scan_of(own, path), said=tmp_path / "said") == 0
        compounds = [n for n, line in enumerate(lines) if len(parse_formula(line.split(",")[0].strip('"'))) > 1]
        at = int(chance.choice(compounds))
        formula, _ = lines[at].split(",")
        changed = [*lines[:at], f"{formula},{-chance.uniform(0.1, 1):.4f}", *lines[at + 1 :]]
        own.write_text("\n".join([text.splitlines()[0], *changed]) + "\n")
        with pytest.raises(InputError, match="has changed since the run was started"):
            resume(path)
        assert children.run("resume", str(path), said=tmp_path / "said") == 2
        own.write_text(text)
        resume(path)
        assert candidates_of(path) == candidates_of(whole)
