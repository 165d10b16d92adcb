"""Oxidation states, the nearest known compound and what is alike; peers: SMACT, pymatgen, scikit-learn.

The same compositions, drawn evenly from all 446,597,140; the peers get a part of them, as many as take a second or so.
What is alike is looked for among neighbours in the space, a third of which are kept.
"""

import itertools
import time

import numpy as np
from pymatgen.core import Composition, Element
from sklearn.neighbors import NearestNeighbors
from smact.screening import pauling_test

from bench.harness import median_seconds, publish
from matscreen.engine import CompositionSpace, PhaseTable, schema
from matscreen.engine.chemistry import chemistry, common_states
from matscreen.engine.shortlist import ALIKE
from matscreen.kernels.charge_balance import oxidation_states
from matscreen.kernels.composition_distance import diverse
from matscreen.kernels.composition_distance.reference import TIE
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import format_formula

COMPOSITIONS = 50_000
ALIKE_AMONG = 20_000


def smact(elements: np.ndarray, amounts: np.ndarray) -> list[bool]:
    """Whether a neutral choice of common states passes SMACT's test of electronegativities."""
    found = []
    for own, atoms in zip(elements.tolist(), amounts.tolist(), strict=True):
        present = [(Element.from_Z(z), n) for z, n in zip(own, atoms, strict=True) if z]
        choices = itertools.product(*(e.common_oxidation_states for e, _ in present))
        neutral = (c for c in choices if sum(q * n for q, (_, n) in zip(c, present, strict=True)) == 0)
        found.append(any(pauling_test(c, [e.X for e, _ in present]) for c in neutral))
    return found


def dense(elements: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """(N, 119) fractions by atomic number."""
    full = np.zeros((len(elements), len(SYMBOLS)))
    row, place = np.nonzero(elements)
    full[row, elements[row, place]] = fractions[row, place]
    return full


def thinned(vectors: np.ndarray) -> np.ndarray:
    """Which of a ranked list to keep so that no two are alike, from lists of all neighbours."""
    index = NearestNeighbors(radius=np.sqrt(ALIKE**2 + TIE), algorithm="brute").fit(vectors)
    keep = np.zeros(len(vectors), bool)
    for row, near in enumerate(index.radius_neighbors(vectors, return_distance=False)):
        keep[row] = not keep[near].any()
    return keep


def main() -> None:
    space, phases = CompositionSpace("all"), PhaseTable.load()
    ids = np.linspace(0, len(space) - 1, COMPOSITIONS).astype(np.int64)
    elements, amounts = schema.composition_arrays(space.take(np.random.default_rng(0).permutation(ids)))[1:]
    states = common_states()
    seconds = median_seconds(lambda: oxidation_states(elements, amounts, *states))
    ordered = oxidation_states(elements, amounts, *states)[2]
    started, few = time.perf_counter(), 2000
    theirs = smact(elements[:few], amounts[:few])
    smact_rate = few / (time.perf_counter() - started)
    names = [format_formula(*row) for row in zip(elements[:300].tolist(), amounts[:300].tolist(), strict=True)]
    started = time.perf_counter()
    for name in names:
        Composition(name).oxi_state_guesses()
    pymatgen_rate = len(names) / (time.perf_counter() - started)

    phases.nearest(elements[:10], amounts[:10])
    nearest_seconds = median_seconds(lambda: phases.nearest(elements, amounts))
    distance = phases.nearest(elements, amounts)[1]
    compounds = [row for row in phases.table.to_pylist() if len(row["elements"]) > 1]
    known = np.zeros((len(compounds), len(SYMBOLS)))
    for place, row in enumerate(compounds):
        known[place, row["elements"]] = row["fractions"]
    tree = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(known)
    asked = dense(elements, amounts / amounts.sum(axis=1, keepdims=True))[:5000]
    started = time.perf_counter()
    apart = tree.kneighbors(asked)[0][:, 0]
    sklearn_rate = len(asked) / (time.perf_counter() - started)
    ranked = schema.composition_arrays(space[len(space) // 2 : len(space) // 2 + ALIKE_AMONG])[1:]
    thinning = median_seconds(lambda: diverse(*ranked, ALIKE))
    vectors = dense(ranked[0], ranked[1] / ranked[1].sum(axis=1, keepdims=True))
    started = time.perf_counter()
    kept = thinned(vectors)
    thinned_seconds = time.perf_counter() - started
    rate = COMPOSITIONS / seconds
    publish(
        "chemistry",
        {
            "oxidation states, compositions/s": rate,
            "SMACT's Pauling test over all neutral choices": smact_rate,
            "ratio to SMACT": rate / smact_rate,
            "compositions that differ from SMACT": int((ordered[:few] != np.array(theirs)).sum()),
            "pymatgen oxi_state_guesses (its own states, mixed valence too)": pymatgen_rate,
            "nearest of the reference's compounds, compositions/s": COMPOSITIONS / nearest_seconds,
            "scikit-learn, brute force": sklearn_rate,
            "ratio to scikit-learn": COMPOSITIONS / nearest_seconds / sklearn_rate,
            "largest difference of distances": float(np.abs(distance[:5000] - apart).max()),
            "alike compositions left out of a list, compositions/s": ALIKE_AMONG / thinning,
            "scikit-learn's neighbours, brute force": ALIKE_AMONG / thinned_seconds,
            "ratio to scikit-learn's neighbours": thinned_seconds / thinning,
            "share of them kept": kept.mean(),
            "compositions kept by one alone": int((kept != diverse(*ranked, ALIKE)).sum()),
            "all columns of a candidate's chemistry, compositions/s": COMPOSITIONS
            / median_seconds(lambda: chemistry(elements, amounts, phases)),
        },
    )


if __name__ == "__main__":
    main()
