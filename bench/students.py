"""How far the students of the default model err: what their cards say of it, measured again as `distill` does.

10,000,000 compositions; `--compositions` takes fewer, for a look.
"""

import argparse
from typing import Any

from bench.harness import publish
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable
from matscreen.engine.distill import calibration_draws, measure


def within(measured: dict[int, dict[str, float]], bands: dict[int, dict[str, float]]) -> dict[str, Any]:
    """How many bands of a card are those measured now, and how much of one was needed at most (its margin aside)."""
    pairs = [(band, bands[arity].get(symbol)) for arity, own in measured.items() for symbol, band in own.items()]
    known = [(band, told) for band, told in pairs if told]
    return {
        "bands measured": len(pairs),
        "bands that the card says, too": sum(band == told for band, told in known),
        "measured band over that of the card, largest": max(band / told for band, told in known),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.students")
    parser.add_argument("--compositions", type=int, default=10_000_000)
    count = parser.parse_args().compositions
    model, phases = models.load(), PhaseTable.load()
    students = [student for student in (model.systems, model.student) if student]
    told = measure(
        model, [one.model for one in students], phases, CompositionSpace("all"), count, calibration_draws(seed=0)
    )
    figures = {
        one.model.name: bands | within(bands["bands_ev_atom"], one.bands)
        for one, bands in zip(students, told, strict=True)
    }
    publish("students", figures)


if __name__ == "__main__":
    main()
