"""Slopes of predictions: how many compositions a second, beside predictions, differences, and what a processor can.

A slope towards every element costs one pass forward and one back: twice a prediction's operations, which is the limit
where a matrix product is timed in the same run.

    python -m bench.gradients [--threads N]         under a minute
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from bench.harness import publish, sgemm_rate
from matscreen.engine import CompositionSpace, schema
from matscreen.models import Model, load
from matscreen.models.catalogue import student_file
from matscreen.models.gradients import slopes

ROWS = 8192
AGAIN = 5


def median_seconds(run: Callable[[], object]) -> float:
    """Of a few runs, after one that compiles."""
    run()
    times = []
    for _ in range(AGAIN):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def operations(model: Model) -> float:
    """Floating-point operations of the dense layers for one composition, of all members."""
    return float(
        sum(
            2 * sum(weight.size for weight in member.layers.weights)
            + 2 * sum(s.projection.size for s in member.layers.shortcuts if s and s.projection is not None)
            for member in model.members
        )
    )


def measured(model: Model, elements: np.ndarray, amounts: np.ndarray, rate: float) -> dict[str, float]:
    """Of one model."""
    few = slice(0, 64)
    seconds = median_seconds(lambda: slopes(model, elements, amounts))
    predicting = median_seconds(lambda: model.outputs(elements, amounts))
    differences = median_seconds(lambda: slopes(model, elements[few], amounts[few], backend="reference"))
    work = operations(model)
    return {
        "members": len(model.members),
        "MFLOP of a prediction": work / 1e6,
        "slopes/s": len(elements) / seconds,
        "predictions/s": len(elements) / predicting,
        "slopes/s by differences of the definition": 64 / differences,
        "limit, slopes/s": rate / (2 * work),
        "of the limit": 2 * work * len(elements) / seconds / rate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    space = CompositionSpace("all", arity=(3, 4))
    ids = np.random.default_rng(0).choice(len(space), ROWS, replace=False)
    _, elements, amounts = schema.composition_arrays(space.take(np.sort(ids)))
    rate = sgemm_rate()
    default = load()
    figures: dict[str, object] = {"compositions": ROWS, "threads": threads, "best products, GFLOP/s": rate / 1e9}
    for model in (load("elemnet-oqmd"), default, load(student_file(default.source))):
        figures[model.name] = measured(model, elements, amounts, rate)
        print(model.name, figures[model.name], flush=True)
    publish("gradients", figures)


if __name__ == "__main__":
    main()
