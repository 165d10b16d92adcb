"""A map of patterns to orientations, block by block; what is finished is on disk."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from matscreen.engine import schema
from matscreen.engine.ebsd.crystals import checksum
from matscreen.engine.ebsd.dictionary import Dictionary
from matscreen.engine.ebsd.map import GOOD, UNLIKE, PatternMap
from matscreen.kernels.pattern_matching import best_matches, nothing_yet, unit_patterns
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.model import OrientationModel
from matscreen.models.ebsd.patterns import prepared
from matscreen.models.ebsd.refinement import refined
from matscreen.models.ebsd.simulation import Crystal, simulated
from matscreen.models.ebsd.training import random_orientations
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically

BLOCK, BLOCK_BYTES = 4096, 2**26
"""Patterns that are read, indexed and stored at a time: so many, fewer of more than 60 × 60 pixels in 32 bits."""
SLICE = 1024
"""Matches that are compared again at a time."""
NULL, LIKE = 256, 7.0
"""A pattern is unlike any simulated one if its score lies fewer than so many standard deviations above those with so
many patterns that have nothing to do with it. The best of a whole dictionary for pure noise lies at 4 to 5, and some
more after refinement; the real nickel patterns lie at 15 to 20."""
ALGORITHM = 2
"""To be raised with every change of what is found; unfinished blocks of another one do not count."""
REFINED = 512
"""Patterns that are refined at a time."""
COARSE = 30
"""Pixels of a side at which patterns are compared first: a quarter of the work of 60 × 60."""
KEPT = 16
"""Best matches there that are compared again, all pixels of them and in float64, so that ties do not depend on how a
product was cut up. Of 2,048 disturbed patterns the best of all was among them but for 3 (`bench.ebsd`)."""
FAR = 0.02
"""Pattern centres may differ so much from those of a dictionary or model, in heights of the detector: about 2° of its
view, which refinement makes good."""


class Method(Protocol):
    """What finds an orientation for each pattern."""

    @property
    def geometry(self) -> Geometry:
        """That it knows."""

    @property
    def symmetry(self) -> str:
        """Of its phase."""

    def fingerprint(self) -> str:
        """Of all that decides what it finds."""

    def find(self, patterns: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Orientations (N, 4) and scores (N,) of prepared patterns; scores may be NaN."""

    def strangers(self, refine: bool) -> torch.Tensor | None:
        """Prepared patterns of some orientations, to tell a score from chance; None where scores do not tell that."""


@dataclass(frozen=True)
class ByDictionary:
    """The most alike of a dictionary (Jha 2020, eq. 6.2), looked for among its patterns with fewer pixels."""

    dictionary: Dictionary

    @cached_property
    def coarse(self) -> tuple[np.ndarray, list[torch.Tensor]]:
        """All orientations, and the patterns with fewer pixels, in half precision: kept in memory, 1.8 kB each."""
        turns, kept = [], []
        for orientations, images in self.dictionary.chunks():
            turns.append(orientations)
            kept.append(coarse(_whole(images), self.geometry.shape).half())
        return np.concatenate(turns), kept

    @property
    def geometry(self) -> Geometry:
        return self.dictionary.geometry

    @property
    def symmetry(self) -> str:
        return self.dictionary.symmetry

    def fingerprint(self) -> str:
        return "dictionary " + " ".join(file.name for file in self.dictionary.files)

    def strangers(self, refine: bool) -> torch.Tensor:
        """Spread over the first chunk."""
        _, images = next(self.dictionary.chunks())
        return _whole(images[:: max(1, len(images) // NULL)][:NULL])

    def find(self, patterns: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The scores are those of the dictionary's patterns."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        given, count = coarse(patterns, self.geometry.shape).to(device), min(KEPT, len(self.dictionary))
        best: Any = tuple(torch.from_numpy(a).to(device) for a in nothing_yet(len(patterns), count))
        turns, parts = self.coarse
        first = 0
        for part in parts:
            best = best_matches(given, part.to(device).float(), count, best, first)  # type: ignore[arg-type]
            first += len(part)
        return self._compared_again(patterns, turns, best[1].cpu().numpy())

    def _compared_again(
        self, patterns: torch.Tensor, turns: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best of the few rows (N, K) of each pattern by products in float64; the earliest where equal."""
        scores = np.full(rows.shape, -np.inf)
        first = 0
        for orientations, images in self.dictionary.chunks():
            own = np.argwhere((rows >= first) & (rows < first + len(orientations)))
            own = own[np.argsort(rows[own[:, 0], own[:, 1]], kind="stable")]
            for part in np.array_split(own, max(1, len(own) // SLICE)):
                n, k = part.T
                entries, which = np.unique(rows[n, k] - first, return_inverse=True)
                made = _whole(images[entries]).double()
                scores[n, k] = torch.einsum("np,np->n", patterns[n].double(), made[which]).numpy()
            first += len(orientations)
        order = np.lexsort((rows, -scores), axis=1)[:, 0]
        each = np.arange(len(rows))
        return turns[rows[each, order]], scores[each, order].astype(np.float32)


def coarse(patterns: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Prepared patterns (N, P) of this shape with about `COARSE` pixels along the shorter side, of length 1."""
    images = patterns.view(-1, 1, *shape)
    smaller = torch.nn.functional.avg_pool2d(images, max(1, min(shape) // COARSE))
    return unit_patterns(smaller.flatten(1))  # type: ignore[arg-type, return-value]


def _whole(patterns: np.ndarray) -> torch.Tensor:
    """Patterns of a chunk (M, P) in 32 bits, of length 1 again."""
    return unit_patterns(torch.from_numpy(patterns.astype(np.float32)))  # type: ignore[arg-type, return-value]


@dataclass(frozen=True)
class ByNetwork:
    """What a trained network says; scores only if the phase's master pattern is at hand."""

    model: OrientationModel
    crystal: Crystal | None

    @property
    def geometry(self) -> Geometry:
        return self.model.geometry

    @property
    def symmetry(self) -> str:
        return self.model.symmetry

    def fingerprint(self) -> str:
        return f"network {self.model.card['weights_sha256']} {self.crystal and checksum(self.crystal)}"

    def strangers(self, refine: bool) -> torch.Tensor | None:
        """Random ones; but an orientation two degrees off, as a network's may be, scores little above chance."""
        if self.crystal is None or not refine:
            return None
        return prepared(simulated(self.crystal, self.geometry, random_orientations(NULL, self.symmetry, 0)))

    def find(self, patterns: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        orientations = self.model.orientations(patterns)
        if self.crystal is None:
            return orientations, np.full(len(orientations), np.nan, np.float32)
        made = prepared(simulated(self.crystal, self.geometry, torch.from_numpy(orientations)))
        return orientations, (made * patterns).sum(dim=1).numpy()


def index(
    given: PatternMap,
    method: Method,
    crystal: Crystal | None,
    work: Path,
    refine: bool,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> pa.Table:
    """Orientations of all patterns of a map, as `schema.ORIENTATIONS`, in the map's order.

    Finished blocks lie in the folder `work` until the caller removes it: interrupted, it goes on. With `refine` each
    orientation is then improved on the pattern itself, with its own pattern centre if the file tells it.

    InputError where geometry, phase or sizes do not fit together.
    """
    _check(given, method, crystal, refine)
    fingerprint = _fingerprint(given, method, crystal if refine else None)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(f"cannot make the folder {work}: {error.strerror}") from None
    tables = []
    strangers = method.strangers(refine)
    block = max(1, min(BLOCK, BLOCK_BYTES // (4 * given.pattern_shape[0] * given.pattern_shape[1])))
    for start in range(0, len(given), block):
        stop = min(start + block, len(given))
        file = work / f"{start:010d}.parquet"
        table = _finished(file, fingerprint, stop - start)
        if table is None:
            table = _index_block(given, start, stop, method, crystal if refine else None, strangers)
            kept = table.replace_schema_metadata({"fingerprint": fingerprint})
            write_atomically(file, lambda temporary, kept=kept: pq.write_table(kept, temporary))  # type: ignore[misc]
        tables.append(table.replace_schema_metadata(None))
        report(stop, len(given))
    return pa.concat_tables(tables)


def clear(work: Path) -> None:
    """Remove what `index` left in its folder, and the folder if nothing else is in it."""
    for file in work.glob("*.parquet"):
        if file.stem.isdecimal() and len(file.stem) == 10:
            file.unlink()
    if not any(work.iterdir()):
        work.rmdir()


def _index_block(
    given: PatternMap,
    start: int,
    stop: int,
    method: Method,
    crystal: Crystal | None,
    strangers: torch.Tensor | None,
) -> pa.Table:
    images, flags = given.block(start, stop)
    static = None if given.static is None else torch.from_numpy(given.static)
    good = np.flatnonzero(flags == GOOD)
    orientations = np.zeros((stop - start, 4))
    orientations[:, 0] = 1
    scores = np.full(stop - start, np.nan, np.float32)
    if len(good):
        patterns = prepared(torch.from_numpy(images[good]), static)
        orientations[good], scores[good] = method.find(patterns)
        if crystal is not None:
            centres = np.broadcast_to(given.centres, (len(given), 3))[start:stop][good]
            for part in np.array_split(np.arange(len(good)), -(-len(good) // REFINED)):
                rows = good[part]
                orientations[rows], scores[rows] = refined(
                    patterns[part], orientations[rows], centres[part], crystal, given.geometry
                )
        if strangers is not None:
            by_chance = patterns @ strangers.T
            unlike = scores[good] < (by_chance.mean(dim=1) + LIKE * by_chance.std(dim=1)).numpy()
            flags[good[unlike]] = UNLIKE
    return pa.table([*orientations.T, scores, flags], schema=schema.ORIENTATIONS)


def _check(given: PatternMap, method: Method, crystal: Crystal | None, refine: bool) -> None:
    known, here = method.geometry, given.geometry
    if known.shape != here.shape:
        raise InputError(
            f"{given.path} holds patterns of {here.shape[0]} × {here.shape[1]} pixels, the dictionary or model knows "
            f"{known.shape[0]} × {known.shape[1]}"
        )
    off = max(abs(a - b) for a, b in zip(known.centre, here.centre, strict=True))
    if off > FAR:
        raise InputError(
            f"{given.path} was measured with the pattern centre {_told(here.centre)}, the dictionary or model is for "
            f"{_told(known.centre)}; make one for this geometry, or give the right --centre"
        )
    tilts = ("sample_tilt", "tilt", "azimuthal", "twist")
    if any(abs(getattr(known, name) - getattr(here, name)) > 1 for name in tilts):
        raise InputError(f"{given.path} was measured with other tilts than the dictionary or model is for")
    if crystal is not None and crystal.symmetry != method.symmetry:
        raise InputError(
            f"{crystal.name} has the symmetry {crystal.symmetry}, the dictionary or model {method.symmetry}"
        )
    if refine and crystal is None:
        raise InputError("refining needs the master pattern: give --phase")


def _told(centre: tuple[float, ...]) -> str:
    return ",".join(f"{v:.3f}" for v in centre)


def _fingerprint(given: PatternMap, method: Method, crystal: Crystal | None) -> str:
    state = given.path.stat()
    deciding = [str(given.path.resolve()), state.st_size, state.st_mtime_ns, given.binning, BLOCK, ALGORITHM]
    deciding.append(checksum(crystal) if crystal else "not refined")
    told = [*deciding, repr(given.geometry), hashlib.sha256(given.centres.tobytes()).hexdigest(), method.fingerprint()]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _finished(file: Path, fingerprint: str, count: int) -> pa.Table | None:
    """What a block gave, if it is there, whole, and of this job."""
    try:
        table = pq.read_table(file, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    same = (table.schema.metadata or {}).get(b"fingerprint") == fingerprint.encode()
    return table if same and len(table) == count and table.column_names == schema.ORIENTATIONS.names else None
