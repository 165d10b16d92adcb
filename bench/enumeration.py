"""Compositions a second into Arrow buffers, one core; peers: itertools with gcd, and pymatgen's reduced formula."""

import itertools
import math

from bench.harness import copy_rate, median_seconds, publish
from matscreen.engine import CompositionSpace


def with_itertools(limit: int) -> int:
    """Count the first `limit` quaternary compositions as one would by hand."""
    found = 0
    for system in itertools.combinations(range(1, 87), 4):
        for ratio in itertools.product(range(1, 8), repeat=4):
            if sum(ratio) <= 10 and math.gcd(*ratio) == 1:
                found += bool(system)
                if found == limit:
                    return found
    return found


def main() -> None:
    from pymatgen.core import Composition

    space = CompositionSpace("all")
    start, count = 200_000_000, 4_000_000
    ours = count / median_seconds(lambda: space.chunk(start, start + count))
    by_hand = 100_000 / median_seconds(lambda: with_itertools(100_000), 3)
    formulas = [space[i] for i in range(start, start + 5000)]
    pymatgen = len(formulas) / median_seconds(lambda: [Composition(f).reduced_formula for f in formulas], 3)
    limit = copy_rate() / (16 + 16)  # 16 bytes a composition (id, elements, amounts), each written after it is claimed
    publish(
        "enumeration",
        {
            "compositions/s/core": ours,
            "itertools + gcd, compositions/s": by_hand,
            "pymatgen reduced_formula, compositions/s": pymatgen,
            "ratio to itertools": ours / by_hand,
            "ratio to pymatgen": ours / pymatgen,
            "limit: memory bandwidth, compositions/s": limit,
        },
    )


if __name__ == "__main__":
    main()
