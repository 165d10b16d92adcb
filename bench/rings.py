"""Diffraction rings on a detector of 2048 × 2048 pixels, one core; peer: pyFAI's image of a one-dimensional pattern.

pyFAI looks every pixel up in a pattern that is the same all round; ours adds up every ring at the pixel's own azimuth.
"""

import warnings

import numpy as np

from bench.harness import median_seconds, publish
from matscreen.engine.xrd.simulation import INSTRUMENTS, Film, detectors, ring_table
from matscreen.engine.xrd.wafer import spread
from matscreen.kernels.diffraction_rings import rings


def main() -> None:
    warnings.simplefilter("ignore")
    instrument = INSTRUMENTS["slac"]
    sample = next(one for one in spread() if one.region == "spinel")
    (detector,) = detectors(instrument)
    plain = ring_table(sample, Film(0, 0, 20, 1), instrument, 80.0, np.random.default_rng(0))
    textured = ring_table(sample, Film(0.6, 0.3, 20, 1), instrument, 80.0, np.random.default_rng(0))
    given = detector.two_theta, detector.azimuth
    grid = np.linspace(0, 90, 90_001)
    line = rings(grid[None], np.zeros_like(grid[None]), *plain)[0]

    def theirs() -> np.ndarray:
        return np.asarray(
            detector.geometry.calcfrom1d(
                grid, line, shape=given[0].shape, dim1_unit="2th_deg", correctSolidAngle=False, polarization_factor=None
            )
        )

    away = np.abs(theirs() - rings(*given, *plain)).max() / line.max()
    seconds = {"the same all round": plain, "textured, with spots": textured}
    own = {name: median_seconds(lambda table=table: rings(*given, *table), 5) for name, table in seconds.items()}
    peer = median_seconds(theirs, 5)
    pixels = given[0].size
    publish(
        "rings",
        {
            "pixels": pixels,
            "rings": len(plain[0]),
            **{f"pixels/s/core, {name}": pixels / value for name, value in own.items()},
            "pyFAI, pixels/s": pixels / peer,
            "ratio to pyFAI": peer / own["the same all round"],
            "largest difference, of the strongest ring": float(away),
        },
    )


if __name__ == "__main__":
    main()
