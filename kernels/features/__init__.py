"""The 145 composition attributes of Ward et al., npj Comput. Mater. 2, 16028 (2016), as matminer computes them.

Six norms of the fractions; minimum, maximum, range, mean, mean absolute deviation and mode of 22 elemental properties
(Magpie's tables); mean numbers of s, p, d and f valence electrons; whether an ionic compound is possible, and the
largest and mean ionic character of its pairs of elements. Missing elemental data are the average over the elements that
have them, which is matminer's default.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from matscreen.kernels.backend import Backend, as_numpy, on_gpu, resolve
from matscreen.kernels.features import cpu, reference
from matscreen.kernels.features.slopes import attribute_slopes
from matscreen.kernels.features.tables import COLUMNS, TABLES, WARD_FEATURE_NAMES

__all__ = ["COLUMNS", "WARD_FEATURE_NAMES", "attribute_slopes", "composition_features", "standardised", "ward_features"]


def ward_features(fractions: np.ndarray, threads: int = 1, backend: Backend = "auto") -> np.ndarray:
    """Attributes of compositions given as element fractions.

    Parameters
    ----------
    fractions : (N, 86) float: fractions of atoms of the elements `COLUMNS`; each row sums to 1
    threads : rows are spread over so many (the GIL is not held); the result does not depend on it

    Returns
    -------
    (N, 145) float64, in the order of `WARD_FEATURE_NAMES`. A torch tensor if one was given

    Raises
    ------
    ValueError
        Another shape, negative fractions, rows that do not sum to 1 (to 1e-4).

    >>> iron_oxide = np.zeros((1, 86)); iron_oxide[0, [6, 22]] = 0.6, 0.4
    >>> dict(zip(WARD_FEATURE_NAMES, ward_features(iron_oxide)[0].round(4).tolist()))["MagpieData mean Number"]
    15.2
    """
    (given,), back = as_numpy(fractions)
    fractions = np.ascontiguousarray(given, np.float64)
    if fractions.ndim != 2 or fractions.shape[1] != len(COLUMNS):
        raise ValueError(f"fractions must be (N, {len(COLUMNS)}), not {fractions.shape}")
    if not ((fractions >= 0).all() and np.allclose(fractions.sum(axis=1), 1, rtol=0, atol=1e-4)):
        raise ValueError("every row of fractions must be non-negative and sum to 1")
    width = int((fractions > 0).sum(axis=1).max(initial=1))
    elements, amounts = np.zeros((len(fractions), width), np.uint8), np.zeros((len(fractions), width))
    cpu.sparse(fractions, COLUMNS, elements, amounts)
    return back(composition_features(elements, amounts, threads, backend))  # type: ignore[no-any-return]


def composition_features(
    elements: np.ndarray, amounts: np.ndarray, threads: int = 1, backend: Backend = "auto"
) -> np.ndarray:
    """Attributes of compositions given as elements and amounts, for all elements up to Og.

    "Compound possible" lets every atom of the reduced formula take any common oxidation state of its element, as
    pymatgen's charge balance does (so Fe3O4 is possible). Proportions of no formula of at most 1000 atoms can mix
    valences freely.

    Parameters
    ----------
    elements : (N, K) uint8, atomic numbers 1…118, 0 in empty places
    amounts : (N, K), atoms of each in any unit, above 0 where there is an element. Any numeric dtype
    threads : as in `ward_features`

    Returns
    -------
    (N, 145) float64, in the order of `WARD_FEATURE_NAMES`
    """
    if elements.ndim != 2 or elements.shape != amounts.shape or elements.dtype != np.uint8:
        raise ValueError(f"elements (uint8) and amounts must both be (N, K), not {elements.shape}, {amounts.shape}")
    if elements.size and elements.max() >= len(TABLES.properties):
        raise ValueError(f"there is no element {elements.max()}")
    if not ((elements > 0).any(axis=1).all() and (np.where(elements > 0, amounts, 1) > 0).all()):
        raise ValueError("every composition needs an element, and every element an amount above 0")
    run = resolve(backend, "features", gpu=True)
    if run == "reference":
        return reference.composition_features(elements, amounts)
    if run == "gpu":
        from matscreen.kernels.features import gpu

        (labels, given), back = on_gpu(elements, amounts.astype(np.float64))
        found: np.ndarray = back(gpu.composition_features(labels, given))
        return found
    result = np.empty((len(elements), len(WARD_FEATURE_NAMES)))
    cuts = np.linspace(0, len(elements), max(min(threads, len(elements)), 1) + 1).astype(int).tolist()
    with ThreadPoolExecutor(len(cuts) - 1) as pool:
        parts = [slice(*cut) for cut in itertools.pairwise(cuts)]
        list(pool.map(lambda p: cpu.composition_features(elements[p], amounts[p], result[p]), parts))
    return result


def standardised(
    features: np.ndarray, mean: np.ndarray, scale: np.ndarray, largest: float, backend: Backend = "auto"
) -> np.ndarray:
    """(features − mean) / scale, cut to ±largest, in one pass: what a network is given.

    Parameters
    ----------
    features : (N, F) float64
    mean, scale : (F,) float64, no scale 0

    Returns
    -------
    (N, F) float32 (float64 from the reference)
    """
    if features.ndim != 2 or mean.shape != features.shape[1:] or scale.shape != mean.shape:
        raise ValueError(f"features {features.shape}, mean {mean.shape} and scale {scale.shape} do not fit")
    run = cpu.standardised if resolve(backend, "features") == "cpu" else reference.standardised
    return run(features, mean, scale, largest)
