"""Powder reflections of structures a second, one core; peer: pymatgen's XRDCalculator."""

import warnings

import numpy as np
from pymatgen.analysis.diffraction.xrd import XRDCalculator

from bench.harness import median_seconds, publish
from matscreen.engine.queue.prototypes import aflow
from matscreen.engine.xrd.powder import crystal_of
from matscreen.kernels.powder_pattern import peaks

STRUCTURES = 60


def main() -> None:
    warnings.simplefilter("ignore")
    known = [prototype.structure for prototype in aflow()]
    structures = known[:: max(1, len(known) // STRUCTURES)][:STRUCTURES]
    crystals = [crystal_of(structure) for structure in structures]
    theirs = XRDCalculator("CuKa")
    expected = [theirs.get_pattern(structure) for structure in structures]
    angle, strength = 0.0, 0.0
    for crystal, pattern in zip(crystals, expected, strict=True):
        found = peaks(crystal, theirs.wavelength)
        places = np.searchsorted(found[0], pattern.x)
        near = np.clip(places, 1, len(found[0]) - 1)
        near = np.where(np.abs(found[0][near - 1] - pattern.x) < np.abs(found[0][near] - pattern.x), near - 1, near)
        angle = max(angle, float(np.abs(found[0][near] - pattern.x).max()))
        strength = max(strength, float(np.abs(found[1][near] - pattern.y).max()))
    each = [median_seconds(lambda c=c: peaks(c, theirs.wavelength), 5) for c in crystals]
    peer = [median_seconds(lambda s=s: theirs.get_pattern(s), 1, warm=False) for s in structures]
    ratios = np.array(peer) / each
    publish(
        "powder",
        {
            "structures (of AFLOW's prototypes), to 90 degrees": len(structures),
            "median seconds a structure": float(np.median(each)),
            "structures/s/core": len(each) / sum(each),
            "pymatgen, median seconds": float(np.median(peer)),
            "ratio to pymatgen, of the sums": sum(peer) / sum(each),
            "ratio to pymatgen, median": float(np.median(ratios)),
            "ratio to pymatgen, least": float(ratios.min()),
            "largest difference of an angle, degrees": angle,
            "largest difference of an intensity, of 100": strength,
        },
    )


if __name__ == "__main__":
    main()
