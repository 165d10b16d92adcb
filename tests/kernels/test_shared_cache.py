"""Processes that compile at the same time do not take each other's code."""

import multiprocessing
from pathlib import Path

from numba.core.caching import IndexDataCacheFile

import matscreen.kernels  # noqa: F401 (locks the cache)

PROCESSES, KEYS = 4, 40


def cache(folder: Path) -> IndexDataCacheFile:
    return IndexDataCacheFile(str(folder), "function-1.py311", "stamp")


def compile_all(folder: Path, process: int, ready: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    for key in range(KEYS):
        cache(folder).save((process, key), ("code of", process, key))


def test_everyone_keeps_what_is_his(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready = fork.Barrier(PROCESSES)
    workers = [fork.Process(target=compile_all, args=(tmp_path, process, ready)) for process in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    for process in range(PROCESSES):
        for key in range(KEYS):
            assert cache(tmp_path).load((process, key)) == ("code of", process, key)


def test_a_folder_that_cannot_be_written_to_is_read(tmp_path: Path) -> None:
    cache(tmp_path).save("key", "code")
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()  # cannot be opened
    assert cache(tmp_path).load("key") == "code"
