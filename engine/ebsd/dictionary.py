"""A dictionary: simulated patterns of a grid of orientations, in chunks that are either whole or not there.

dictionary.json      phase, geometry, grid; never changes
chunks/N-D.arrow     orientations and patterns of chunk N, to be mapped into memory; D begins the SHA-256 of its bytes
"""

import hashlib
import io
import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import torch

from matscreen.engine import schema
from matscreen.engine.cluster import LOST, connect, need_workers, threads_of
from matscreen.engine.ebsd.crystals import checksum
from matscreen.engine.ebsd.grid import orientation_grid
from matscreen.kernels.disorientation import SYMMETRY
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.patterns import BACKGROUND, CONTRAST, prepared
from matscreen.models.ebsd.simulation import Crystal, simulated
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically

CHUNK, CHUNK_BYTES = 4096, 2**25
"""Patterns of a chunk: so many, fewer of more than 60 × 60 pixels in 16 bits."""
NAME = re.compile(r"\d{5}-[0-9a-f]{16}")


@dataclass(frozen=True)
class Dictionary:
    """A dictionary on disk, whole.

    Attributes
    ----------
    path : its folder
    geometry : of the detector that its patterns are on
    symmetry : of its phase
    master_sha256 : of the master pattern that they came from
    files : its chunks
    count : of patterns
    """

    path: Path
    geometry: Geometry
    symmetry: str
    master_sha256: str
    files: tuple[Path, ...]
    count: int

    def __len__(self) -> int:
        return self.count

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Orientations (M, 4) float64 and prepared patterns (M, P) float16 of one chunk after another."""
        for file in self.files:
            yield read_chunk(file)


def simulate(
    crystal: Crystal,
    geometry: Geometry,
    steps: int,
    path: Path,
    workers: int,
    scheduler: str | None = None,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Dictionary:
    """Simulate the dictionary of a grid into the folder `path`, on threads here or on a Dask cluster.

    Chunks that are there already are kept: interrupted, it goes on. `report` is told how many patterns of how many are
    there. InputError if `path` holds anything else.
    """
    grid = orientation_grid(crystal.symmetry, steps)
    chunk = max(1, min(CHUNK, CHUNK_BYTES // (2 * geometry.shape[0] * geometry.shape[1])))
    config = {
        "phase": {"name": crystal.name, "symmetry": crystal.symmetry, "master_sha256": checksum(crystal)},
        "geometry": asdict(geometry) | {"shape": list(geometry.shape), "centre": list(geometry.centre)},
        "preparation": [BACKGROUND, CONTRAST],
        "grid_steps": steps,
        "patterns": len(grid),
        "chunk": chunk,
    }
    if (path / "dictionary.json").is_file():
        if _read_config(path) != config:
            raise InputError(f"{path} is the dictionary of something else; give another --out")
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is already there and no dictionary; give another --out")
    try:
        (path / "chunks").mkdir(parents=True, exist_ok=True)
        text = json.dumps(config, indent=2) + "\n"
        write_atomically(path / "dictionary.json", lambda temporary: temporary.write_text(text))
    except OSError as error:
        raise JobError(f"cannot write to {path}: {error.strerror}") from None
    parts = [grid[start : start + chunk] for start in range(0, len(grid), chunk)]
    there = _whole(path, len(parts))
    for file in set((path / "chunks").glob("*.arrow")) - set(there.values()):
        file.unlink()  # damaged, or none of its own
    done = sum(len(parts[n]) for n in there)
    report(done, len(grid))
    need_workers(scheduler)
    with connect(scheduler, workers) as client:
        threads = threads_of(client)
        job = client.scatter((crystal, geometry), broadcast=True)
        running: dict[Any, int] = {}
        waiting = [n for n in range(len(parts)) if n not in there]
        try:
            while waiting or running:
                while waiting and len(running) < 2 * threads:
                    number = waiting.pop(0)
                    running[client.submit(_chunk_bytes, job, parts[number])] = number
                done += len(parts[_store_one(path, running)])
                report(done, len(grid))
        except LOST:
            raise JobError("the Dask scheduler is gone; the same command goes on with what is missing") from None
    return open_dictionary(path)


def open_dictionary(path: Path) -> Dictionary:
    """The dictionary in the folder `path`. InputError if there is none, or it is not whole."""
    config = _read_config(path)
    try:
        told, phase = config["geometry"], config["phase"]
        shape = tuple(operator.index(side) for side in told["shape"])
        geometry = Geometry(**{**told, "shape": shape, "centre": tuple(told["centre"])})
        count, chunk = operator.index(config["patterns"]), operator.index(config["chunk"])
        if config["preparation"] != [BACKGROUND, CONTRAST]:
            raise ValueError("its patterns were prepared otherwise than measured ones are here; make it again")
        if count < 1 or chunk < 1 or phase["symmetry"] not in SYMMETRY:
            raise ValueError("it tells of no patterns")
        chunks = -(-count // chunk)
        files = _whole(path, chunks)
        found = Dictionary(
            path, geometry, phase["symmetry"], phase["master_sha256"], tuple(files[n] for n in sorted(files)), count
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path / 'dictionary.json'} cannot be used: {error}") from None
    if len(files) != chunks:
        raise InputError(
            f"{path} has {len(files)} of its {chunks} chunks: give the `matscreen ebsd simulate` that "
            "made it again, and it goes on"
        )
    return found


def read_chunk(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Orientations and patterns of a chunk, mapped into memory; see `Dictionary.chunks`."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        orientations = np.stack([table[name].to_numpy() for name in ("w", "x", "y", "z")], axis=1)
        patterns = table["pattern"].combine_chunks().flatten().to_numpy(zero_copy_only=True)
        return orientations, patterns.reshape(len(orientations), -1)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise JobError(f"{file} cannot be read: {str(error).splitlines()[0]}; remove it and simulate again") from None


def _chunk_bytes(job: tuple[Crystal, Geometry], orientations: np.ndarray) -> bytes:
    """The task: a chunk as the bytes of its file."""
    crystal, geometry = job
    patterns = prepared(simulated(crystal, geometry, torch.from_numpy(orientations))).half().numpy()
    pixels = schema.dictionary_chunk(patterns[0].size)
    columns = [
        *(pa.array(column) for column in orientations.T),
        schema.fixed_lists(patterns.reshape(len(patterns), -1)),
    ]
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, pixels) as writer:
        writer.write_batch(pa.record_batch(columns, schema=pixels))
    return sink.getvalue()


def _store_one(path: Path, running: dict[Any, int]) -> int:
    """Wait for one chunk, write it; its number."""
    from distributed import wait

    future = next(iter(wait(list(running), return_when="FIRST_COMPLETED").done))
    number, content = running.pop(future), future.result()
    name = f"{number:05d}-{hashlib.sha256(content).hexdigest()[:16]}.arrow"
    try:
        write_atomically(path / "chunks" / name, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise JobError(f"cannot write to {path}: {error.strerror or error}; make room, then again") from None
    return number


def _whole(path: Path, chunks: int) -> dict[int, Path]:
    """Chunks by number whose bytes are what their names say; others are left alone."""
    kept: dict[int, Path] = {}
    for file in sorted((path / "chunks").glob("*.arrow")):
        number, _, digest = file.stem.partition("-")
        if NAME.fullmatch(file.stem) and int(number) < chunks and int(number) not in kept:
            with file.open("rb") as content:
                if hashlib.file_digest(content, "sha256").hexdigest().startswith(digest):
                    kept[int(number)] = file
    return kept


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((path / "dictionary.json").read_text())
        if not isinstance(config, dict):
            raise ValueError("it holds no object")
    except FileNotFoundError:
        raise InputError(f"{path} is no dictionary: it has no dictionary.json") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path / 'dictionary.json'} cannot be read: {error}") from None
    return config
