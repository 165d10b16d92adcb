"""What was calculated for a run: `computed.parquet` in its directory, phases beside those of the reference."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.engine import schema
from matscreen.engine.reference import PhaseTable
from matscreen.models.errors import JobError
from matscreen.models.files import write_atomically

COMPUTED = "computed.parquet"


def add_computed(run: Path, found: dict[str, tuple[str, float]]) -> None:
    """Add {source id: (formula, formation energy in eV/atom)}; what has the same source id is replaced."""
    before = read_computed(run)
    rows = [] if before is None else [r for r in before.table.to_pylist() if r["source_id"] not in found]
    listed = {r["source_id"]: (r["formula"], r["formation_energy_ev_atom"]) for r in rows} | found
    energies = np.array([energy for _, energy in listed.values()])
    table = PhaseTable("computed", [formula for formula, _ in listed.values()], energies, list(listed), {}).table
    write_atomically(run / COMPUTED, lambda temporary: pq.write_table(table, temporary))


def computed_ids(run: Path) -> set[str]:
    """Source ids of what was calculated; of a damaged file, which is `computed.parquet.damaged` from now on, none."""
    try:
        before = read_computed(run)
    except JobError:
        (run / COMPUTED).replace(run / f"{COMPUTED}.damaged")
        return set()
    return set() if before is None else set(before.table["source_id"].to_pylist())


def read_computed(run: Path) -> PhaseTable | None:
    """The phases calculated for the run so far; None before there are any. JobError if the file is damaged."""
    file = run / COMPUTED
    if not file.is_file():
        return None
    try:
        return PhaseTable.from_table("computed", pq.read_table(file, partitioning=None).cast(schema.PHASES))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise JobError(f"{file} is damaged ({' '.join(str(error).split())[:120]}); ingest the queue again") from None
