"""The run directory: what a scan has done so far, in files that are either whole or not there.

run.json             what is scanned, with which model, reference and versions; never changes
phases.parquet       the reference phases, so that a run can be read without its sources
chunks/N-D.parquet   candidates of chunk N; D begins the SHA-256 of the file's bytes, so no damage goes unseen
candidates.parquet   all of them, sorted; summary.json: counts and rates. Written when every chunk is there
lock                 held (flock) by the process at work; a dead process holds nothing
"""

import fcntl
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import schema
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run's candidates are.

    Attributes
    ----------
    version : of matscreen
    space : `CompositionSpace.spec`
    threshold : eV/atom below the hull
    charge_neutral : whether only charge-neutral compositions are screened
    chunk_size : compositions a chunk, about
    model : name, source (path) and checksum
    reference : name, origin (see `PhaseTable.reopen`) and checksum
    """

    version: str
    space: dict[str, Any]
    threshold: float
    charge_neutral: bool
    chunk_size: int
    model: dict[str, str]
    reference: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the candidates (not of where files lie)."""
        deciding = asdict(self) | {"model": self.model["checksum"], "reference": self.reference["checksum"]}
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ChunkResult:
    """A finished chunk, as its file holds it (see `screen.Screened` for the figures)."""

    number: int
    start: int
    stop: int
    screened: int
    predict_seconds: float
    hull_seconds: float
    candidates: pa.RecordBatch | pa.Table


def create(path: Path, config: RunConfig, phases: pa.Table, versions: dict[str, str]) -> None:
    """Make a new run directory. InputError if `path` already holds something."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = f"continue it with `matscreen resume {path}` or give" if (path / "run.json").is_file() else "give"
        raise InputError(f"{path} is already there and not empty: {hint} another --out")
    try:
        (path / "chunks").mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot make the run directory {path}: {error.strerror}") from None
    write_atomically(path / "phases.parquet", lambda temporary: pq.write_table(phases, temporary))
    document = {"fingerprint": config.fingerprint, **asdict(config), "versions": versions}
    text = json.dumps(document, indent=2) + "\n"
    write_atomically(path / "run.json", lambda temporary: temporary.write_text(text))


def read_config(path: Path) -> RunConfig:
    """The configuration of the run at `path`. InputError if there is none, or it was altered."""
    try:
        document = json.loads((path / "run.json").read_text())
        config = RunConfig(**{key: document[key] for key in RunConfig.__dataclass_fields__})
        intact = document["fingerprint"] == config.fingerprint
    except FileNotFoundError:
        raise InputError(f"{path} is no run directory: it has no run.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path / 'run.json'} cannot be read: {type(error).__name__}: {error}") from None
    if not intact:
        raise InputError(f"{path / 'run.json'} was altered: its fingerprint does not fit what it says")
    return config


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the run for this process. InputError if another process holds it."""
    with (path / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{path} is being worked on by another process") from None
        for left_over in [*path.glob(".*.tmp"), *path.glob("chunks/.*.tmp")]:  # of a process that was killed
            left_over.unlink(missing_ok=True)
        yield


def write_chunk(path: Path, fingerprint: str, result: ChunkResult) -> None:
    """Write a finished chunk; whoever reads it later can tell that it is whole and belongs to this run."""
    figures = {key: value for key, value in vars(result).items() if key != "candidates"}
    metadata = {"matscreen": json.dumps({"fingerprint": fingerprint, **figures})}
    table = pa.Table.from_batches([result.candidates]).replace_schema_metadata(metadata)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue()
    name = f"{result.number:06d}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    write_atomically(path / "chunks" / name, lambda temporary: temporary.write_bytes(content))


def read_chunk(file: Path, fingerprint: str) -> ChunkResult | None:
    """The chunk in `file`, or None if the file is damaged or of another run."""
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest()[:16] != file.stem.rpartition("-")[2]:
        return None
    try:
        table = pq.read_table(io.BytesIO(content))
        figures = json.loads(table.schema.metadata[b"matscreen"])
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError):
        return None
    if figures.pop("fingerprint", None) != fingerprint or file.stem.partition("-")[0] != f"{figures['number']:06d}":
        return None
    if not table.schema.equals(schema.CANDIDATES):
        return None
    return ChunkResult(**figures, candidates=table)


def finished_chunks(path: Path, fingerprint: str, ranges: list[tuple[int, int]]) -> tuple[dict[int, ChunkResult], int]:
    """Chunks of the run that can be trusted, by number, and how many files could not (moved to `rejected/`)."""
    chunks: dict[int, ChunkResult] = {}
    rejected = 0
    for file in sorted((path / "chunks").glob("*.parquet")):
        chunk = read_chunk(file, fingerprint)
        if chunk and chunk.number < len(ranges) and ranges[chunk.number] == (chunk.start, chunk.stop):
            chunks[chunk.number] = chunk
        else:
            rejected += 1
            (path / "rejected").mkdir(exist_ok=True)
            file.replace(path / "rejected" / file.name)
    return chunks, rejected


def write_candidates(path: Path, fingerprint: str, candidates: pa.Table) -> str:
    """Write `candidates.parquet`; returns its SHA-256."""
    table = candidates.replace_schema_metadata({"matscreen": json.dumps({"fingerprint": fingerprint})})
    file = path / "candidates.parquet"
    write_atomically(file, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
    return file_checksum(file)


def file_checksum(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_candidates(path: Path) -> pa.Table:
    """The run's candidates, nearest to the top of the list first.

    Raises
    ------
    InputError
        No run there, or one that has not ended.
    JobError
        The file is damaged.
    """
    config = read_config(path)
    file = path / "candidates.parquet"
    if not file.is_file():
        raise InputError(f"the run in {path} has not ended; continue it with `matscreen resume {path}`")
    try:
        table = pq.read_table(file)
        figures = json.loads(table.schema.metadata[b"matscreen"])
    except (pa.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
        raise JobError(
            f"{file} is damaged ({str(error).splitlines()[0]}); `matscreen resume {path}` makes it anew"
        ) from None
    if figures["fingerprint"] != config.fingerprint:
        raise JobError(f"{file} belongs to another run; `matscreen resume {path}` makes it anew")
    return table.replace_schema_metadata(None)


def read_summary(path: Path) -> dict[str, Any]:
    """What `summary.json` says; InputError if the run has not ended."""
    try:
        summary: dict[str, Any] = json.loads((path / "summary.json").read_text())
    except FileNotFoundError:
        raise InputError(f"the run in {path} has not ended; continue it with `matscreen resume {path}`") from None
    except ValueError as error:
        raise JobError(
            f"{path / 'summary.json'} is damaged ({error}); `matscreen resume {path}` makes it anew"
        ) from None
    return summary
