"""Master patterns: what a phase scatters, from EMsoft or whatever else kikuchipy reads."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine.ebsd.libraries import library
from matscreen.kernels.disorientation import SYMMETRY
from matscreen.models.ebsd.simulation import Crystal
from matscreen.models.errors import InputError

NICKEL = "nickel"
"""The phase that needs no file: kikuchipy brings a master pattern of it, at 20 kV."""


def read_crystal(phase: str, energy_kev: float | None = None) -> Crystal:
    """The phase `phase`: nickel, or a file with a master pattern; at the highest energy there, or the nearest to one.

    InputError for what cannot be read, has no master pattern, or has a symmetry that is not one of the eleven.
    """
    kp = library("kikuchipy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if phase == NICKEL:
            signal = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
        elif not Path(phase).is_file():
            raise InputError(f"no such file: {phase} (a master pattern, or {NICKEL})")
        else:
            signal = _loaded(kp, Path(phase))
    return _crystal(signal, phase, energy_kev)


def _loaded(kp: Any, path: Path) -> Any:
    """Both hemispheres if the file has them; the lower one is the upper's inverse where it does not."""
    told: Exception | None = None
    for hemisphere in ("both", "upper"):
        try:
            signal = kp.load(path, projection="lambert", hemisphere=hemisphere)
        except Exception as error:  # whatever the bytes lead the readers to
            told = told or error
            continue
        if not isinstance(signal, kp.signals.EBSDMasterPattern):
            raise InputError(f"{path} holds no master pattern but {type(signal).__name__}")
        return signal
    raise InputError(f"{path} holds no master pattern that can be read: {' '.join(str(told).split())}") from None


def _crystal(signal: Any, phase: str, energy_kev: float | None) -> Crystal:
    energies = [axis for axis in signal.axes_manager.navigation_axes if axis.name == "energy"]
    data = np.asarray(signal.data)
    energy = float(energy_kev or signal.metadata.get_item("Acquisition_instrument.SEM.beam_energy", 20.0))
    if energies:
        axis = energies[0].axis
        which = len(axis) - 1 if energy_kev is None else int(np.abs(axis - energy_kev).argmin())
        energy = float(axis[which])
        data = data[..., which, :, :]
    master = data.astype(np.float32)
    if master.ndim == 2:
        master = np.stack([master, master[::-1, ::-1]])  # z → −z of the same crystal: inversion turns x and y too
    if master.ndim != 3 or master.shape[0] != 2 or master.shape[1] != master.shape[2]:
        raise InputError(f"{phase}: a master pattern is two squares, not {master.shape}")
    least, most = float(master.min()), float(master.max())
    if not most > least:
        raise InputError(f"{phase}: the master pattern is empty")
    group = signal.phase.point_group
    symmetry = "" if group is None else group.laue.proper_subgroup.name.replace("112", "2")
    if symmetry not in SYMMETRY:
        named = "none" if group is None else group.name
        raise InputError(f"{phase}: unknown symmetry {named}; known are the Laue classes of {' '.join(SYMMETRY)}")
    lattice = signal.phase.structure.lattice
    scale = 10 if max(lattice.abcABG()[:3]) < 2 else 1  # EMsoft tells nm, others Å: no cell is of 2 Å or of 2 nm
    cell = tuple(float(v) for v in (*(scale * v for v in lattice.abcABG()[:3]), *lattice.abcABG()[3:]))
    name = (signal.phase.name or Path(phase).stem).strip() or "phase"
    return Crystal(name, symmetry, (master - least) / (most - least), energy, cell, group.name)  # type: ignore[arg-type]


def checksum(crystal: Crystal) -> str:
    """SHA-256 of the master pattern."""
    return hashlib.sha256(crystal.master.tobytes()).hexdigest()
