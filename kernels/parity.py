"""Every kernel on every backend that this machine has, against its own definition: is it right here?"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from matscreen.kernels import (
    charge_balance,
    composition_distance,
    diffraction_rings,
    disorientation,
    embedding,
    enumeration,
    features,
    filters2d,
    hull,
    master_pattern,
    mlp,
    pattern_matching,
    powder_pattern,
    systems,
)
from matscreen.kernels.backend import Backend, gpu_here, resolve

Result = np.ndarray
Run = Callable[[Backend], Result]


@dataclass(frozen=True)
class Parity:
    """How far one backend of one kernel is from the definition.

    Attributes
    ----------
    difference : largest, relative to the largest value of the definition
    tolerance : what it may be
    seconds : of the second call; of a backend, not of a benchmark
    runs : whether this is the backend that `auto` takes here
    """

    kernel: str
    backend: Backend
    difference: float
    tolerance: float
    seconds: float
    runs: bool = True

    @property
    def holds(self) -> bool:
        """Whether the backend is right."""
        return self.difference <= self.tolerance  # which NaN is not


def checks(seed: int = 0) -> Iterator[Parity]:
    """Each kernel on each backend, some thousand random inputs; less in Triton's interpreter."""
    here = gpu_here()
    rng = np.random.default_rng(seed)
    small = here == "interpreter"
    for name, on_gpu, tolerance, run in (
        ("enumeration", False, 0.0, _enumeration(rng)),
        ("charge_balance", False, 0.0, _charge_balance(rng)),
        ("composition_distance", False, 1e-9, _composition_distance(rng)),
        ("systems", False, 0.0, _systems(rng)),
        ("features", True, 1e-6, _features(rng, 16 if small else 500)),
        ("embedding", True, 1e-5, _embedding(rng, 40 if small else 1000)),
        ("hull", False, 1e-9, _hull(rng)),
        ("mlp", True, 1e-5, _mlp(rng, 64 if small else 2000)),
        ("mlp embedded", True, 1e-5, _mlp_embedded(rng, 40 if small else 2000)),
        ("disorientation", True, 1e-10, _disorientation(rng)),
        ("master_pattern", True, 1e-3, _master_pattern(rng, 2 if small else 60)),
        ("powder_pattern", False, 1e-9, _powder_pattern(rng)),
        ("diffraction_rings", False, 1e-6, _diffraction_rings(rng)),
        ("pattern_matching", True, 1e-5, _pattern_matching(rng)),
        ("filters2d minimum", True, 0.0, _filter(rng, filters2d.minimum_filter, small)),
        ("filters2d maximum", True, 0.0, _filter(rng, filters2d.maximum_filter, small)),
        ("filters2d mean", True, 1e-6, _filter(rng, filters2d.mean_filter, small)),
        ("filters2d slopes", True, 1e-6, _filter(rng, filters2d.slope_filters, small)),
    ):
        expected = run("reference").astype(np.float64)
        backends: tuple[Backend, ...] = ("cpu", "gpu") if on_gpu and here else ("cpu",)
        for backend in backends:
            run(backend)
            started = time.perf_counter()
            found = run(backend)
            seconds = time.perf_counter() - started
            difference = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300))
            yield Parity(
                name,
                backend,
                difference,
                tolerance,
                seconds,
                backend == resolve("auto", name.partition(" ")[0], on_gpu),
            )


def _compositions(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Elements by atomic number and amounts, (N, 4) uint8, of random quaternaries of the common elements."""
    free = np.array([z for z in range(1, 84) if z not in (2, 10, 18, 36, 54, 61)], np.uint8)
    ratios = enumeration.ratio_table(4, 10)
    size = enumeration.block_size(len(free), 0, 4, len(ratios))
    return enumeration.unrank_each(np.sort(rng.integers(0, size, count)), free, free[:0], ratios, 4)


def _enumeration(rng: np.random.Generator) -> Run:
    free, ratios = np.arange(1, 87, dtype=np.uint8), enumeration.ratio_table(4, 10)
    ranks = rng.integers(0, enumeration.block_size(86, 0, 4, len(ratios)), 2000)
    return lambda backend: np.concatenate(
        enumeration.unrank_each(ranks, free, free[:0], ratios, 4, backend=backend), axis=1
    )


def _charge_balance(rng: np.random.Generator) -> Run:
    elements, amounts = _compositions(rng, 500)
    first = np.concatenate([[0], np.cumsum(rng.integers(0, 4, 127))])
    states = rng.integers(-4, 8, first[-1]).astype(np.int8)
    weights, electronegativities = rng.random(first[-1]), rng.uniform(0.7, 4, 127)
    given = elements, amounts, first, states
    return lambda backend: np.column_stack(
        [
            charge_balance.charge_neutral(*given, backend=backend),
            *charge_balance.oxidation_states(*given, weights, electronegativities, backend=backend),
        ]
    )


def _composition_distance(rng: np.random.Generator) -> Run:
    elements, amounts = _compositions(rng, 500)
    known, atoms = _compositions(rng, 2000)
    phases = composition_distance.postings(known, atoms / atoms.sum(axis=1, keepdims=True))
    return lambda backend: np.column_stack(
        [
            *composition_distance.nearest_phase(elements, amounts, phases, backend=backend),
            composition_distance.diverse(elements, amounts, 0.25, backend=backend),
        ]
    )


def _systems(rng: np.random.Generator) -> Run:
    elements, amounts = _compositions(rng, 500)
    for row in range(0, 500, 3):  # fewer elements, too
        elements[row, 1 + row % 3 :] = amounts[row, 1 + row % 3 :] = 0
    ratios, order, values = enumeration.ratio_table(4, 9), rng.permutation(256), rng.random((5, 256))

    def run(backend: Backend) -> Result:
        found, system, ratio = systems.by_system(elements, amounts, ratios, order, backend)
        return np.column_stack([found[system], system, ratio, systems.least(elements, values, backend)])

    return run


def _features(rng: np.random.Generator, count: int) -> Run:
    elements, amounts = _compositions(rng, count)
    return lambda backend: features.composition_features(elements, amounts, backend=backend)


def _tables(rng: np.random.Generator) -> embedding.Tables:
    order, some = rng.permutation(86), _sparse(rng, 300)
    known = np.unique(embedding.stoichiometry_keys(*some, order, "reference"))
    left, right, linear, root, presence = rng.normal(size=(5, 86, 32))
    learned = left, right, linear, rng.normal(size=32), root, presence, rng.normal(size=(len(known) + 1, 32))
    return embedding.checked(embedding.Tables(*learned, known, order))


def _embedding(rng: np.random.Generator, count: int) -> Run:
    learned, (places, fractions) = _tables(rng), _sparse(rng, count)
    return lambda backend: embedding.embed(places, fractions, learned, backend=backend)


def _sparse(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    places = np.argsort(rng.random((count, 86)), axis=1)[:, :4]
    amounts = rng.integers(0, 5, (count, 4)) + np.eye(4)[0]
    return places, (amounts / amounts.sum(axis=1, keepdims=True)).astype(np.float32)


def _hull(rng: np.random.Generator) -> Run:
    phases, energies = rng.dirichlet(np.ones(3), 12), rng.uniform(-2, 0.2, 12)
    points = rng.dirichlet(np.ones(3), 300)
    return lambda backend: hull.hull_energy(points, phases, energies, backend=backend)


def _mlp(rng: np.random.Generator, count: int) -> Run:
    widths = (86, 256, 256, 128, 64, 1)
    layers = mlp.pack((rng.normal(size=(o, i)) * np.sqrt(2 / i), rng.normal(size=o) * 0.1) for i, o in pairwise(widths))
    places, fractions = _sparse(rng, count)
    return lambda backend: mlp.forward(places, fractions, layers, backend=backend)


def _mlp_embedded(rng: np.random.Generator, count: int) -> Run:
    tables, beside = _tables(rng), rng.normal(size=(count, 5))
    widths = (tables.width + 5, 64, 32, 1)
    layers = mlp.pack((rng.normal(size=(o, i)) * np.sqrt(2 / i), rng.normal(size=o) * 0.1) for i, o in pairwise(widths))
    network, given = mlp.absorb(tables, layers), _sparse(rng, count)
    return lambda backend: mlp.forward_embedded(*given, beside, network, backend=backend)


def _disorientation(rng: np.random.Generator) -> Run:
    q = rng.normal(size=(2, 60, 4))  # the definition takes 1,152 rotations a pair
    q /= np.linalg.norm(q, axis=2, keepdims=True)
    return lambda backend: disorientation.disorientation_angle(q[0], q[1], backend=backend)


def _master_pattern(rng: np.random.Generator, count: int) -> Run:
    q = rng.normal(size=(count, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    given = rng.random((2, 201, 201)).astype(np.float32), q, np.array([0.5, 0.3, 0.6]), (20, 24), np.eye(3)
    return lambda backend: master_pattern.project_patterns(*given, backend=backend)


def _powder_pattern(rng: np.random.Generator) -> Run:
    lattice = np.diag([4.1, 5.2, 6.3]) + rng.normal(size=(3, 3)) * 0.3
    scattering = np.array([[11.0, 2.2, 50.0, 1.1, 10.0], [17.0, 1.5, 30.0, 0.7, 4.0]])
    crystal = powder_pattern.Crystal(lattice, rng.random((7, 3)), np.arange(7) % 2, np.ones(7), scattering)
    return lambda backend: np.concatenate(powder_pattern.peaks(crystal, backend=backend))


def _diffraction_rings(rng: np.random.Generator) -> Run:
    two_theta, azimuth = rng.uniform(5, 60, (40, 50)), rng.uniform(-4, 7, (40, 50))
    angles, widths, heights = np.sort(rng.uniform(0, 65, 30)), rng.uniform(0.1, 0.5, 30), rng.random((30, 90))
    return lambda backend: diffraction_rings.rings(two_theta, azimuth, angles, widths, heights, backend=backend)


def _pattern_matching(rng: np.random.Generator) -> Run:
    patterns, dictionary = (pattern_matching.unit_patterns(rng.random((n, 300))) for n in (50, 4000))

    def run(backend: Backend) -> Result:
        scores, rows = pattern_matching.best_matches(patterns, dictionary, 5, backend=backend)
        # Not the rows: of two that are equally like a pattern to float32 either may be named first.
        return np.concatenate([scores, np.einsum("np,nkp->nk", patterns, dictionary[rows])])

    return run


def _filter(rng: np.random.Generator, run: Callable[..., Result], small: bool) -> Run:
    image = rng.lognormal(3, 1, (8, 9) if small else (90, 110)).astype(np.float32)
    return lambda backend: run(image, 4 if small else 21, backend=backend)
