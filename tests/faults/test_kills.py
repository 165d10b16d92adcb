"""A scan that is killed at any instant goes on, and ends with the same bytes."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from faults.children import Children, Death
from faults.conftest import ELEMENTS, candidates_of, scan_of, trials
from faults.record import Record

STEPS = 75
"""Of making, writing, flushing and renaming files in an uninterrupted run; the candidates' own among the last."""


def survive(children: Children, whole: Path, path: Path) -> None:
    """Resume the run at `path` in a process of its own: no error, the same bytes, nothing left over."""
    said = path.with_name("said")
    if (path / "run.json").is_file():
        assert children.run("resume", str(path), "--top", "0", said=said) == 0, said.read_text()
        assert candidates_of(path) == candidates_of(whole)
        assert not list(path.rglob("*.tmp"))
        assert "Traceback" not in said.read_text()


def test_killed_between_write_flush_and_rename(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the scan kills itself before, within or after making, writing, flushing or renaming a file"
    for trial in record.trials(fault, trials(2, 60)):
        path = tmp_path / f"{trial}"
        death = Death(int(chance.integers(1, STEPS)), float(chance.choice([0.0, 0.3, 0.99, 1.0])))
        code = children.run(*scan_of(reference, path), said=tmp_path / "said", death=death)
        assert code == -signal.SIGKILL
        while not (path / "run.json").is_file():  # it died before it was a run: the same command begins it anew
            death = Death(int(chance.integers(1, STEPS)), float(chance.random()))
            assert children.run(*scan_of(reference, path), said=tmp_path / "said", death=death) == -signal.SIGKILL
        if chance.random() < 0.5:  # killed again on its second way
            death = Death(int(chance.integers(1, STEPS)), float(chance.random()))
            children.run("resume", str(path), said=tmp_path / "said", death=death)
        survive(children, whole, path)


def test_killed_at_any_time(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the scan is killed (SIGKILL) at a random time"
    started = time.monotonic()
    assert children.run(*scan_of(reference, tmp_path / "timed"), said=tmp_path / "said") == 0
    usual = time.monotonic() - started
    for trial in record.trials(fault, trials(1, 40)):
        path = tmp_path / f"{trial}"
        delay, code = float(chance.uniform(0.2, 1.0)) * usual, 0
        while code == 0:  # it had ended before
            shutil.rmtree(path, ignore_errors=True)
            pid = children.start(*scan_of(reference, path), said=tmp_path / "said")
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)  # a zombie too has a number until it is waited for
            code, delay = children.wait(pid), 0.8 * delay
        assert code == -signal.SIGKILL
        if not (path / "run.json").is_file():
            assert children.run(*scan_of(reference, path), said=tmp_path / "said") == 0
        survive(children, whole, path)


def test_two_at_once_and_a_dead_one_holds_nothing(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "a second process on the run at work, which is then killed"
    for trial in record.trials(fault, trials(1, 20)):
        path, said = tmp_path / f"{trial}", tmp_path / "said"
        first = children.start(*scan_of(reference, path), said=tmp_path / "first")
        while not (path / "log.jsonl").is_file():
            time.sleep(0.01)
        os.kill(first, signal.SIGSTOP)  # or it might end before the second has come as far as the lock
        said.write_text("")
        assert children.run("resume", str(path), said=said) == 2
        assert f"being worked on by another process ({first} on" in said.read_text()
        os.kill(first, signal.SIGKILL)
        children.wait(first)
        survive(children, whole, path)


def test_a_clock_that_jumps(
    children: Children, reference: Path, whole: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the clock leaps by years, backwards and forwards, and files are of any date"
    for trial in record.trials(fault, trials(1, 20)):
        path = tmp_path / f"{trial}"
        seed, death = int(chance.integers(2**31)), Death(int(chance.integers(15, STEPS)), 1.0)
        children.run(*scan_of(reference, path), said=tmp_path / "said", clock=seed, death=death)
        for file in path.rglob("*"):
            os.utime(file, (when := float(chance.uniform(0, 4e9)), when))
        assert children.run("status", str(path), said=tmp_path / "said", clock=seed) == 0
        assert children.run("resume", str(path), said=tmp_path / "said", clock=seed) == 0
        survive(children, whole, path)


def test_a_search_is_killed_between_write_flush_and_rename(
    children: Children, reference: Path, tmp_path: Path, chance: np.random.Generator, record: Record
) -> None:
    fault = "the search kills itself before, within or after making, writing, flushing or renaming a file"

    def search_of(path: Path) -> tuple[str, ...]:
        wanted = ("--maximize", "bulk_modulus", "--require-stable")
        effort = ("--evaluations", "120", "--batch", "15", "--top", "0")
        return ("search", ELEMENTS, *wanted, *effort, "--reference", str(reference), "--out", str(path))

    said, whole, steps = tmp_path / "said", tmp_path / "whole", 45
    beyond = Death(steps, 1.0)
    assert children.run(*search_of(whole), said=said) == 0, said.read_text()
    assert children.run(*search_of(tmp_path / "x"), said=said, death=beyond) == -signal.SIGKILL
    for trial in record.trials(fault, trials(2, 60)):
        path = tmp_path / f"{trial}"
        while not (path / "run.json").is_file():  # it died before it was a search: the same command begins it anew
            death = Death(int(chance.integers(1, steps)), float(chance.choice([0.0, 0.3, 0.99, 1.0])))
            assert children.run(*search_of(path), said=said, death=death) == -signal.SIGKILL
        if chance.random() < 0.5:  # killed again on its second way
            children.run("resume", str(path), said=said, death=Death(int(chance.integers(1, steps)), chance.random()))
        survive(children, whole, path)


def test_nothing_happens(whole: Path, tmp_path: Path, children: Children, reference: Path) -> None:
    """The harness itself: a child that is not killed ends well, and does the steps that are counted on."""
    path = tmp_path / "run"
    last = Death(STEPS - 1, 1.0)
    assert children.run(*scan_of(reference, path), said=tmp_path / "said", death=last) == -signal.SIGKILL
    beyond = Death(10 * STEPS, 1.0)
    assert children.run(*scan_of(reference, tmp_path / "x"), said=tmp_path / "said", death=beyond) == 0
    assert candidates_of(tmp_path / "x") == candidates_of(whole)
