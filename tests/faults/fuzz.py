"""Throwing mutated bytes at a reader: `python tests/faults/fuzz.py NAME --cases 100000 --seed 1`, guided by coverage.

libFuzzer (through atheris) then also ends a reader that hangs or takes too much memory. The tests throw a few by
Hypothesis, which needs no such thing.
"""

import argparse
import contextlib
import gc
import importlib
import pkgutil
import random
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matscreen.kernels

if TYPE_CHECKING:
    from faults.targets import Target

TOKENS = [b"\0", b"nan", b"-1", b"1e999", b"../", b"/etc/passwd", b"\xff\xfe", b"[" * 500, b'"', b",", b"\n", b"9" * 40]
LONGEST = 2**16
"""Bytes of an input; larger seeds are changed in place."""


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds, changed in a few places, or mixed with another."""
    content = bytearray(chance.choice(seeds))
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(len(content) + 1)
        length = chance.choice([1, 2, 8, 100])
        match chance.randrange(6):
            case 0 if content:
                content[at % len(content)] ^= 1 << chance.randrange(8)
            case 1:
                del content[at : at + length]
            case 2 if len(content) < LONGEST:
                content[at:at] = content[at : at + length] * chance.choice([1, 3])
            case 3 if len(content) < LONGEST:
                content[at:at] = chance.choice(TOKENS)
            case 4:
                content[at : at + length] = chance.randbytes(min(length, len(content) - at))
            case 5:
                other = chance.choice(seeds)
                content[at:] = other[chance.randrange(len(other) + 1) :]
    return bytes(content)


def survives(target: "Target", content: bytes, folder: Path) -> None:
    """Let the reader have it; what it raises but a refusal goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(*target.refused):
            target.read(content, folder)


@contextlib.contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """TimeoutError after so long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Fuzz one reader; exit code 0 if it survives all."""
    import atheris

    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("name")
    given.add_argument("--cases", type=int, default=100_000)
    given.add_argument("--seed", type=int, default=1)
    asked = given.parse_args()
    for module in pkgutil.walk_packages(matscreen.kernels.__path__, "matscreen.kernels."):
        if not module.name.endswith(".gpu"):
            importlib.import_module(module.name)  # before: Numba compiles their bytecode, which must be their own
    with atheris.instrument_imports(include=["matscreen"], enable_loader_override=False):
        from faults.targets import targets
        from matscreen import models
    with tempfile.TemporaryDirectory() as name:
        folder, corpus, own = (Path(name) / part for part in ("made", "corpus", "own"))
        for path in (folder, corpus, own):
            path.mkdir()
        target = targets(folder, models.load())[asked.name]
        for number, seed in enumerate(target.seeds):
            (corpus / f"{number}").write_bytes(seed)

        def mutate(content: bytes, most: int, seed: int) -> bytes:
            return mutated(random.Random(seed), [content, *target.seeds])[:most]

        options = [
            f"-runs={asked.cases}",
            f"-seed={asked.seed}",
            "-timeout=20",
            "-rss_limit_mb=6000",
            "-max_len=400000",
        ]
        quiet = ["-print_final_stats=0", "-verbosity=0", f"-artifact_prefix={Path.cwd()}/"]
        for seed in target.seeds:
            survives(target, seed, own)  # libraries import half of themselves at first use, which is no hang
        gc.freeze()  # some readers collect garbage every time, and need not look at all that was imported
        atheris.Setup(
            [sys.argv[0], *options, *quiet, str(corpus)],
            lambda content: survives(target, content, own),
            custom_mutator=mutate,
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
