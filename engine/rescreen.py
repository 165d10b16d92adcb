"""A run's list again, against a hull that knows what was calculated since: the loop from screen to DFT is closed.

More phases only lower the hull, so that nothing new can come up: each candidate's distance is measured again, and those
that were calculated themselves, or are no longer beyond the threshold, leave the list.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from matscreen.engine import rundir, schema
from matscreen.engine.chemistry import chemistry
from matscreen.engine.computed import read_computed
from matscreen.engine.lock import locked
from matscreen.engine.merge import KEY, merge, read_part
from matscreen.engine.pieces import CANDIDATES, RESCREENED, pieces, write_pieces
from matscreen.engine.reference import PhaseTable
from matscreen.models.errors import InputError, JobError

AT_ONCE = 2**17
"""Candidates measured at a time, which bounds the memory that it takes."""


@dataclass(frozen=True)
class Rescreened:
    """What changed: candidates before and now, of them calculated, and no longer beyond the threshold.

    `found` has the least energy of each calculated compound above the hull, in eV/atom; 0 on it.
    """

    before: int
    now: int
    calculated: int
    above: int
    found: dict[str, float]


def rescreen(run: Path) -> Rescreened:
    """Write `rescreened.parquet` (`schema.candidates`) into the run; `current_list` is that from then on.

    InputError if nothing was calculated yet or another process works on the run, JobError if disk or memory are full;
    errors of `rundir.open_candidates`. The list that was there before is then as it was.
    """
    config = rundir.read_config(run)
    with locked(run):
        computed = read_computed(run)
        if computed is None:
            raise InputError(f"nothing was calculated for {run} yet: `matscreen queue ingest` brings results in")
        phases = with_computed(rundir.read_phases(run, config), computed)
        rundir.open_candidates(run).close()
        parts: list[Path] = []
        counts = Counter({"before": 0, "now": 0, "calculated": 0, "above": 0})
        try:
            for table in pieces(run / CANDIDATES):
                for start in range(0, max(len(table), 1), AT_ONCE):
                    left, counted = _measured(table.slice(start, AT_ONCE), phases, computed, config.threshold)
                    counts.update(counted)
                    parts.append(run / f".{RESCREENED}.{len(parts)}.tmp")  # of a killed process the lock removes it
                    pq.write_table(left, parts[-1], compression="zstd", write_page_checksum=True)
            told = {"fingerprint": config.fingerprint, "computed": computed.checksum}
            # What a search found stays in its order.
            write_pieces(run / RESCREENED, map(read_part, parts) if config.search else merge(parts), told)
        except MemoryError:
            raise JobError(f"there is not enough memory to measure the candidates of {run} again") from None
        except (pa.ArrowException, OSError) as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise JobError(f"cannot measure the candidates of {run} again: {said}") from None
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
    return Rescreened(**counts, found=_found(computed, phases))


def _measured(
    candidates: pa.Table, phases: PhaseTable, computed: PhaseTable, threshold: float
) -> tuple[pa.Table, dict[str, int]]:
    """Those that stay, in their order, with what `phases` say of them, and how many do not."""
    elements, amounts = schema.candidate_arrays(candidates)
    hull_energy, decompositions = phases.decompositions(elements, amounts)
    distance = candidates["formation_energy_ev_atom"].to_numpy().astype(np.float64) - hull_energy
    calculated = pc.is_in(candidates["formula"], computed.table["formula"].combine_chunks()).to_numpy()
    above = ~calculated & (distance >= -threshold)
    fresh = {"hull_energy_ev_atom": pa.array(hull_energy), KEY: pa.array(distance), "decomposition": decompositions}
    names = [field.name for field in schema.CHEMISTRY]
    fresh |= dict(zip(names, chemistry(elements, amounts, phases), strict=True))
    columns = [fresh.get(name, candidates[name]) for name in candidates.column_names]
    left = pa.table(columns, schema=candidates.schema).filter(pa.array(~calculated & ~above))
    counted = {"before": len(candidates), "now": len(left), "calculated": int(calculated.sum())}
    return left, counted | {"above": int(above.sum())}


def _found(computed: PhaseTable, phases: PhaseTable) -> dict[str, float]:
    """The least energy above the hull, eV/atom, of each calculated compound."""
    formulas = computed.table["formula"].to_pylist()
    over = computed.table["formation_energy_ev_atom"].to_numpy() - phases.hull_energy(formulas)
    found: dict[str, float] = {}
    for formula, distance_above in zip(formulas, over.tolist(), strict=True):
        found[formula] = min(found.get(formula, np.inf), max(distance_above, 0.0))
    return found


def with_computed(phases: PhaseTable, computed: PhaseTable) -> PhaseTable:
    """Both, as one table of phases."""
    return PhaseTable.from_table(f"{phases.name} and computed", pa.concat_tables([phases.table, computed.table]))


def current_list(run: Path) -> tuple[Path, int | None]:
    """The file with the run's list as it stands, and how many compounds were calculated since; None if none were.

    JobError if the rescreened list is no such file or older than what was calculated (damage within is told by whoever
    reads it); errors of `rundir.open_candidates`.
    """
    file = run / RESCREENED
    if not file.is_file():
        rundir.open_candidates(run).close()
        return run / CANDIDATES, None
    computed, config = read_computed(run), rundir.read_config(run)
    try:
        told = json.loads((pq.read_schema(file).metadata or {})[b"matscreen"])
    except (pa.ArrowException, OSError, KeyError, ValueError):
        raise JobError(f"{file} is damaged; `matscreen rescreen {run}` makes it anew") from None
    if computed is None or told != {"fingerprint": config.fingerprint, "computed": computed.checksum}:
        raise JobError(f"{file} is older than what was calculated; `matscreen rescreen {run}` makes it anew")
    return file, len(computed)
