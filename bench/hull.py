"""Hull distances a second on random quaternary systems, one core; peers: pymatgen, and Qhull with a NumPy maximum."""

import statistics
import time

import numpy as np
from scipy.spatial import ConvexHull

from bench.harness import DATA, copy_rate, median_seconds, publish
from matscreen.engine import PhaseTable
from matscreen.kernels.enumeration import ratio_table
from matscreen.kernels.hull import HullIndex, decomposition_energies, hull_energies
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import composition_arrays

SYSTEMS, PYMATGEN_SYSTEMS = 2000, 40


def phases_of(system: list[int], index: HullIndex, labels: list[frozenset[int]], own: np.ndarray) -> np.ndarray:
    """Rows of fractions and energy (n, 5) of the phases of a system, its elements first."""
    rows = [[*np.eye(4)[i], 0.0] for i in range(4)]
    for p in own:
        vector = np.zeros(5)
        vector[[system.index(z) for z in sorted(labels[p])]] = index.fractions[p, : len(labels[p])]
        vector[4] = index.energies[p]
        rows.append(vector)
    return np.array(rows)


def with_qhull(points: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Lower hull energy of all ratios: the facets of Qhull, then the largest of their planes."""
    hull = ConvexHull(points[:, [0, 1, 2, 4]])
    planes = hull.equations[hull.equations[:, 3] < -1e-12]
    energies: np.ndarray = (-(fractions[:, :3] @ planes[:, :3].T + planes[:, 4]) / planes[:, 3]).max(axis=1)
    return energies


def each_against_the_others(table: PhaseTable) -> dict[str, float]:
    """Every compound of a table against the hull of all others, and the same for some with pymatgen."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    elements, amounts = composition_arrays(table.table["formula"].to_pylist())
    energies = table.table["formation_energy_ev_atom"].to_numpy()
    seconds = median_seconds(lambda: decomposition_energies(elements, amounts, energies), 3)
    ours = decomposition_energies(elements, amounts, energies)
    entries = [
        PDEntry(Composition({SYMBOLS[z]: n for z, n in zip(own, atoms, strict=True) if z}), energy * atoms.sum())
        for own, atoms, energy in zip(elements.tolist(), amounts, energies.tolist(), strict=True)
    ]
    sets = [frozenset(z for z in own if z) for own in elements.tolist()]
    times, worst = [], 0.0
    for row in np.random.default_rng(1).choice(len(entries), PYMATGEN_SYSTEMS, replace=False).tolist():
        others = [
            entry for at, (entry, own) in enumerate(zip(entries, sets, strict=True)) if own <= sets[row] and at != row
        ]
        others += [PDEntry(Composition(SYMBOLS[z]), 0.0) for z in sets[row]]
        started = time.perf_counter()
        competing = PhaseDiagram(others).get_hull_energy_per_atom(entries[row].composition)
        times.append(time.perf_counter() - started)
        worst = max(worst, abs(entries[row].energy_per_atom - competing - ours[row]))
    return {
        "compounds against the hull of all others": float(len(entries)),
        "seconds for all of them, one core": seconds,
        "pymatgen, seconds for all of them": statistics.median(times) * len(entries),
        "ratio of these": statistics.median(times) * len(entries) / seconds,
        "largest difference of these, eV/atom": worst,
    }


def main() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    file = DATA / "mp_formation_energy.parquet"
    table = PhaseTable.read(file) if file.is_file() else PhaseTable.load()
    index, generator = table.index, np.random.default_rng(0)
    elements_of = [frozenset(e) for e in table.table["elements"].to_pylist()]
    labels = [elements_of[table.row(s)] for s in index.source.tolist()]
    known = sorted(set().union(*labels))
    systems = [sorted(generator.choice(known, 4, replace=False).tolist()) for _ in range(SYSTEMS)]
    members = [np.array([p for p, own in enumerate(labels) if own <= set(s)], int) for s in systems]
    ratios = ratio_table(4, 10)
    fractions = ratios / ratios.sum(axis=1, keepdims=True)
    elements = np.repeat(np.array(systems, np.uint8), len(ratios), axis=0)
    amounts = np.tile(ratios, (SYSTEMS, 1))

    ours = SYSTEMS / median_seconds(lambda: hull_energies(elements, amounts, index))
    energies = hull_energies(elements, amounts, index).reshape(SYSTEMS, -1)
    points = [phases_of(s, index, labels, m) for s, m in zip(systems, members, strict=True)]
    proper = [i for i, p in enumerate(points) if p[:, 4].min() < -1e-3]  # Qhull cannot do flat ones
    qhull_times, worst = [], 0.0
    for i in proper:
        started = time.perf_counter()
        found = with_qhull(points[i], fractions)
        qhull_times.append(time.perf_counter() - started)
        worst = max(worst, float(np.abs(found - energies[i]).max()))
    pymatgen_times, worst_pymatgen = [], 0.0
    for i in proper[:PYMATGEN_SYSTEMS]:
        mixture = [Composition(dict(zip((SYMBOLS[z] for z in systems[i]), r.tolist(), strict=True))) for r in ratios]
        entries = [
            PDEntry(Composition(dict(zip((SYMBOLS[z] for z in systems[i]), row[:4], strict=True))), row[4])
            for row in points[i]
        ]
        started = time.perf_counter()
        diagram = PhaseDiagram(entries)
        found = np.array([diagram.get_hull_energy_per_atom(c) for c in mixture])
        pymatgen_times.append(time.perf_counter() - started)
        worst_pymatgen = max(worst_pymatgen, float(np.abs(found - energies[i]).max()))
    qhull, pymatgen = 1 / statistics.median(qhull_times), 1 / statistics.median(pymatgen_times)
    publish(
        "hull",
        {
            "reference": table.name if not file.is_file() else "Materials Project, 83,739 compositions",
            "median phases a system, with elements": float(np.median([len(p) for p in points])),
            "hull distances/s/core (205 a system)": ours * len(ratios),
            "microseconds a system": 1e6 / ours,
            "Qhull + NumPy, microseconds a system": 1e6 / qhull,
            "pymatgen, microseconds a system": 1e6 / pymatgen,
            "ratio to Qhull + NumPy": ours / qhull,
            "ratio to pymatgen": ours / pymatgen,
            "limit: distances/s that memory could take": copy_rate() / 8,
            "largest difference from Qhull, eV/atom": worst,
            "largest difference from pymatgen, eV/atom": worst_pymatgen,
            **each_against_the_others(table),
        },
    )


if __name__ == "__main__":
    main()
