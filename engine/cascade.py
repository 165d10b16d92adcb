"""Who predicts a chunk, from the cheapest to the one that counts; each sees only what the one before let through."""

from dataclasses import dataclass

import numpy as np

from matscreen.kernels.mlp import Precision
from matscreen.models import Model
from matscreen.models.guard import ENERGY_TOLERANCE, guard_band


@dataclass(frozen=True)
class Look:
    """One of the predictions that a composition must pass.

    Attributes
    ----------
    model : what predicts
    precision : of its products on a GPU; None: float32 on the CPU
    tolerance : eV/atom between what it predicts and its definition
    bands : (K + 1, 256) by number of elements and atomic number, eV/atom: how far above the threshold a composition
        with this one may be put that the next look puts below it; 0 of the last
    """

    model: Model
    precision: Precision | None
    tolerance: float
    bands: np.ndarray

    def predicted(self, elements: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Formation energies (N,) and their uncertainties, NaN from a single network and of a first pass on a GPU."""
        if self.precision:
            energies, uncertainties = self.model.energies(elements, amounts, "gpu", self.precision), None
        else:
            energies, uncertainties = self.model.uncertain_energies(elements, amounts)
        return energies, np.full(len(energies), np.nan, np.float32) if uncertainties is None else uncertainties

    def band(self, elements: np.ndarray) -> np.ndarray:
        """(N,) of compositions: the least of their elements, as each of those holds for all that have the element."""
        least: np.ndarray = self.bands[np.count_nonzero(elements, axis=1)[:, None], elements].min(axis=1)
        return least


def looks(model: Model, threshold: float, most_elements: int, exact: bool, gpu: Precision | None) -> list[Look]:
    """The model's student first, unless all is to be `exact`; with `gpu` each of them in that precision before float32.

    The last is always the model in float32 on the CPU, so that candidates do not depend on what looked before.

    ModelError for a model or student without a guard band for the precision.
    """
    student = None if exact or threshold < 0 else model.student  # its bands are of compositions below the hull
    networks = [(model, np.zeros((most_elements + 1, 256)))]
    if student:
        networks.insert(0, (student.model, student.bands_ev_atom(most_elements)))
    found = []
    for network, bands in networks:
        if gpu:
            guard = guard_band(network, gpu)
            found.append(Look(network, gpu, guard, bands + guard))
        found.append(Look(network, None, ENERGY_TOLERANCE, bands))
    return found
