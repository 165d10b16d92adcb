"""A dictionary: simulated patterns of a grid of orientations, in chunks that are either whole or not there.

dictionary.json      phase, geometry, grid; never changes
chunks/N-D.arrow     orientations and patterns of chunk N, to be mapped into memory; D begins the SHA-256 of its bytes
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import torch

from matscreen.engine import schema
from matscreen.engine.cluster import connect
from matscreen.engine.ebsd.crystals import checksum
from matscreen.engine.ebsd.grid import orientation_grid
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.simulation import Crystal, simulated
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically

CHUNK = 4096
"""Patterns of a chunk: 29 MB of 60 × 60 pixels."""


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
        """Orientations (M, 4) float64 and patterns (M, rows, columns) float16 of one chunk after another."""
        for file in self.files:
            yield read_chunk(file, self.geometry.shape)


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
    config = {
        "phase": {"name": crystal.name, "symmetry": crystal.symmetry, "master_sha256": checksum(crystal)},
        "geometry": asdict(geometry) | {"shape": list(geometry.shape), "centre": list(geometry.centre)},
        "grid_steps": steps,
        "patterns": len(grid),
        "chunk": CHUNK,
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
    there = {int(file.name.split("-")[0]) for file in _whole(path)}
    numbers = [n for n in range(-(-len(grid) // CHUNK)) if n not in there]
    done = sum(len(grid[n * CHUNK : (n + 1) * CHUNK]) for n in there)
    report(done, len(grid))
    with connect(scheduler, workers) as (client, threads):
        job = client.scatter((crystal, geometry), broadcast=True)
        waiting, running = iter(numbers), {}
        for number in waiting:
            running[client.submit(_chunk_bytes, job, grid[number * CHUNK : (number + 1) * CHUNK])] = number
            if len(running) < 2 * threads:
                continue
            done += _store_one(path, running, grid)
            report(done, len(grid))
        while running:
            done += _store_one(path, running, grid)
            report(done, len(grid))
    return open_dictionary(path)


def open_dictionary(path: Path) -> Dictionary:
    """The dictionary in the folder `path`. InputError if there is none, or it is not whole."""
    config = _read_config(path)
    files = _whole(path)
    try:
        told = config["geometry"]
        geometry = Geometry(**{**told, "shape": tuple(told["shape"]), "centre": tuple(told["centre"])})
        count, chunk = int(config["patterns"]), int(config["chunk"])
        found = Dictionary(
            path, geometry, config["phase"]["symmetry"], config["phase"]["master_sha256"], tuple(files), count
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path / 'dictionary.json'} cannot be used: {error}") from None
    if len(files) != -(-count // chunk):
        raise InputError(
            f"{path} has {len(files)} of its {-(-count // chunk)} chunks: give the `matscreen ebsd simulate` that "
            "made it again, and it goes on"
        )
    return found


def read_chunk(file: Path, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Orientations and patterns of a chunk, mapped into memory."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        orientations = np.stack([table[name].to_numpy() for name in ("w", "x", "y", "z")], axis=1)
        patterns = table["pattern"].combine_chunks().flatten().to_numpy(zero_copy_only=True)
        return orientations, patterns.reshape(len(orientations), *shape)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise JobError(f"{file} cannot be read: {str(error).splitlines()[0]}; remove it and simulate again") from None


def _chunk_bytes(job: tuple[Crystal, Geometry], orientations: np.ndarray) -> bytes:
    """The task: a chunk as the bytes of its file."""
    crystal, geometry = job
    patterns = simulated(crystal, geometry, torch.from_numpy(orientations)).numpy().astype(np.float16)
    pixels = schema.dictionary_chunk(patterns[0].size)
    columns = [
        *(pa.array(column) for column in orientations.T),
        schema.fixed_lists(patterns.reshape(len(patterns), -1)),
    ]
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, pixels) as writer:
        writer.write_batch(pa.record_batch(columns, schema=pixels))
    return sink.getvalue()


def _store_one(path: Path, running: dict[Any, int], grid: np.ndarray) -> int:
    """Wait for one chunk, write it; how many patterns it holds."""
    from distributed import wait

    future = next(iter(wait(list(running), return_when="FIRST_COMPLETED").done))
    number, content = running.pop(future), future.result()
    name = f"{number:05d}-{hashlib.sha256(content).hexdigest()[:16]}.arrow"
    try:
        write_atomically(path / "chunks" / name, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        raise JobError(f"cannot write to {path}: {error.strerror}; make room and give the command again") from None
    return len(grid[number * CHUNK : (number + 1) * CHUNK])


def _whole(path: Path) -> list[Path]:
    """Chunks whose bytes are what their names say, in order; others are removed."""
    kept: dict[str, Path] = {}
    for file in sorted((path / "chunks").glob("*.arrow")):
        number, _, digest = file.stem.partition("-")
        if number not in kept and hashlib.sha256(file.read_bytes()).hexdigest().startswith(digest) and digest:
            kept[number] = file
        else:
            file.unlink()
    return list(kept.values())


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
