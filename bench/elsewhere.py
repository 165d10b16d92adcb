"""Of the first candidates of `make scan`, by distance and by likelihood: which does the Materials Project know?

Its compounds were no part of the reference, nor of what the weights of `engine.likelihood` were measured on; some of
them the model has learnt from, as compounds of OQMD.

    python -m bench.elsewhere                  # scans what make scan does
    python -m bench.elsewhere --run runs/all   # of another run
"""

import argparse
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench.harness import DATA, publish
from bench.scan import ELEMENTS
from matscreen.engine import CompositionSpace, PhaseTable, scan
from matscreen.engine.pieces import pieces
from matscreen.engine.rescreen import current_list
from matscreen.engine.rundir import read_config
from matscreen.engine.shortlist import Filters, columns, places
from matscreen.models import load

SOURCE = DATA / "mp_formation_energy.parquet"
FIRST = (20, 100, 500)
ORDERS = {
    "distance": Filters(),
    "distance, charges balance": Filters(charge_balanced=True),
    "likeliest first": Filters(likely_first=True),
    "likeliest first, one of a system": Filters(likely_first=True, max_per_system=1),
}


def count(listed: pa.Array, among: pa.Array) -> int:
    return int(pc.sum(pc.is_in(listed, among)).as_py() or 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="a finished run; its name is that of the result")
    path = parser.parse_args().run
    if not SOURCE.is_file():
        print(f"elsewhere: not measured, {SOURCE} is not there")
        return
    elsewhere = PhaseTable.read(SOURCE)
    known = elsewhere.table["formula"].combine_chunks()  # written as candidates are
    stable = known.take(pa.array(elsewhere.on_own_hull))
    with tempfile.TemporaryDirectory() as folder:
        out = path or Path(folder) / "run"
        if not path:
            scan(CompositionSpace(ELEMENTS), model=load(), phases=PhaseTable.load(), out=out)
        (file, _), settings = current_list(out), read_config(out)
        formulas = pa.concat_tables(pieces(file, ["formula"]))["formula"].combine_chunks()
        lists = {name: places(pieces(file, columns(filters)), filters)[0] for name, filters in ORDERS.items()}
    figures = {}
    for name, chosen in lists.items():
        listed = formulas.take(pa.array(chosen))
        figures[name] = {
            str(n): {"known": count(listed[:n], known), "on the hull there": count(listed[:n], stable)}
            for n in (*FIRST, len(listed))
        }
    publish(
        f"elsewhere-{path.name}" if path else "elsewhere",
        {
            "elements": ",".join(settings.space["elements"]),
            "threshold, eV/atom": settings.threshold,
            "compounds": len(known),
            "stable": len(stable),
            "of the first": figures,
        },
    )


if __name__ == "__main__":
    main()
