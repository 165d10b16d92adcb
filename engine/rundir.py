"""The run directory: what a scan has done so far, in files that are either whole or not there.

run.json             what is scanned, with which model, reference and versions; never changes
phases.parquet       the reference phases, so that a run can be read without its sources
chunks/N-D.parquet   candidates of chunk N; D begins the SHA-256 of the file's bytes, so no damage goes unseen.
                     A search has trials/N-D.parquet instead: all that its batch N saw
candidates.parquet   all of them, sorted; summary.json: counts and rates. Written when every chunk is there
log.jsonl            what happened when (see `journal`)
lock                 held by the process at work (see `lock`)
"""

import hashlib
import io
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import schema
from matscreen.engine.digested import intact, write_digested
from matscreen.engine.lock import locked
from matscreen.engine.merge import KEY, merge
from matscreen.engine.pieces import CANDIDATES, pieces, rows_at, write_pieces
from matscreen.engine.reference import PhaseTable
from matscreen.engine.screen import Screened
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import checksum, write_atomically

NO_THRESHOLD = -1000.0
"""eV/atom; the threshold of a run that keeps what lies above the hull too, however far."""


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
    model : name, source (path), checksum, and those of its students; empty if the model predicts everything itself
    reference : name, origin (see `PhaseTable.reopen`) and checksum
    properties : `Property.spec` of each
    search : of a search its objectives, evaluations, seed and the checksum of its latent space; else empty. Its batches
        are its chunks
    """

    version: str
    space: dict[str, Any]
    threshold: float
    charge_neutral: bool
    chunk_size: int
    model: dict[str, str]
    reference: dict[str, Any]
    properties: tuple[dict[str, Any], ...] = ()
    search: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what decides the candidates (not of where files lie)."""
        models = [self.model["checksum"], self.model["student"]]
        deciding = asdict(self) | {"model": models, "reference": self.reference["checksum"]}
        wanted = [
            {key: one[key] for key in one if key not in ("model", "source")} for one in deciding.pop("properties")
        ]
        deciding |= {"properties": wanted} if wanted else {}
        if not self.search:
            del deciding["search"]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Chunk:
    """A finished chunk, in its file.

    Attributes
    ----------
    number : its place among the chunks of the run
    start, stop : ids of its compositions
    screened, refined, checked, outside, degenerate, …_seconds : as in `screen.Screened`
    finished_at : when, in seconds of Unix time
    candidates : how many it holds
    file : where they are, by rising hull distance
    """

    number: int
    start: int
    stop: int
    screened: int
    refined: int
    checked: int
    outside: int
    degenerate: int
    predict_seconds: float
    hull_seconds: float
    describe_seconds: float
    enumerate_seconds: float
    finished_at: float
    candidates: int
    file: Path


def create(path: Path, config: RunConfig, phases: pa.Table, versions: dict[str, str]) -> None:
    """Make a new run directory. InputError if `path` already holds something."""
    if path.exists() and (not path.is_dir() or not _unborn(path)):
        hint = f"continue it with `matscreen resume {path}` or give" if (path / "run.json").is_file() else "give"
        raise InputError(f"{path} is already there and not empty: {hint} another --out")
    try:
        (path / "chunks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the run directory {path}: {error.strerror}") from None
    content = io.BytesIO()
    pq.write_table(phases, content)
    document = {"fingerprint": config.fingerprint, **asdict(config), "versions": versions}
    text = json.dumps(document, indent=2) + "\n"
    try:
        with locked(path):  # two scans may have been told to make the same run
            if not _unborn(path):
                raise InputError(f"{path} was just made by another process: give another --out")
            write_atomically(path / "phases.parquet", lambda temporary: temporary.write_bytes(content.getvalue()))
            write_atomically(path / "run.json", lambda temporary: temporary.write_text(text))
    except OSError as error:
        raise JobError(f"cannot write to {path}: {error.strerror}; make room and give the same command again") from None


def _unborn(path: Path) -> bool:
    """Whether a directory is empty but for what `create` writes before run.json, which makes it a run."""
    names = {entry.name for entry in path.iterdir() if not _UNFINISHED.fullmatch(entry.name)}
    return names <= {"chunks", "phases.parquet", "lock"} and not any((path / "chunks").glob("*"))


_UNFINISHED = re.compile(r"\.(run\.json|phases\.parquet)\..*\.tmp")
"""What `create` leaves where it is killed."""


def read_phases(path: Path, config: RunConfig) -> PhaseTable:
    """The reference that the run was started with, as the run keeps it. JobError if that is damaged or gone."""
    file = path / "phases.parquet"
    try:
        phases = PhaseTable.from_table(config.reference["name"], pq.read_table(file, partitioning=None))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise JobError(f"{file} cannot be read: {(str(error) or type(error).__name__).splitlines()[0]}") from None
    if phases.checksum != config.reference["checksum"]:
        raise JobError(f"{file} is not the reference that the run was started with")
    return phases


def read_config(path: Path) -> RunConfig:
    """The configuration of the run at `path`. InputError if there is none, or it was altered."""
    try:
        document = json.loads((path / "run.json").read_text())
        if isinstance(document, dict) and isinstance(told := document.get("model"), dict) and "student" not in told:
            raise InputError(f"the run in {path} is of an older matscreen, which alone can read it")
        always = RunConfig.__dataclass_fields__.keys() - {"properties", "search"}
        config = RunConfig(
            **{key: document[key] for key in always},
            properties=tuple(document.get("properties", ())),
            search=dict(document.get("search", {})),
        )
        if not all(map(_is_property, config.properties)):
            raise ValueError("a property is not as a scan writes it")
        if config.search and not _is_search(config):
            raise ValueError("the search is not as a search writes it")
        intact = document["fingerprint"] == config.fingerprint
    except FileNotFoundError:
        raise InputError(f"{path} is no run directory: it has no run.json") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path / 'run.json'} cannot be read: {type(error).__name__}: {error}") from None
    if not intact:
        raise InputError(f"{path / 'run.json'} was altered: its fingerprint does not fit what it says")
    return config


def _is_property(told: dict[str, Any]) -> bool:
    words = {"column", "model", "source", "checksum"}
    return (
        set(told) == words | {"low", "high", "goal"}
        and all(isinstance(told[word], str) for word in words)
        and all(limit is None or isinstance(limit, int | float) for limit in (told["low"], told["high"]))
        and told["goal"] in (-1, 0, 1)
    )


def _is_search(config: RunConfig) -> bool:
    told = config.search
    return (
        set(told) == {"objectives", "evaluations", "seed", "latent"}
        and all(
            isinstance(n, int) and 0 < n < 2**32 for n in (told["evaluations"], told["seed"] + 1, config.chunk_size)
        )
        and bool(told["objectives"])
        and all(isinstance(name, str) and sign in (-1, 1) for name, sign in told["objectives"])
    )


def write_chunk(path: Path, fingerprint: str, number: int, ids: tuple[int, int], screened: Screened) -> Chunk:
    """Write chunk `number` of `ids` (start, stop), in a way that shows later whether it is whole and of this run."""
    figures: dict[str, Any] = {
        "number": number,
        "start": ids[0],
        "stop": ids[1],
        "screened": screened.screened,
        "refined": screened.refined,
        "checked": screened.checked,
        "outside": screened.outside,
        "degenerate": screened.degenerate,
        "predict_seconds": screened.predict_seconds,
        "hull_seconds": screened.hull_seconds,
        "describe_seconds": screened.describe_seconds,
        "enumerate_seconds": screened.enumerate_seconds,
        "finished_at": time.time(),
        "candidates": len(screened.candidates),
    }
    metadata = {"matscreen": json.dumps({"fingerprint": fingerprint, **figures})}
    table = pa.Table.from_batches([screened.candidates]).sort_by([(KEY, "ascending"), ("id", "ascending")])
    return Chunk(**figures, file=write_digested(path / "chunks", number, table.replace_schema_metadata(metadata)))


def read_chunk(file: Path, fingerprint: str) -> Chunk | None:
    """The chunk in `file`, or None if the file is damaged or of another run."""
    if not intact(file):
        return None
    try:
        found = pq.read_schema(file)
        figures = {"outside": 0, **json.loads(found.metadata[b"matscreen"])}  # once nobody could ask for a property
        schema.properties_of(found)
        of_run = figures.pop("fingerprint") == fingerprint
        named = file.stem.partition("-")[0] == f"{figures['number']:06d}"
        chunk = Chunk(**figures, file=file)
        return chunk if of_run and named and all(isinstance(x, int | float) for x in figures.values()) else None
    except (pa.ArrowException, OSError, AttributeError, KeyError, TypeError, ValueError):
        return None


def finished_chunks(path: Path, fingerprint: str, ranges: list[tuple[int, int]]) -> tuple[dict[int, Chunk], int]:
    """Chunks of the run that can be trusted, by number, and how many files could not (moved to `rejected/`)."""
    chunks: dict[int, Chunk] = {}
    rejected = 0
    for file in sorted((path / "chunks").glob("*.parquet")):
        chunk = read_chunk(file, fingerprint)
        if chunk and chunk.number < len(ranges) and ranges[chunk.number] == (chunk.start, chunk.stop):
            chunks[chunk.number] = chunk
        else:
            rejected += 1
            set_aside(path, file)
    return chunks, rejected


def set_aside(path: Path, file: Path) -> None:
    """Move a file of the run that cannot be trusted to `rejected/`."""
    (path / "rejected").mkdir(exist_ok=True)
    names = (file.name if again == 1 else f"{file.name}.{again}" for again in count(1))
    file.replace(next(there for name in names if not (there := path / "rejected" / name).exists()))


def write_candidates(path: Path, fingerprint: str, tables: Iterable[pa.Table]) -> str:
    """Write `candidates.parquet`, a row group a table, of which there is at least one; returns its SHA-256."""
    write_pieces(path / CANDIDATES, tables, {"fingerprint": fingerprint})
    return checksum(path / CANDIDATES)


def merged(path: Path, chunks: Iterable[Chunk]) -> Iterator[pa.Table]:
    """Candidates of all chunks in order; JobError, at the latest after the last, if a file is not what was written."""
    files = [chunk.file for chunk in chunks]
    again = f"`matscreen resume {path}`"
    try:
        yield from merge(files)
    except MemoryError:
        raise JobError(f"there is not enough memory to put the candidates in order; make room, then: {again}") from None
    except Exception:  # the reader raises whatever damaged bytes lead it to
        if all(map(intact, files)):
            raise
    for file in files:
        if not intact(file):
            raise JobError(f"{file} was damaged while the scan was at work; {again} does it again")


def open_candidates(path: Path) -> pq.ParquetFile:
    """`candidates.parquet` of a finished run, nothing read yet but its schema.

    Raises
    ------
    InputError
        No run there, or one that has not ended.
    JobError
        The file is damaged.
    """
    config = read_config(path)
    file = path / CANDIDATES
    if not file.is_file():
        raise InputError(f"the run in {path} has not ended; continue it with `matscreen resume {path}`")
    summary = read_summary(path)
    if checksum(file) != summary["candidates_sha256"]:
        raise JobError(f"{file} is damaged: not what the run wrote; `matscreen resume {path}` makes it anew")
    try:
        opened = pq.ParquetFile(file)
        fingerprint = json.loads(opened.schema_arrow.metadata[b"matscreen"])["fingerprint"]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise JobError(f"{file} is damaged ({said}); `matscreen resume {path}` makes it anew") from None
    if fingerprint != config.fingerprint:
        raise JobError(f"{file} belongs to another run; `matscreen resume {path}` makes it anew")
    return opened


def read_candidates(path: Path, top: int | None = None) -> pa.Table:
    """The run's candidates (`schema.candidates`), or its `top` best; errors as `open_candidates`."""
    with open_candidates(path) as opened:
        written = opened.metadata.num_rows
    file = path / CANDIDATES
    if top is None:
        return pa.concat_tables(pieces(file)).combine_chunks()
    return rows_at(file, np.arange(min(top, written)))


_COUNTED = {
    "by_arity": ("compositions", "systems", "candidates", "systems_with_candidate"),
    "throughput": ("last_session_compositions", "last_session_seconds"),
}
"""What a summary counts, of each number of elements and of its last session."""


def read_summary(path: Path) -> dict[str, Any]:
    """What `summary.json` says; InputError if the run has not ended."""
    try:
        summary: dict[str, Any] = json.loads((path / "summary.json").read_text())
        kinds = {"candidates": int, "by_arity": dict, "throughput": dict, "candidates_sha256": str}
        for key, kind in kinds.items():
            if not isinstance(summary, dict) or not isinstance(summary.get(key), kind):
                raise ValueError(f"{key} is missing or of the wrong kind")
        for key, wanted in _COUNTED.items():
            for counts in summary[key].values() if key == "by_arity" else [summary[key]]:
                if not isinstance(counts, dict) or not all(
                    isinstance(counts.get(name), int | float) for name in wanted
                ):
                    raise ValueError(f"{key} lacks {' or '.join(wanted)}")
    except FileNotFoundError:
        raise InputError(f"the run in {path} has not ended; continue it with `matscreen resume {path}`") from None
    except (ValueError, RecursionError) as error:
        raise JobError(
            f"{path / 'summary.json'} is damaged ({error}); `matscreen resume {path}` makes it anew"
        ) from None
    return summary
