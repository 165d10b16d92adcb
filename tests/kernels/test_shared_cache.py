"""Processes that compile at the same time do not take each other's code."""

import fcntl
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import IndexDataCacheFile

from matscreen.kernels import shared_cache

PROCESSES, KEYS = 4, 40


def cache(folder: Path) -> IndexDataCacheFile:
    return IndexDataCacheFile(str(folder), "function-1.py311", "stamp")


def compile_all(folder: Path, process: int, ready: Any) -> None:
    ready.wait(60)
    for key in range(KEYS):
        cache(folder).save((process, key), ("code of", process, key))


def test_everyone_keeps_what_is_his(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready = fork.Barrier(PROCESSES)
    workers = [
        fork.Process(target=compile_all, args=(tmp_path, process, ready), daemon=True) for process in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
        assert worker.exitcode == 0
    for process in range(PROCESSES):
        for key in range(KEYS):
            assert cache(tmp_path).load((process, key)) == ("code of", process, key)


def test_a_folder_without_a_lock_is_read(tmp_path: Path) -> None:
    cache(tmp_path).save("key", "code")
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()  # cannot be opened
    assert cache(tmp_path).load("key") == "code"


def test_nobody_waits_for_a_process_that_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache(tmp_path).save("key", "code")
    monkeypatch.setattr(shared_cache, "PATIENCE", 0.05)
    with (tmp_path / "lock").open("a") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        assert cache(tmp_path).load("key") is None  # it is compiled again
        cache(tmp_path).save("other", "code")
    assert cache(tmp_path).load("key") == "code"
    assert cache(tmp_path).load("other") is None


def test_a_forked_process_holds_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_cache, "PATIENCE", 0.05)
    fork = multiprocessing.get_context("fork")
    done = fork.Event()
    with shared_cache._lock(tmp_path, fcntl.LOCK_EX) as free:
        assert free
        child = fork.Process(target=done.wait, args=(60,), daemon=True)
        child.start()
    with shared_cache._lock(tmp_path, fcntl.LOCK_EX) as free:
        assert free
    done.set()
    child.join(60)
