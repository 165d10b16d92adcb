"""The 126 structure attributes of Ward et al., Phys. Rev. B 96, 024104 (2017), by matminer, for whoever has structures.

Coordination numbers (4), variety of bond lengths and cell volumes (8), chemical order (3), packing efficiency (1), and
how the 22 elemental properties differ between neighbours (110): all from the Voronoi tessellation. With the 145
attributes of the composition (`kernels.features`) they are the 271 inputs of Jha 2020, table 4.2.
"""

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from matscreen.models.errors import InputError

_NOT_PUBLISHED = ("range CN_VoronoiNN", "range neighbor distance variation")
"""matminer gives a range too where the paper has least, largest, mean and deviation."""


def structure_features(structures: Iterable[Any]) -> np.ndarray:
    """Attributes of pymatgen structures: (N, 126) float64, in the order of `structure_feature_names()`.

    Seconds a structure. Where more than four cells meet in a point, as in an ideal perovskite, the rounding of the
    processor tells which of them are neighbours, and attributes differ by that. InputError if matminer is not
    installed, or names the first structure (from 1) that cannot be tessellated, such as one with partly occupied sites.
    """
    rows = []
    for number, structure in enumerate(structures, start=1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                inside = structure.from_sites(structure, to_unit_cell=True)  # a site outside would have no neighbours
                values = [value for featurizer in _featurizers() for value in featurizer.featurize(inside)]
        except InputError:
            raise
        except Exception as error:  # what a tessellation of bad input raises is not documented
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f"structure {number} ({structure.formula}) has no attributes: {said}") from None
        rows.append(np.array(values, np.float64)[list(_published())])
    return np.array(rows).reshape(-1, len(_published()))


def structure_feature_names() -> tuple[str, ...]:
    """Names of the 126 attributes; InputError if matminer is not installed."""
    return tuple(_labels()[i] for i in _published())


@cache
def _featurizers() -> tuple[Any, ...]:
    try:
        from matminer.featurizers import structure as by
    except ImportError:
        raise InputError("structure attributes need matminer: pip install 'matscreen[structures]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            by.SiteStatsFingerprint.from_preset("CoordinationNumber_ward-prb-2017"),
            by.StructuralHeterogeneity(),
            by.ChemicalOrdering(),
            by.MaximumPackingEfficiency(),
            by.SiteStatsFingerprint.from_preset("LocalPropertyDifference_ward-prb-2017"),
        )


@cache
def _labels() -> tuple[str, ...]:
    return tuple(label for featurizer in _featurizers() for label in featurizer.feature_labels())


@cache
def _published() -> tuple[int, ...]:
    return tuple(i for i, label in enumerate(_labels()) if label not in _NOT_PUBLISHED)
