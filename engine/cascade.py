"""Who predicts a chunk, from the cheapest to the one that counts; each sees only what the one before let through."""

from dataclasses import dataclass

import numpy as np

from matscreen.kernels.mlp import Precision
from matscreen.kernels.systems import least
from matscreen.models import Model
from matscreen.models.guard import ENERGY_TOLERANCE, guard_band
from matscreen.models.systems import SystemModel


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

    model: Model | SystemModel
    precision: Precision | None
    tolerance: float
    bands: np.ndarray

    def predicted(self, elements: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Formation energies (N,) and their uncertainties, NaN from a single network and of a first pass on a GPU."""
        uncertainties = None
        if isinstance(self.model, SystemModel):
            energies = self.model.energies(elements, amounts)
        elif self.precision:
            energies = self.model.energies(elements, amounts, "gpu", self.precision)
        else:
            energies, uncertainties = self.model.uncertain_energies(elements, amounts)
        return energies, np.full(len(energies), np.nan, np.float32) if uncertainties is None else uncertainties

    def band(self, elements: np.ndarray) -> np.ndarray:
        """(N,) of compositions: the least of their elements, as each of those holds for all that have the element."""
        return least(elements, self.bands)


def looks(
    model: Model, threshold: float, elements: np.ndarray, amounts: np.ndarray, exact: bool, gpu: Precision | None
) -> list[Look]:
    """The model's students first, unless all is to be `exact`; with `gpu` each in that precision before float32.

    The one of systems looks on the CPU, with a GPU or without, at these compositions, (N, K) both, if it knows all of
    them. The last is always the model in float32 on the CPU, so that no digit of a candidate depends on what looked
    before.

    ModelError for a model or student without a guard band for the precision.
    """
    most_elements = elements.shape[1]
    networks = [(model, np.zeros((most_elements + 1, 256)))]
    found = []
    if not exact and threshold >= 0:  # bands of students are of compositions below the hull
        if model.student:
            networks.insert(0, (model.student.model, model.student.bands_ev_atom(most_elements)))
        if model.systems and model.systems.model.knows(elements, amounts):
            bands = model.systems.bands_ev_atom(most_elements)
            found.append(Look(model.systems.model, None, ENERGY_TOLERANCE, bands))
    for network, bands in networks:
        if gpu:
            guard = guard_band(network, gpu)
            found.append(Look(network, gpu, guard, bands + guard))
        found.append(Look(network, None, ENERGY_TOLERANCE, bands))
    return found
