"""Does refinement find better compositions than the grid, and as good ones as a finer grid that is looked at whole?

Random systems of four elements; the best 20 of the grid of 10 atoms are refined to at most 30, and all compositions of
at most 30 atoms are predicted, in the same run.

    python -m bench.refine [--systems N]         some five minutes
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.harness import publish
from matscreen.engine import CompositionSpace, PhaseTable, scan
from matscreen.engine.refine import refine
from matscreen.models import load

ELEMENTS = "Li Na K Mg Ca Sr Ba Al Si P S Ti V Cr Mn Fe Co Ni Cu Zn Zr Nb Mo Sn O F Cl N".split()
GRID, FINE, TOP = 10, 30, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", type=int, default=12)
    count = parser.parse_args().systems
    rng = np.random.default_rng(0)
    model, phases = load(), PhaseTable.load()
    rows = []
    for number in range(count):
        system = "-".join(sorted(rng.choice(ELEMENTS, 4, replace=False).tolist()))
        with tempfile.TemporaryDirectory() as name:
            coarse = CompositionSpace(system, max_atoms=GRID)
            run = scan(coarse, model=model, phases=phases, out=Path(name) / "coarse", threshold=-0.5)
            started = time.perf_counter()
            found = refine(run.path, TOP, FINE)
            seconds = time.perf_counter() - started
            whole = CompositionSpace(system, max_atoms=FINE)
            started = time.perf_counter()
            fine = scan(whole, model=model, phases=phases, out=Path(name) / "fine", threshold=-0.5)
            whole_seconds = time.perf_counter() - started
            best = [run.candidates, found.table, fine.candidates]
            least = [table["hull_distance_ev_atom"][0].as_py() if len(table) else np.nan for table in best]
        rows.append([*least, found.table["change_ev_atom"].to_numpy().mean() if len(found.table) else 0.0])
        rows[-1] += [float(len(found.table)), float(found.beyond or 0), seconds, whole_seconds, float(len(whole))]
        print(number, system, *(f"{x:.3f}" for x in rows[-1]), flush=True)
    table = np.array(rows)
    coarse_best, refined_best, fine_best = np.where(np.isnan(table[:, :3]), table[:, :1], table[:, :3]).T
    refined_best = np.minimum(refined_best, coarse_best)
    gain, possible = coarse_best - refined_best, coarse_best - fine_best
    to_find = possible > 1e-6
    publish(
        "refine",
        {
            "systems": count,
            "atoms": [GRID, FINE],
            "best of the grid, median eV/atom": float(np.median(coarse_best)),
            "gain by refinement, median eV/atom": float(np.median(gain)),
            "gain by looking at all, median eV/atom": float(np.median(possible)),
            "systems where there is something to find": int(to_find.sum()),
            "of these, refinement finds the best": int((refined_best < fine_best + 1e-6)[to_find].sum()),
            "of these, share of the possible gain, mean": float((gain[to_find] / possible[to_find]).mean()),
            "formulas found, beyond the uncertainty": [int(table[:, 4].sum()), int(table[:, 5].sum())],
            "compositions of up to 30 atoms, median": float(np.median(table[:, 8])),
            "seconds, median: refinement, all of up to 30": [float(np.median(table[:, n])) for n in (6, 7)],
        },
    )


if __name__ == "__main__":
    main()
