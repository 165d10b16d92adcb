"""The main job end to end, as `make scan` runs it; peer: the same with pymatgen and PyTorch as one would write it."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench.harness import dense_network, publish, sgemm_rate
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, scan
from matscreen.engine.distill.student import flop
from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS

ELEMENTS = "Li,Na,Mg,Al,Si,Ca,Ti,V,Mn,Fe,Ni,Zn,S,O"
PEER_SYSTEMS = 30


def with_pymatgen(space: CompositionSpace, phases: PhaseTable) -> float:
    """Seconds a composition, on all cores that PyTorch takes, over some of the quaternary systems of the space."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    network = dense_network((86, *ARCHITECTURES["elemnet"].widths, 1))
    symbols = [SYMBOLS[z] for z in ELEMNET_ELEMENTS]
    block = space.blocks[-1]
    entries = [
        PDEntry(Composition(formula), energy * Composition(formula).num_atoms)
        for formula, energy in zip(
            phases.table["formula"].to_pylist(), phases.table["formation_energy_ev_atom"].to_pylist(), strict=True
        )
        if energy < 0
    ] + [PDEntry(Composition(SYMBOLS[z]), 0.0) for z in space.elements]
    count = len(block.ratios)
    starts = block.start + count * np.random.default_rng(0).choice(block.systems, PEER_SYSTEMS, replace=False)
    started = time.perf_counter()
    for start in starts.tolist():
        compositions = [Composition(space[i]) for i in range(start, start + count)]
        dense = np.array([[c.get_atomic_fraction(s) for s in symbols] for c in compositions], np.float32)
        with torch.no_grad():
            energies = network(torch.from_numpy(dense))[:, 0].numpy()
        system = set(compositions[0].elements)
        diagram = PhaseDiagram([e for e in entries if set(e.composition.elements) <= system])
        hull = np.array([diagram.get_hull_energy_per_atom(c) for c in compositions])
        _ = np.flatnonzero(energies - hull < -0.2)
    return (time.perf_counter() - started) / (count * PEER_SYSTEMS)


def main() -> None:
    space, model, phases = CompositionSpace(ELEMENTS), models.load(), PhaseTable.load()
    with tempfile.TemporaryDirectory() as folder:
        scan(CompositionSpace("Li-O"), model, phases, Path(folder) / "warm")
        started = time.perf_counter()
        run = scan(space, model, phases, Path(folder) / "run")
        seconds = time.perf_counter() - started
        summary = run.summary
        started = time.perf_counter()
        alone = scan(space, model, phases, Path(folder) / "exact", exact=True)
        exact_seconds = time.perf_counter() - started
        lost = summary["candidates"] - alone.summary["candidates"]
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    peer = 1 / with_pymatgen(space, phases)
    flops = sum(flop(member) for member in model.members)
    publish(
        "scan",
        {
            "compositions": len(space),
            "candidates": summary["candidates"],
            "seconds": seconds,
            "compositions/s, all cores": len(space) / seconds,
            "seconds, --exact": exact_seconds,
            "candidates that --exact has besides": -lost,
            "pymatgen + PyTorch, compositions/s, all cores": peer,
            "ratio to pymatgen + PyTorch": len(space) / seconds / peer,
            "limit of --exact: compositions/s at the best sgemm of all cores": sgemm_rate() / flops,
            "cores": cores,
            **summary["throughput"],
        },
    )


if __name__ == "__main__":
    main()
