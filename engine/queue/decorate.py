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

MOST_BUILT = 40
"""Structures of one composition that are built and compared, the likeliest; most others are alike or too dense."""

SHELL = 1.2
"""Up to how much further than an atom's nearest neighbour another counts as near."""

SHORTEST = 0.7
"""Of the sum of two atoms' radii: structures in which any come nearer are left out."""


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
    """

    structure: Structure
    prototype: str
    parent: str
    likelihood: float | None
    unlikeness: float


def proposals(formula: str, prototypes: Iterable[Prototype], most: int) -> list[Proposal]:
    """The `most` likeliest structures of a composition, no two of them the same crystal (`StructureMatcher`).

    A prototype is decorated wherever sets of its symmetry-equivalent sites can be shared out among the elements with
    the right amounts: whole sublattices exchanged, or one split between two elements. Empty where no prototype fits.
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
        decorated = Structure(known.lattice, [SYMBOLS[z] for z in one.numbers], known.frac_coords)
        if any(matcher.fit(decorated, other.structure) for other in kept):
            continue
        scaled = at_likely_volume(decorated)
        if _far_enough(scaled):
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
    states, states_before = _states(tuple(sorted(amounts.items()))), _states(tuple(sorted(_amounts(before).items())))
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
def _states(amounts: tuple[tuple[int, int], ...]) -> dict[int, int] | None:
    return usual_states(dict(amounts))


def usual_states(amounts: dict[int, int]) -> dict[int, int] | None:
    """{atomic number: oxidation state}, the most usual that balance; None if none do."""
    elements = np.array([sorted(amounts)], np.uint8)
    counts = np.array([[amounts[z] for z in sorted(amounts)]], np.int64)
    chosen, neutral, _ = oxidation_states(elements, counts, *common_states())
    return dict(zip(sorted(amounts), chosen[0].tolist(), strict=True)) if neutral[0] else None


def _amounts(numbers: Sequence[int]) -> dict[int, int]:
    counts = {z: numbers.count(z) for z in sorted(set(numbers))}
    unit = math.gcd(*counts.values())
    return {z: n // unit for z, n in counts.items()}


def at_likely_volume(structure: Structure) -> Structure:
    """The structure at a volume that its elements suggest.

    With oxidation states that balance, ions touch their neighbours of opposite charge: those distances are on average
    the sums of their ionic radii (Shannon). Else, in metals, what bonds of known compounds suggest (pymatgen's
    data-mined lattice scheme), or where that knows none, atoms touch.
    """
    states = usual_states(_amounts([site.specie.Z for site in structure]))
    scale = _contact(structure, states or {})
    volume = structure.volume / scale**3
    if not states:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                mined = float(DLSVolumePredictor().predict(structure))
            except Exception:  # it raises many kinds where it has no data
                mined = math.nan
        if math.isfinite(mined) and 0.5 < mined / volume < 2:
            volume = mined
    scaled: Structure = structure.copy()
    scaled.lattice = Lattice(structure.lattice.matrix * (volume / structure.volume) ** (1 / 3))
    return scaled


def _contact(structure: Structure, states: dict[int, int]) -> float:
    """Distances over sums of radii, averaged over each atom's nearest: of opposite charge if there are charges.

    An atom's nearest are those up to `SHELL` times as far as the very nearest.
    """
    numbers = [site.specie.Z for site in structure]
    charges = np.array([states.get(z, 0) for z in numbers])
    radii = np.array([radius(z, states.get(z)) for z in numbers])
    reach = 2.5 * float(radii.max())
    while True:
        first, second, _, distances = structure.get_neighbor_list(reach)
        counted = charges[first] * charges[second] < 0 if states else np.ones(len(first), bool)
        first, ratios = first[counted], (distances / (radii[first] + radii[second]))[counted]
        least = np.full(len(numbers), np.inf)
        np.minimum.at(least, first, ratios)
        if np.isfinite(least).all() and SHELL * (least * 2 * radii).max() <= reach:
            return float(ratios[ratios <= SHELL * least[first]].mean())
        reach *= 1.5


def _far_enough(structure: Structure) -> bool:
    states = usual_states(_amounts([site.specie.Z for site in structure])) or {}
    radii = np.array([radius(site.specie.Z, states.get(site.specie.Z)) for site in structure])
    first, second, _, distances = structure.get_neighbor_list(2 * float(radii.max()))
    return bool((distances >= SHORTEST * (radii[first] + radii[second])).all())


@functools.cache
def radius(z: int, state: int | None = None) -> float:
    """Å: ionic where a state is given and its radius known, else atomic, else 1.5."""
    element = Element.from_Z(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ionic = element.ionic_radii.get(state) if state else None
        known = ionic or element.atomic_radius or element.atomic_radius_calculated
    return float(known) if known else 1.5


@functools.cache
def _substitution() -> SubstitutionProbability:
    return SubstitutionProbability()


@functools.cache
def _mendeleev(z: int) -> float:
    return float(Element.from_Z(z).mendeleev_no)
