"""Five and six elements, which the students of the default model do not know: the ensemble predicts all.

Whole chunks spread over the space of at most 13 atoms, timed on one core, and random members: how many are candidates.
"""

import time

import numpy as np
import torch

from bench.harness import publish
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable
from matscreen.engine.screen import screen_chunk

THRESHOLD = 0.6
CHUNK, CHUNKS = 2**13, 6
DRAWN = 2**16


def main() -> None:
    torch.set_num_threads(1)
    model, phases = models.load(), PhaseTable.load()
    space = CompositionSpace("all", arity=(5, 6), max_atoms=13)
    asked = model, phases, THRESHOLD, False, False
    screen_chunk(space.chunk(0, 2000), *asked)
    seconds = 0.0
    for start in np.linspace(0, len(space) - CHUNK, CHUNKS).astype(np.int64).tolist():
        began = time.perf_counter()
        screen_chunk(space.chunk(start, start + CHUNK), *asked)
        seconds += time.perf_counter() - began
    ids = np.sort(np.random.default_rng(0).integers(0, len(space), DRAWN))
    share = len(screen_chunk(space.take(ids), *asked).candidates) / DRAWN
    rate = CHUNK * CHUNKS / seconds
    publish(
        "five_elements",
        {
            "compositions of five and six elements in at most 13 atoms": len(space),
            "compositions/s/core": rate,
            "core hours for all": len(space) / rate / 3600,
            f"of {DRAWN:,} drawn, more than {THRESHOLD} eV/atom below the hull": share,
            "candidates among all": share * len(space),
        },
    )


if __name__ == "__main__":
    main()
