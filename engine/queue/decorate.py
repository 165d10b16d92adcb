"""Structures for a composition: its elements on the sites of prototypes, in every way that is not the same again.

The thesis (Jha 2020, 3.3.9) found NaY2F7 so: crystal structures of known compounds of like stoichiometry, elements
exchanged. Which exchanges are likely is what Hautier et al., Inorg. Chem. 50, 656 (2011), mined from known compounds.
"""

import functools
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element, Lattice, Species, Structure
from pymatgen.core.molecule_structure_comparator import CovalentRadius
from pymatgen.core.structure_matcher import StructureMatcher
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from matscreen.engine.chemistry import common_states
from matscreen.engine.queue.prototypes import Prototype
from matscreen.kernels.charge_balance import oxidation_states
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import parse_formula

MOST_WAYS = 240
"""Decorations of one prototype that are looked at; of the few with more, the first in a fixed order."""

MOST_ORBITS = 10
"""Prototypes with more sets of equivalent sites are decorated by what took the sites before, not split further."""

MOST_BUILT = 200
"""Structures of one composition that are built, the likeliest; most others are too dense."""

SHELL = 1.2
"""Up to how much further than an atom's nearest neighbour another counts as near."""

SHORTEST = 0.75
"""Of the sum of two atoms' covalent radii: structures in which any come nearer are left out."""


@dataclass(frozen=True)
class Proposal:
    """A structure for a composition.

    Attributes
    ----------
    structure : scaled to the volume that its elements suggest
    prototype : what it was decorated from
    parent : formula of that
    likelihood : of exchanging the parent's ions for these, given the parent's; None where either has no usual ions
    unlikeness : Σ |difference of Mendeleev numbers| of what was exchanged, an atom; ranks where there is no likelihood
    above_hull_ev_atom : of the relaxed structure by a potential, see `relax`; None where that was not asked
    """

    structure: Structure
    prototype: str
    parent: str
    likelihood: float | None
    unlikeness: float
    above_hull_ev_atom: float | None = None


def proposals(formula: str, prototypes: Iterable[Prototype], most: int) -> list[Proposal]:
    """The `most` likeliest structures of a composition, no two of them the same crystal (`StructureMatcher`).

    A prototype is decorated wherever sets of its symmetry-equivalent sites can be shared out among the elements with
    the right amounts: whole sublattices exchanged, or one split between two elements. Empty where no prototype fits, or
    none of the `MOST_BUILT` likeliest leaves room for the atoms.
    """
    amounts = {z: round(n) for z, n in parse_formula(formula).items()}
    found = [
        _ranked(known, way, amounts)
        for known in prototypes
        for way in itertools.islice(_ways(known, amounts), MOST_WAYS)
    ]
    found.sort(key=lambda ranked: ranked.order)
    matcher = StructureMatcher(primitive_cell=True, attempt_supercell=False)
    kept: list[Proposal] = []
    for one in found[:MOST_BUILT]:
        if len(kept) == most:
            break
        known = one.known.structure
        scaled = at_likely_volume(Structure(known.lattice, [SYMBOLS[z] for z in one.numbers], known.frac_coords))
        if _far_enough(scaled) and not any(matcher.fit(scaled, other.structure) for other in kept):
            parent = known.composition.reduced_formula
            kept.append(Proposal(scaled, one.known.name, parent, one.likelihood, one.unlikeness))
    return kept


@dataclass(frozen=True)
class _Ranked:
    """A decoration that is not built yet: the atomic number of every site, and what `Proposal` says of it."""

    known: Prototype
    numbers: tuple[int, ...]
    likelihood: float | None
    unlikeness: float

    @property
    def order(self) -> tuple[bool, float, float, int, str, tuple[int, ...]]:
        """Sorts the likelier first; then small cells."""
        likelihood = 0.0 if self.likelihood is None else -self.likelihood
        return self.likelihood is None, likelihood, self.unlikeness, len(self.numbers), self.known.name, self.numbers


def _ways(known: Prototype, amounts: dict[int, int]) -> Iterator[tuple[int, ...]]:
    """Atomic number for each site, for every way to share the sets of sites out with the right amounts."""
    before = np.array([site.specie.Z for site in known.structure])
    sets = known.orbits if known.orbits.max() < MOST_ORBITS else np.unique(before, return_inverse=True)[1]
    sizes, unit = np.bincount(sets).tolist(), sum(amounts.values())
    if len(sets) % unit or len(amounts) > len(sizes):
        return
    left = {z: n * len(sets) // unit for z, n in sorted(amounts.items())}
    chosen: list[int] = []

    def extend() -> Iterator[tuple[int, ...]]:
        if len(chosen) == len(sizes):
            yield tuple(np.array(chosen)[sets].tolist())
            return
        size = sizes[len(chosen)]
        for z in left:
            if left[z] >= size:
                left[z] -= size
                chosen.append(z)
                yield from extend()
                chosen.pop()
                left[z] += size

    yield from extend()


def _ranked(known: Prototype, numbers: tuple[int, ...], amounts: dict[int, int]) -> _Ranked:
    before = tuple(site.specie.Z for site in known.structure)
    exchanged = tuple(sorted(set(zip(before, numbers, strict=True))))
    states, states_before = usual_states(tuple(amounts.items())), usual_states(_amounts(before))
    likelihood = None
    if states and states_before:
        given = tuple((a, states_before[a]) for a, _ in exchanged)
        likelihood = _likelihood(given, tuple((b, states[b]) for _, b in exchanged))
    apart = [abs(_mendeleev(a) - _mendeleev(b)) for a, b in zip(before, numbers, strict=True)]
    return _Ranked(known, numbers, likelihood, float(np.mean(apart)))


@functools.lru_cache(maxsize=100_000)
def _likelihood(given: tuple[tuple[int, int], ...], taken: tuple[tuple[int, int], ...]) -> float | None:
    """Of ions (atomic number, oxidation state) being exchanged for others, given them; None for ions never mined."""
    first, second = ([Species(SYMBOLS[z], q) for z, q in ions] for ions in (given, taken))
    try:
        return float(_substitution().cond_prob_list(first, second))
    except ZeroDivisionError:
        return None


@functools.lru_cache(maxsize=10_000)
def usual_states(amounts: tuple[tuple[int, int], ...]) -> dict[int, int] | None:
    """{atomic number: oxidation state}, the most usual that balance; None if none do.

    amounts : (atomic number, atoms) by rising atomic number
    """
    numbers, counts = zip(*amounts, strict=True)
    chosen, neutral, _ = oxidation_states(np.array([numbers], np.uint8), np.array([counts], np.int64), *common_states())
    return dict(zip(numbers, chosen[0].tolist(), strict=True)) if neutral[0] else None


def _amounts(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(atomic number, atoms of the reduced formula) of sites."""
    counts = {z: numbers.count(z) for z in sorted(set(numbers))}
    unit = math.gcd(*counts.values())
    return tuple((z, n // unit) for z, n in counts.items())


def at_likely_volume(structure: Structure) -> Structure:
    """The structure at a volume that its elements suggest.

    Where every element has an oxidation state other than 0 and an ionic radius (Shannon), ions touch their neighbours
    of opposite charge: those distances are on average the sums of their radii. Else, in metals, covalent and mixed
    valence compounds, distances are those of bonds in known compounds (pymatgen's data-mined lattice scheme).
    """
    numbers = [site.specie.Z for site in structure]
    states = usual_states(_amounts(numbers)) or {}
    ions = {z: _ionic_radius(z, states.get(z, 0)) for z in set(numbers)}
    scaled: Structure = structure.copy()
    if all(ions.values()):
        charges = np.array([states[z] for z in numbers])
        scale = _contact(structure, np.array([ions[z] for z in numbers]), charges)
        scaled.lattice = Lattice(structure.lattice.matrix / scale)
        return scaled
    scaled.lattice = Lattice(structure.lattice.matrix / _contact(structure, _atomic_radii(numbers)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            volume = float(DLSVolumePredictor(min_scaling=None, max_scaling=None).predict(scaled))
        except Exception:  # it raises many kinds where it has no data; atoms that touch are what is left then
            return scaled
    if math.isfinite(volume) and 0.2 < volume / scaled.volume < 5:
        scaled.lattice = Lattice(scaled.lattice.matrix * (volume / scaled.volume) ** (1 / 3))
    return scaled


def _contact(structure: Structure, radii: np.ndarray, charges: np.ndarray | None = None) -> float:
    """Distances over sums of radii, averaged over each atom's nearest: of opposite charge if there are charges.

    An atom's nearest are those up to `SHELL` times as far as the very nearest.
    """
    reach = 2.5 * float(radii.max())
    for _ in range(8):
        first, second, _, distances = structure.get_neighbor_list(reach)
        counted = np.ones(len(first), bool) if charges is None else charges[first] * charges[second] < 0
        first, ratios = first[counted], (distances / (radii[first] + radii[second]))[counted]
        least = np.full(len(radii), np.inf)
        np.minimum.at(least, first, ratios)
        if np.isfinite(least).all() and SHELL * (least * 2 * radii).max() <= reach:
            break
        reach *= 1.5
    return float(ratios[ratios <= SHELL * least[first]].mean()) if len(ratios) else 1.0


def _far_enough(structure: Structure) -> bool:
    """Whether no two atoms are nearer than `SHORTEST` times the sum of their covalent radii."""
    radii = np.array([_covalent_radius(site.specie.symbol) for site in structure])
    first, second, _, distances = structure.get_neighbor_list(2 * float(radii.max()))
    return bool((distances >= SHORTEST * (radii[first] + radii[second])).all())


@functools.cache
def _ionic_radius(z: int, state: int) -> float | None:
    """Å; None for state 0 and where none is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Element.from_Z(z).ionic_radii.get(state) if state else None


def _atomic_radii(numbers: Sequence[int]) -> np.ndarray:
    """Å; 1.5 where none is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = {z: Element.from_Z(z) for z in set(numbers)}
        radii = {z: float(e.atomic_radius or e.atomic_radius_calculated or 1.5) for z, e in known.items()}
    return np.array([radii[z] for z in numbers])


def _covalent_radius(symbol: str) -> float:
    """Å, of Cordero et al., Dalton Trans. 2832 (2008); 1.5 where it has none."""
    return float(CovalentRadius.radius.get(symbol, 1.5))


@functools.cache
def _substitution() -> SubstitutionProbability:
    return SubstitutionProbability()


@functools.cache
def _mendeleev(z: int) -> float:
    return float(Element.from_Z(z).mendeleev_no)
