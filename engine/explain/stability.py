"""In which direction predicted stability improves, and by how much before the uncertainty swallows it."""

from dataclasses import dataclass

import numpy as np

from matscreen.engine.reference import PhaseTable
from matscreen.kernels import hull
from matscreen.models import Model, gradients
from matscreen.models.elements import SYMBOLS
from matscreen.models.encoding import stoichiometries
from matscreen.models.errors import InputError
from matscreen.models.formula import format_formula, parse_formula

NEAR = 1e-5
"""Of the slope of the hull, in fractions of atoms: it is flat over much more."""

FLAT = 1e-3
"""eV/atom; slopes of a flat facet, each times its fraction, add up to less."""

BESIDE = 0.0031
"""Of an exchange too small to matter but for what jumps, in fractions of atoms, and no simple proportion."""

STEPS = np.arange(1, 11) / 100
"""Fractions of atoms that are exchanged."""

MOST = 0.5
"""Of an element's atoms: what takes more is another compound."""


@dataclass(frozen=True)
class Slope:
    """How energies change as atoms of the composition become this element.

    Attributes
    ----------
    element : its symbol
    fraction : of atoms that it is now
    energy, uncertainty : slope of the predicted formation energy, eV/atom for all atoms, and the standard deviation of
        it over the members, scaled as `Model.uncertain_energies`; NaN of a single network
    hull : the same of the hull of known phases
    distance : energy − hull; negative where more of it is predicted to be more stable
    """

    element: str
    fraction: float
    energy: float
    uncertainty: float
    hull: float

    @property
    def distance(self) -> float:
        """eV/atom for all atoms."""
        return self.energy - self.hull


@dataclass(frozen=True)
class Way:
    """What happens on the way in one direction.

    Attributes
    ----------
    direction : for people: `steepest`, or `Li → Na`
    moved : (S,) fractions of atoms that have been exchanged
    change, uncertainty : (S,) eV/atom: of the hull distance since the start, and what 68% of its errors stay below if
        it errs as energies do (NaN of a single network)
    fractions : (S, K) of atoms
    elements : (K,) uint8, atomic numbers
    """

    direction: str
    moved: np.ndarray
    change: np.ndarray
    uncertainty: np.ndarray
    elements: np.ndarray
    fractions: np.ndarray

    @property
    def gain(self) -> np.ndarray:
        """(S,) eV/atom: by how much the distance falls, less the uncertainty."""
        left: np.ndarray = -self.change - np.nan_to_num(self.uncertainty)
        return left

    @property
    def best(self) -> int:
        """Step of the largest gain."""
        return int(np.argmax(self.gain))

    @property
    def stretch(self) -> tuple[float, float] | None:
        """Fractions of atoms, about the best step, between which the change is larger than its uncertainty.

        None where it is not, and of a single network, whose uncertainty nobody knows.
        """
        if not self.gain[self.best] > 0 or np.isnan(self.uncertainty).any():
            return None
        doubtful = np.flatnonzero(self.gain <= 0)
        first = doubtful[doubtful < self.best].max(initial=-1) + 1
        last = doubtful[doubtful > self.best].min(initial=len(self.gain)) - 1
        return float(self.moved[first]), float(self.moved[last])

    def formula(self, step: int, atoms: float) -> str:
        """The composition at a step, of so many atoms, or of ten if that is a strange number."""
        amounts = np.round(self.fractions[step] * (atoms if 1 <= atoms <= 1000 else 10), 3)
        there = amounts > 0
        return format_formula(self.elements[there].tolist(), amounts[there].tolist())


@dataclass(frozen=True)
class Explanation:
    """What `explain` finds of a composition.

    Attributes
    ----------
    formula : as given
    atoms : in it
    energy, uncertainty, hull : eV/atom; the uncertainty is NaN of a single network
    jump : eV/atom by which the prediction differs a little beside the composition, more than its slopes explain: to a
        network of attributes oxidation states balance here, and there no longer
    stoichiometry : eV/atom by which the prediction differs from that of an unknown stoichiometry; 0 where it is unknown
    edge : whether the hull has one here, as at a known phase: its slopes are then those of going there
    slopes : towards each of its elements, by rising atomic number
    within : the best way that exchanges elements that are there
    foreign : ways that bring in one that is not, one for each such element, the best first
    """

    formula: str
    atoms: float
    energy: float
    uncertainty: float
    hull: float
    jump: float
    stoichiometry: float
    edge: bool
    slopes: tuple[Slope, ...]
    within: Way | None
    foreign: tuple[Way, ...]


def explain(formula: str, model: Model, phases: PhaseTable) -> Explanation:
    """Which way the predicted stability of a composition improves.

    Slopes are of the composition as it is, and do not see what jumps: to a network of attributes, whether oxidation
    states balance. The stoichiometry stays, as a compound that is doped keeps its structure. Ways exchange up to a
    tenth of the atoms and half of those of any element, and everything on them is predicted and compared with the hull
    anew: within the composition's elements along the steepest direction and from every element to every other; and to
    every other element that the model and the phases know, from whichever is best replaced. Elements that come in
    change what the network sees at once, which has no slope.

    Raises
    ------
    InputError
        A formula that cannot be read, an element that the model does not know, or too many for a hull.
    """
    amounts = parse_formula(formula)
    if len(amounts) >= hull.MAX_ELEMENTS:
        raise InputError(f"{formula}: more than {hull.MAX_ELEMENTS - 1} elements")
    elements = np.array([list(amounts)], np.uint8)
    atoms = float(sum(amounts.values()))
    fractions = np.array([list(amounts.values())]) / atoms
    unaware = _members(model.of_stoichiometry(), elements, fractions)[:, 0]
    model = model.of_stoichiometry(int(stoichiometries(elements, fractions)[0]))
    members = _members(model, elements, fractions)[:, 0]
    at_hull = float(hull.hull_energies(elements, fractions, phases.index)[0])
    towards = _slopes(model, phases, elements, fractions)
    within: list[Way] = []
    if len(amounts) > 1:
        within = [
            _walk(model, phases, "steepest", elements[0], fractions[0], _steepest(towards)),
            *(_exchanges(model, phases, elements[0], fractions[0], elements[0])),
        ]
    known = sorted((set(model.elements.tolist()) & phases.elements) - set(amounts))
    foreign: dict[int, Way] = {}
    for path in _exchanges(model, phases, elements[0], fractions[0], np.array(known, np.uint8)):
        added = int(path.elements[np.argmax(~np.isin(path.elements, elements[0]))])
        if added not in foreign or path.gain.max() > foreign[added].gain.max():
            foreign[added] = path
    return Explanation(
        formula,
        atoms,
        float(members.mean()),
        _spread(model, members[:, None])[0],
        at_hull,
        _jump(model, elements, fractions, towards),
        float(members.mean() - unaware.mean()),
        abs(sum(slope.fraction * slope.hull for slope in towards)) > FLAT,
        towards,
        max(within, key=lambda path: float(path.gain.max()), default=None),
        tuple(sorted(foreign.values(), key=lambda path: -float(path.gain.max()))),
    )


def _members(model: Model, elements: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """(members, N) float64, eV/atom."""
    if model.target.energy is None:
        raise InputError(f"{model.name} predicts {model.target}, not formation energies")
    return model.outputs(elements, fractions)[:, :, model.target.energy].astype(np.float64)


def _spread(model: Model, members: np.ndarray) -> np.ndarray:
    """(N,) of (members, N): the scaled standard deviation, NaN of a single network."""
    if len(members) < 2:
        return np.full(members.shape[1], np.nan)
    spread: np.ndarray = model.uncertainty_scale * members.std(axis=0, ddof=1)
    return spread


def slopes(
    model: Model, phases: PhaseTable, elements: np.ndarray, fractions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of predicted energies (members, N, K), see `models.gradients`, and of the hull (N, K), eV/atom.

    elements (N, K) uint8, by rising value with empty places last; fractions (N, K) float64, 0 in empty places. At a
    known phase the hull has an edge: its slope towards each element is that of going there.
    """
    found = gradients.slopes(model, elements, fractions, model.target.energy or 0).astype(np.float64)
    count, width = elements.shape
    around = np.repeat(fractions[:, None], width + 1, axis=1)
    around[:, 1:] += NEAR * (np.eye(width) - fractions[:, None])
    listed = np.repeat(elements[:, None], width + 1, axis=1)
    around = np.where(listed > 0, around, 0)
    flat = listed.reshape(-1, width), around.reshape(-1, width)
    energy = hull.hull_energies(*flat, phases.index).reshape(count, width + 1)
    return found, np.where(elements > 0, (energy[:, 1:] - energy[:, :1]) / NEAR, 0)


def _slopes(model: Model, phases: PhaseTable, elements: np.ndarray, fractions: np.ndarray) -> tuple[Slope, ...]:
    found, of_hull = slopes(model, phases, elements, fractions)
    spread = _spread(model, found[:, 0])
    columns = (fractions[0], found[:, 0].mean(axis=0), spread, of_hull[0])
    return tuple(
        Slope(SYMBOLS[z], *numbers)
        for z, *numbers in zip(elements[0].tolist(), *(column.tolist() for column in columns), strict=True)
    )


def _jump(model: Model, elements: np.ndarray, fractions: np.ndarray, towards: tuple[Slope, ...]) -> float:
    """Of the prediction, from the composition to one beside it, less what the slopes make of that."""
    if len(towards) < 2:
        return 0.0
    way = BESIDE * (np.eye(len(towards))[0] - fractions[0])
    both = np.vstack([fractions, fractions + way])
    here, beside = _members(model, np.repeat(elements, 2, axis=0), both).mean(axis=0)
    return float(beside - here - BESIDE * towards[0].energy)


def _steepest(slopes: tuple[Slope, ...]) -> np.ndarray:
    """(K,) the direction in which the distance falls most steeply; along it one atom in all is exchanged."""
    rising = np.array([slope.distance for slope in slopes])
    falling = rising.mean() - rising
    direction: np.ndarray = falling / max(np.abs(falling).sum() / 2, 1e-12)
    return direction


def _exchanges(
    model: Model, phases: PhaseTable, elements: np.ndarray, fractions: np.ndarray, added: np.ndarray
) -> list[Way]:
    """Paths from every element to each of `added`, all of them predicted at once."""
    pairs = [(a, int(b)) for a in range(len(elements)) for b in added if b != elements[a]]
    ways = []
    for a, b in pairs:
        union = np.array(sorted({*elements.tolist(), b}), np.uint8)
        start = np.zeros(len(union))
        start[np.searchsorted(union, elements)] = fractions
        direction = np.zeros(len(union))
        direction[np.searchsorted(union, b)] = 1
        direction[np.searchsorted(union, elements[a])] = -1
        ways.append((f"{SYMBOLS[elements[a]]} → {SYMBOLS[b]}", union, start, direction))
    return _walked(model, phases, ways)


def _walk(
    model: Model, phases: PhaseTable, name: str, elements: np.ndarray, fractions: np.ndarray, direction: np.ndarray
) -> Way:
    return _walked(model, phases, [(name, elements, fractions, direction)])[0]


def _walked(model: Model, phases: PhaseTable, ways: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> list[Way]:
    """Paths in these directions: (name, elements, start, direction) each. None of them uses an element up."""
    trodden = []
    for name, elements, start, direction in ways:
        room = MOST * np.min(start[direction < 0] / -direction[direction < 0], initial=np.inf)
        moved = STEPS[room + 1e-9 > STEPS]
        moved = moved if len(moved) else np.array([room])
        trodden.append((name, elements, moved, np.vstack([start, start + moved[:, None] * direction])))
    if not trodden:
        return []
    width = max(len(elements) for _, elements, _, _ in trodden)
    rows = [len(places) for _, _, _, places in trodden]
    all_elements, all_fractions = np.zeros((sum(rows), width), np.uint8), np.zeros((sum(rows), width))
    at = np.cumsum([0, *rows])
    for (_, elements, _, places), first, last in zip(trodden, at, at[1:], strict=False):
        all_elements[first:last, : len(elements)] = np.where(places > 0, elements, 0)
        all_fractions[first:last, : len(elements)] = places
    energies = _members(model, all_elements, all_fractions)
    of_hull = hull.hull_energies(*_packed(all_elements, all_fractions), phases.index)
    paths = []
    for (name, elements, moved, places), first, last in zip(trodden, at, at[1:], strict=False):
        rise = energies[:, first + 1 : last] - energies[:, first : first + 1]
        change = rise.mean(axis=0) - (of_hull[first + 1 : last] - of_hull[first])
        paths.append(Way(name, moved, change, _spread(model, rise), elements, places[1:]))
    return paths


def _packed(elements: np.ndarray, fractions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with empty places last, as hulls want them."""
    order = np.argsort(elements == 0, axis=1, kind="stable")
    return np.take_along_axis(elements, order, axis=1), np.take_along_axis(fractions, order, axis=1)
