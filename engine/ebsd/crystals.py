"""Master patterns: what a phase scatters, from EMsoft or whatever else kikuchipy reads."""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matscreen.engine.libraries import library
from matscreen.kernels.disorientation import SYMMETRY
from matscreen.kernels.master_pattern import reference
from matscreen.models.ebsd.representation import matrices
from matscreen.models.ebsd.simulation import Crystal
from matscreen.models.errors import InputError

ALIKE = 0.9
"""Least correlation of a master pattern with itself, turned by an operation of its symmetry."""
NICKEL = "nickel"
"""The phase that needs no file: kikuchipy brings a master pattern of it, at 20 kV."""


def read_crystal(phase: str, energy_kev: float | None = None) -> Crystal:
    """The phase `phase`: nickel, or a file with a master pattern; at the highest energy there, or the nearest to one.

    InputError for what cannot be read, has no master pattern, or has a symmetry that is not one of the eleven.
    """
    kp = library("kikuchipy", "ebsd")
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
    if energy_kev is not None and not 0 < energy_kev < 1000:
        raise InputError(f"--energy takes keV, not {energy_kev:g}")
    axes = [axis for axis in signal.axes_manager.navigation_axes if axis.name == "energy"]
    told = signal.metadata.get_item("Acquisition_instrument.SEM.beam_energy", 20.0)
    energies = np.array(axes[0].axis if axes else [told], float)
    which = len(energies) - 1 if energy_kev is None else int(np.abs(energies - energy_kev).argmin())
    energy = float(energies[which])
    if energy_kev is not None and abs(energy - energy_kev) > 1:
        raise InputError(f"{phase} has no master pattern of {energy_kev:g} keV; the nearest is of {energy:g} keV")
    data = np.asarray(signal.data)[..., which, :, :] if axes else np.asarray(signal.data)
    master = data.astype(np.float32)
    if master.ndim == 2:
        master = np.stack([master, master[::-1, ::-1]])  # z → −z of the same crystal: inversion turns x and y too
    if master.ndim != 3 or master.shape[0] != 2 or master.shape[1] != master.shape[2]:
        raise InputError(f"{phase}: a master pattern is two squares, not {master.shape}")
    least, most = float(master.min()), float(master.max())
    if not most > least:
        raise InputError(f"{phase}: the master pattern is empty")
    group = _point_group(signal)
    symmetry = "" if group is None else group.laue.proper_subgroup.name.replace("112", "2")
    if symmetry not in SYMMETRY:
        named = "none" if group is None else group.name
        raise InputError(f"{phase}: unknown symmetry {named}; known are the Laue classes of {' '.join(SYMMETRY)}")
    lattice = signal.phase.structure.lattice
    _check_symmetry(phase, master, symmetry)
    scale = 10 if max(lattice.abcABG()[:3]) < 2 else 1  # EMsoft tells nm, others Å: no cell is of 2 Å or of 2 nm
    cell = tuple(float(v) for v in (*(scale * v for v in lattice.abcABG()[:3]), *lattice.abcABG()[3:]))
    name = (signal.phase.name or Path(phase).stem).strip() or "phase"
    return Crystal(name, symmetry, (master - least) / (most - least), energy, cell, group.name)  # type: ignore[arg-type]


def _point_group(signal: Any) -> Any:
    """Of the phase: one that orix finds again by its name, which of its own `m` it does not; None if it has none."""
    group = signal.phase.point_group
    if group is None:
        return None
    try:
        library("orix.crystal_map", "ebsd").Phase(point_group=group.name)
    except ValueError:
        return group.laue
    return group


def _check_symmetry(phase: str, master: np.ndarray, symmetry: str) -> None:
    """InputError if a master pattern does not look the same after the operations that its symmetry's name stands for.

    The name alone does not tell the axes: a monoclinic cell may have its twofold axis along b.
    """
    v = np.random.default_rng(0).normal(size=(4000, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    seen = [
        reference.interpolated(master, *reference.lambert(w), w[:, 2] < 0)
        for w in (v @ o.T for o in _matrices(symmetry))
    ]
    worst = min(float(np.corrcoef(seen[0], other)[0, 1]) for other in seen)
    if worst < ALIKE:
        raise InputError(
            f"{phase}: the master pattern does not have the symmetry {symmetry} about the axes that are known here: "
            "the main one along z, a twofold one along x; monoclinic cells need the unique axis c"
        )


def _matrices(symmetry: str) -> np.ndarray:
    return np.asarray(matrices(torch.from_numpy(np.array(SYMMETRY[symmetry]))).numpy())


def checksum(crystal: Crystal) -> str:
    """SHA-256 of the master pattern."""
    return hashlib.sha256(crystal.master.tobytes()).hexdigest()
