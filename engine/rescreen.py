"""A run's list again, against a hull that knows what was calculated since: the loop from screen to DFT is closed.

More phases only lower the hull, so that nothing new can come up: each candidate's distance is measured again, and those
that were calculated themselves, or are no longer beyond the threshold, leave the list.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import rundir, schema
from matscreen.engine.chemistry import chemistry
from matscreen.engine.computed import read_computed
from matscreen.engine.lock import locked
from matscreen.engine.merge import KEY
from matscreen.engine.pieces import CANDIDATES, RESCREENED
from matscreen.engine.reference import PhaseTable
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import write_atomically


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

    InputError if nothing was calculated yet; errors of `rundir.open_candidates`.
    """
    config = rundir.read_config(run)
    computed = read_computed(run)
    if computed is None:
        raise InputError(f"nothing was calculated for {run} yet: `matscreen queue ingest` brings results in")
    phases = with_computed(rundir.read_phases(run, config), computed)
    candidates = rundir.read_candidates(run)
    elements, amounts = schema.candidate_arrays(candidates)
    hull_energy, decompositions = phases.decompositions(elements, amounts)
    distance = candidates["formation_energy_ev_atom"].to_numpy().astype(np.float64) - hull_energy
    calculated = np.isin(candidates["formula"].to_numpy(zero_copy_only=False), computed.table["formula"].to_pylist())
    above = ~calculated & (distance >= -config.threshold)
    fresh = {"hull_energy_ev_atom": pa.array(hull_energy), KEY: pa.array(distance), "decomposition": decompositions}
    names = [field.name for field in schema.CHEMISTRY]
    fresh |= dict(zip(names, chemistry(elements, amounts, phases), strict=True))
    columns = [fresh.get(name, candidates[name]) for name in candidates.column_names]
    keep = np.flatnonzero(~calculated & ~above)
    by_distance = np.lexsort((candidates["id"].to_numpy()[keep], distance[keep]))
    order = keep if config.search else keep[by_distance]  # what a search found stays in its order
    table = pa.table(columns, schema=candidates.schema).take(pa.array(order))
    told = {"fingerprint": config.fingerprint, "computed": computed.checksum}
    table = table.replace_schema_metadata({"matscreen": json.dumps(told)})
    with locked(run):
        write_atomically(run / RESCREENED, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
    formulas = computed.table["formula"].to_pylist()
    over = computed.table["formation_energy_ev_atom"].to_numpy() - phases.hull_energy(formulas)
    found: dict[str, float] = {}
    for formula, distance_above in zip(formulas, over.tolist(), strict=True):
        found[formula] = min(found.get(formula, np.inf), max(distance_above, 0.0))
    return Rescreened(len(candidates), len(table), int(calculated.sum()), int(above.sum()), found)


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
