"""Of the first candidates of `make scan`, by distance and by likelihood: which does the Materials Project know?

Its compounds were no part of the reference, nor of what the weights of `engine.likelihood` were measured on; some of
them the model has learnt from, as compounds of OQMD.

    python -m bench.elsewhere
"""

import tempfile
from pathlib import Path

from bench.harness import DATA, publish
from bench.scan import ELEMENTS
from matscreen.engine import CompositionSpace, PhaseTable, scan
from matscreen.engine.shortlist import Filters, shortlist
from matscreen.models import load

SOURCE = DATA / "mp_formation_energy.parquet"
FIRST = (20, 100, 500)
ORDERS = {
    "distance": Filters(),
    "distance, charges balance": Filters(charge_balanced=True),
    "likeliest first": Filters(likely_first=True),
}


def main() -> None:
    if not SOURCE.is_file():
        print(f"elsewhere: not measured, {SOURCE} is not there")
        return
    elsewhere = PhaseTable.read(SOURCE)
    formulas = elsewhere.table["formula"].to_pylist()  # written as candidates are
    known, stable = set(formulas), {formulas[row] for row in elsewhere.on_own_hull.tolist()}
    with tempfile.TemporaryDirectory() as folder:
        run = scan(CompositionSpace(ELEMENTS), model=load(), phases=PhaseTable.load(), out=Path(folder) / "run")
        candidates = run.candidates
    figures = {}
    for name, filters in ORDERS.items():
        listed = shortlist(candidates, filters)[0]["formula"].to_pylist()
        figures[name] = {
            str(n): {
                "known": sum(f in known for f in listed[:n]),
                "on the hull there": sum(f in stable for f in listed[:n]),
            }
            for n in (*FIRST, len(listed))
        }
    publish(
        "elsewhere", {"elements": ELEMENTS, "compounds": len(known), "stable": len(stable), "of the first": figures}
    )


if __name__ == "__main__":
    main()
