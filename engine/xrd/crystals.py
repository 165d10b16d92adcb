"""Crystals to learn powder patterns from: AFLOW's prototypes of other elements, strained and shifted."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from matscreen.engine.queue.decorate import at_likely_volume
from matscreen.engine.queue.prototypes import SYMMETRY_TOLERANCE, Prototype, aflow
from matscreen.engine.xrd.powder import powder_vector
from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS

STRAIN, SHIFT, VOLUME = 0.04, 0.15, 0.06
"""Standard deviations: of the strain that the crystal system allows, of positions in Å where they are free, and of the
logarithm of the volume."""
COMMON = tuple(z for z in ELEMNET_ELEMENTS if z <= 83)
"""Elements that take the sites, but the few that no structure is made of."""


@dataclass(frozen=True)
class Symmetric:
    """A prototype and what its symmetry leaves free.

    Attributes
    ----------
    prototype : with its structure
    space_group : its number
    turns : (G, 3, 3) rotations in fractional coordinates
    sites : (G, N) int64, site that each operation takes each site to
    """

    prototype: Prototype
    space_group: int
    turns: np.ndarray
    sites: np.ndarray


def symmetric(prototype: Prototype) -> Symmetric:
    """The symmetry of a prototype's cell."""
    structure = prototype.structure
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = SpacegroupAnalyzer(structure, SYMMETRY_TOLERANCE).get_symmetry_dataset()
    places = np.array(structure.frac_coords)
    turns, sites = [], []
    for turn, shift in zip(found.rotations, found.translations, strict=True):
        there = places @ turn.T + shift
        away = there[:, None] - places
        far = np.linalg.norm((away - np.round(away)) @ structure.lattice.matrix, axis=2)
        turns.append(turn)
        sites.append(far.argmin(axis=1))
    return Symmetric(prototype, int(found.number), np.array(turns), np.array(sites))


def decorated(known: Symmetric, count: int, seed: int) -> Iterator[Structure]:
    """So many crystals of this prototype's space group: random elements, volume, strain and free positions.

    Elements that were different stay different, so that the symmetry cannot grow by them; what is averaged over all
    operations cannot take any away.
    """
    rng = np.random.default_rng([seed, known.space_group, *known.prototype.name.encode()])
    base = known.prototype.structure
    species = sorted({site.specie.Z for site in base})
    matrix = np.array(base.lattice.matrix)
    for _ in range(count):
        chosen = dict(zip(species, rng.choice(COMMON, len(species), replace=False), strict=True))
        strain = rng.normal(0, STRAIN, (3, 3))
        even = np.mean([_turned(strain + strain.T, turn, matrix) for turn in known.turns], axis=0)
        pushes = rng.normal(0, SHIFT, (len(base), 3)) @ np.linalg.inv(matrix)
        free = np.mean(
            [pushes[sites] @ np.linalg.inv(turn).T for turn, sites in zip(known.turns, known.sites, strict=True)],
            axis=0,
        )
        lattice = Lattice(matrix @ (np.eye(3) + even / 2))
        numbers = [SYMBOLS[int(chosen[site.specie.Z])] for site in base]
        structure = at_likely_volume(Structure(lattice, numbers, base.frac_coords + free))
        structure.scale_lattice(structure.volume * float(np.exp(rng.normal(0, VOLUME))))
        yield structure


def _turned(strain: np.ndarray, turn: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A strain of Cartesian axes after an operation on fractional coordinates."""
    rotation = matrix.T @ turn @ np.linalg.inv(matrix.T)
    return np.asarray(rotation @ strain @ rotation.T)


@dataclass(frozen=True)
class PowderSet:
    """Powder patterns of generated crystals.

    Attributes
    ----------
    patterns : (N, 1601) float16, the highest point 1, as `powder.powder_vector` makes them
    groups : (N,) int64, numbers of their space groups
    prototypes : (N,) int64, which prototype each was made from
    """

    patterns: np.ndarray
    groups: np.ndarray
    prototypes: np.ndarray


def powder_set(count: int, seed: int, report: Callable[[int, int], None] = lambda _a, _b: None) -> PowderSet:
    """So many crystals of each of AFLOW's prototypes; `report` is called with prototypes done and in all."""
    known = [symmetric(one) for one in aflow()]
    patterns, groups, prototypes = [], [], []
    for number, one in enumerate(known):
        for structure in decorated(one, count, seed):
            vector = powder_vector(structure)
            if vector.any():  # else nothing reflects within the angles
                patterns.append(vector.astype(np.float16))
                groups.append(one.space_group)
                prototypes.append(number)
        report(number + 1, len(known))
    return PowderSet(np.array(patterns), np.array(groups, np.int64), np.array(prototypes, np.int64))


def held_out_prototypes(found: PowderSet, seed: int) -> np.ndarray:
    """Numbers of prototypes to learn nothing from: one in four of each space group that has two or more."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for group in np.unique(found.groups):
        own = np.unique(found.prototypes[found.groups == group])
        if len(own) > 1:
            chosen += rng.choice(own, max(1, len(own) // 4), replace=False).tolist()
    return np.array(sorted(chosen), np.int64)
