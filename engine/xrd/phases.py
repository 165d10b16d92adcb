"""The crystals of the Sn-Ti-Zn-O system, and what each of them scatters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from matscreen.engine.xrd.powder import crystal_of
from matscreen.kernels.powder_pattern import reflections

SHARES = 20
"""Steps in the tin share at which structure factors are told; lattices follow it without steps."""


@dataclass(frozen=True)
class Phase:
    """A crystal whose cations are partly tin, partly titanium.

    Attributes
    ----------
    cell : a, b, c in Å and α, β, γ in degrees without tin, and with tin alone; between them Vegard's law holds
    sites : space group, and species and coordinates of its sites, at a tin share Sn / (Sn + Ti) from 0 to 1
    fibre : h, k, l of the planes that a textured film lays flat
    """

    cell: tuple[tuple[float, ...], tuple[float, ...]]
    sites: Callable[[float], tuple[str, list[Any], list[list[float]]]]
    fibre: tuple[int, int, int]

    def lattice(self, share: float) -> Any:
        """The pymatgen `Lattice` at a tin share."""
        from pymatgen.core import Lattice

        without, alone = np.array(self.cell)
        return Lattice.from_parameters(*(without + (alone - without) * share))

    def structure(self, share: float) -> Any:
        """The pymatgen `Structure` at a tin share."""
        from pymatgen.core import Structure

        group, species, places = self.sites(share)
        return Structure.from_spacegroup(group, self.lattice(share), species, places)


def _rutile(share: float) -> tuple[str, list[Any], list[list[float]]]:
    u = 0.3053 + (0.3064 - 0.3053) * share
    return "P4_2/mnm", [_cation(share), "O"], [[0, 0, 0], [u, u, 0]]


def _anatase(share: float) -> tuple[str, list[Any], list[list[float]]]:
    return "I4_1/amd", [_cation(share), "O"], [[0, 0, 0], [0, 0, 0.2081]]


def _zincite(_: float) -> tuple[str, list[Any], list[list[float]]]:
    return "P6_3mc", ["Zn", "O"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3819]]


def _spinel(share: float) -> tuple[str, list[Any], list[list[float]]]:
    """In the setting whose origin is a tetrahedral site."""
    octahedral = {name: part / 2 for name, part in _cation(share).items()} | {"Zn": 0.5}
    return "Fd-3m", ["Zn", octahedral, "O"], [[0, 0, 0], [5 / 8] * 3, [0.3855] * 3]


def _cation(share: float) -> dict[str, float]:
    return {name: part for name, part in (("Sn", share), ("Ti", 1 - share)) if part > 0}


def _tetragonal(a: float, c: float) -> tuple[float, ...]:
    return a, a, c, 90, 90, 90


ZNO = (3.2495, 3.2495, 5.2069, 90, 90, 120)
PHASES = {
    "rutile": Phase((_tetragonal(4.594, 2.959), _tetragonal(4.737, 3.186)), _rutile, (1, 1, 0)),
    "anatase": Phase((_tetragonal(3.785, 9.514), _tetragonal(3.96, 9.92)), _anatase, (1, 0, 1)),
    "spinel": Phase((_tetragonal(8.460, 8.460), _tetragonal(8.657, 8.657)), _spinel, (1, 1, 1)),
    "zincite": Phase((ZNO, ZNO), _zincite, (0, 0, 1)),
}
"""Rutile (Sn,Ti)O₂ and inverse spinel Zn₂(Sn,Ti)O₄ dissolve both in any amount, anatase TiO₂ some tin; zincite is ZnO.
Lattices at room temperature of the pure compounds: SnO₂ and TiO₂ (Bolzan 1997), anatase (Howard 1991), ZnO (Kihara
1985), Zn₂SnO₄ and Zn₂TiO₄ (Millard 1995). There is no anatase SnO₂: its lattice is that of TiO₂, larger by as much as
rutile's is."""


def reflections_of(
    phase: str, share: float, wavelength: float, furthest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K,) 2θ in degrees, (K,) intensities and (K,) angles in radians to the normal of the fibre planes, rising in 2θ.

    Of `PHASES[phase]` at a tin share, each point of the reciprocal lattice alone, up to the angle `furthest`. In 2θ an
    intensity is that of the powder, in units of one electron for the whole film, whatever the cell.
    """
    step = round(share * SHARES) / SHARES
    indices, strengths = _factors(phase, step, wavelength, furthest)
    lattice = np.array(PHASES[phase].lattice(share).matrix)
    waves = indices @ np.linalg.inv(lattice).T
    length = np.linalg.norm(waves, axis=1)
    normal = np.linalg.inv(lattice) @ np.array(PHASES[phase].fibre)
    cosine = waves @ normal / (length * np.linalg.norm(normal))
    angles = np.degrees(2 * np.arcsin(np.minimum(wavelength * length / 2, 1)))
    order = np.argsort(angles, kind="stable")
    return angles[order], strengths[order], np.arccos(np.clip(cosine, -1, 1))[order]


@lru_cache(maxsize=256)
def _factors(phase: str, share: float, wavelength: float, furthest: float) -> tuple[np.ndarray, np.ndarray]:
    structure = PHASES[phase].structure(share)
    indices, _, strengths = reflections(crystal_of(structure), wavelength, (2.0, furthest))
    return indices, strengths / structure.volume**2
