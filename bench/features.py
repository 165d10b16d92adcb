"""The 145 composition attributes a second, one core, on real formulas; peer: matminer's featurizers."""

import statistics
import time
import warnings

import numpy as np

from bench.harness import DATA, copy_rate, median_seconds, publish
from matscreen.engine import PhaseTable
from matscreen.kernels.features import composition_features
from matscreen.models.formula import composition_arrays
from matscreen.models.tables import read_table

MATMINER_FORMULAS = 300


def main() -> None:
    from matminer.featurizers.base import MultipleFeaturizer
    from matminer.featurizers.composition import ElementProperty, IonProperty, Stoichiometry, ValenceOrbital
    from pymatgen.core import Composition

    warnings.simplefilter("ignore")
    file = DATA / "oqmd_formation_energy.parquet"
    if file.is_file():
        formulas = list(read_table(file, "formula", "formation_energy_ev_atom")[0])
    else:
        formulas = PhaseTable.load().table["formula"].to_pylist()
    elements, amounts = composition_arrays(formulas)
    ours = len(formulas) / median_seconds(lambda: composition_features(elements, amounts))
    features = composition_features(elements, amounts)

    parts = [Stoichiometry(), ElementProperty.from_preset("magpie"), ValenceOrbital(props=["avg"]), IonProperty()]
    peer = MultipleFeaturizer(parts)
    rows = np.random.default_rng(0).choice(len(formulas), MATMINER_FORMULAS, replace=False)
    peer.featurize(Composition("Fe2O3"))
    times, worst = [], 0.0
    for row in rows.tolist():
        composition = Composition(formulas[row])
        started = time.perf_counter()
        found = peer.featurize(composition)
        times.append(time.perf_counter() - started)
        worst = max(worst, float(np.abs(np.array(found, float) - features[row]).max()))
    matminer = 1 / statistics.median(times)
    publish(
        "features",
        {
            "compositions": len(formulas),
            "compositions/s/core": ours,
            "microseconds a composition": 1e6 / ours,
            "matminer, milliseconds a composition": 1e3 / matminer,
            "ratio to matminer": ours / matminer,
            "largest difference from matminer": worst,
            "limit: compositions/s whose attributes memory can take": copy_rate() / features[0].nbytes,
        },
    )


if __name__ == "__main__":
    main()
