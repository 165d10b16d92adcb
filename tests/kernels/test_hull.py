"""Hull energies against their definition, HiGHS and pymatgen, on random and on adversarial phases.

Tolerances: a hull energy is a handful of products of fractions and energies of a few eV, after k × k inverses whose
condition is some 10³ at worst: 1e-9 eV/atom leaves three digits of margin over what was seen (1e-14).
"""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from conftest import published
from matscreen.engine import PhaseTable
from matscreen.kernels.enumeration import ratio_table
from matscreen.kernels.features import ward_features
from matscreen.kernels.hull import (
    build_index,
    decomposition_energies,
    decompositions,
    hull_energies,
    hull_energy,
    simplex,
)
from matscreen.models.elements import SYMBOLS
from matscreen.models.formula import composition_arrays

TOLERANCE = 1e-9


def highs(fractions: np.ndarray, phases: np.ndarray, energies: np.ndarray) -> np.ndarray:
    k = fractions.shape[1]
    columns = np.concatenate([np.eye(k), phases.reshape(-1, k)]).T
    costs = np.concatenate([np.zeros(k), energies])
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return np.array(
        [linprog(costs, A_eq=columns, b_eq=x, bounds=(0, None), method="highs", options=options).fun for x in fractions]
    )


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
def test_random_phases_against_highs(k: int, rng: np.random.Generator) -> None:
    for spread in (0.2, 1.0, 5.0):
        for _ in range(8):
            phases = rng.dirichlet(np.full(k, spread), rng.integers(0, 40)).reshape(-1, k)
            energies = rng.normal(size=len(phases))
            fractions = rng.dirichlet(np.ones(k), 15)
            expected = highs(fractions, phases, energies)
            np.testing.assert_allclose(hull_energy(fractions, phases, energies), expected, atol=2e-8)  # HiGHS' own


@given(st.data())
@settings(max_examples=150)
def test_degenerate_phases_against_the_definition(data: st.DataObject) -> None:
    """Few distinct fractions and energies: duplicates, collinear and coplanar phases, ties, pure-element phases."""
    k = data.draw(st.integers(2, 4))
    vectors = st.lists(st.integers(0, 3), min_size=k, max_size=k).filter(any)
    counts = np.array(data.draw(st.lists(vectors, max_size=10)), float).reshape(-1, k)
    phases = counts / counts.sum(axis=1, keepdims=True)
    energies = np.array(data.draw(st.lists(st.integers(-4, 2), min_size=len(phases), max_size=len(phases))), float) / 2
    points = np.array(data.draw(st.lists(vectors, min_size=1, max_size=6)), float)
    points /= points.sum(axis=1, keepdims=True)
    fast = hull_energy(points, phases, energies)
    np.testing.assert_allclose(fast, hull_energy(points, phases, energies, backend="reference"), atol=TOLERANCE)


@given(st.data())
@settings(max_examples=150)
def test_invariants(data: st.DataObject) -> None:
    """Of any phases: the hull is convex, a phase more never raises it, and no order or amount of matter changes it."""
    k = data.draw(st.integers(2, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    grid = data.draw(st.sampled_from([0, 3, 10]))  # fractions that meet, or any
    count = data.draw(st.integers(0, 25))
    phases = rng.dirichlet(np.ones(k), count) if not grid else _normed(rng.integers(0, grid, (count, k)) + np.eye(k)[0])
    energies = rng.normal(-0.3, 0.5, count)
    points = _normed(rng.integers(0, 8, (12, k)) + np.eye(k)[rng.integers(0, k, 12)])
    found = hull_energy(points, phases, energies)

    mixed = rng.dirichlet(np.ones(len(points)), 6)
    assert (hull_energy(mixed @ points, phases, energies) <= mixed @ found + TOLERANCE).all()

    more = np.vstack([phases, rng.dirichlet(np.ones(k), 1)]), np.append(energies, rng.normal())
    assert (hull_energy(points, *more) <= found + TOLERANCE).all()
    assert (found <= TOLERANCE).all()
    if count:
        assert (hull_energy(phases, phases, energies) <= energies + TOLERANCE).all()

    order, rows = rng.permutation(k), rng.permutation(count)
    turned = hull_energy(points[:, order], phases[rows][:, order], energies[rows])
    np.testing.assert_allclose(turned, found, atol=TOLERANCE)

    index = build_index(*_compact(phases), energies)
    amounts = points * rng.uniform(0.01, 100, (len(points), 1))
    np.testing.assert_allclose(hull_energies(*_compact(amounts), index), found, atol=TOLERANCE)


def _compact(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels, from 1, and amounts, those of nothing last."""
    order = np.argsort(amounts == 0, axis=1, kind="stable")
    sorted_amounts = np.take_along_axis(amounts, order, 1)
    return np.where(sorted_amounts > 0, order + 1, 0).astype(np.uint8), sorted_amounts


def _normed(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=1, keepdims=True)


def test_near_degenerate_phases(rng: np.random.Generator) -> None:
    """Phases that differ from each other, and from a common plane, by rounding."""
    for _ in range(30):
        base = rng.dirichlet(np.ones(4), 8)
        phases = np.concatenate([base, base + rng.normal(scale=1e-13, size=base.shape)]).clip(0)
        phases /= phases.sum(axis=1, keepdims=True)
        plane = rng.normal(size=4) - 2
        energies = phases @ plane + rng.normal(scale=1e-13, size=16)
        fractions = rng.dirichlet(np.ones(4), 20)
        expected = hull_energy(fractions, phases, energies, backend="reference")
        np.testing.assert_allclose(hull_energy(fractions, phases, energies), expected, atol=TOLERANCE)


@pytest.mark.parametrize("apart", [1e-5, 1e-7, 1e-9])
def test_slivers_between_phases_that_are_almost_one(apart: float, rng: np.random.Generator) -> None:
    """A phase and its twin of another energy span facets so thin that one pivot may cost ten digits."""
    for k in (2, 3, 4, 5, 6):
        for _ in range(20):
            amounts = rng.integers(0, 8, (rng.integers(2, 30), k)) + np.eye(k, dtype=int)[rng.integers(k)]
            phases = amounts / amounts.sum(axis=1, keepdims=True)
            twins = phases + rng.random(phases.shape) * apart
            phases = np.concatenate([phases, twins / twins.sum(axis=1, keepdims=True)])
            energies = -rng.random(len(phases))
            fractions = rng.dirichlet(np.ones(k), 10)
            expected = highs(fractions, phases, energies)
            ours = hull_energy(fractions, phases, energies)
            np.testing.assert_allclose(ours, expected, atol=1e-6)  # HiGHS' tolerance of 1e-10, over 1e-5 or less
            assert (ours <= 0).all()
            assert (ours >= energies.min() - TOLERANCE).all()


def random_systems(table: PhaseTable, count: int, rng: np.random.Generator, sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Random chemical systems that hold at least one compound of the table, as sorted atomic numbers."""
    known = np.unique(np.concatenate(table.table["elements"].to_pylist()))
    compounds = [e for e in table.table["elements"].to_pylist() if 1 < len(e) <= min(sizes)]
    chosen = []
    for i in range(count):
        own = compounds[rng.integers(len(compounds))]
        others = rng.permutation(np.setdiff1d(known, own))[: sizes[i % len(sizes)] - len(own)]
        chosen.append(np.sort([*own, *others]).astype(np.uint8))
    return chosen


def check_against_pymatgen(table: PhaseTable, systems: list[np.ndarray], rng: np.random.Generator) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition, Element

    by_system: dict[frozenset[int], list[tuple[str, float]]] = {}
    columns = (table.table[c].to_pylist() for c in ("elements", "formula", "formation_energy_ev_atom"))
    for elements, formula, energy in zip(*columns, strict=True):
        if len(elements) > 1:
            by_system.setdefault(frozenset(elements), []).append((formula, energy))
    for system in systems:
        k = len(system)
        entries = [PDEntry(Composition({Element(SYMBOLS[z]): 1}), 0.0) for z in system]
        for subset in range(1, 2**k):
            own = frozenset(int(z) for i, z in enumerate(system) if subset >> i & 1)
            for formula, energy in by_system.get(own, ()):
                composition = Composition(formula)
                entries.append(PDEntry(composition, energy * composition.num_atoms))
        diagram = PhaseDiagram(entries)
        ratios = ratio_table(k, 10)
        amounts = ratios[rng.choice(len(ratios), 4, replace=False)]
        ours = hull_energies(np.tile(system, (4, 1)), amounts, table.index)
        for ratio, energy in zip(amounts, ours, strict=True):
            composition = Composition({Element(SYMBOLS[z]): int(n) for z, n in zip(system, ratio, strict=True)})
            assert diagram.get_hull_energy_per_atom(composition) == pytest.approx(energy, abs=TOLERANCE), composition


def test_embedded_reference_against_pymatgen(phases: PhaseTable, rng: np.random.Generator) -> None:
    check_against_pymatgen(phases, random_systems(phases, 400, rng, (2, 3, 4, 5)), rng)


def test_two_thousand_materials_project_systems_against_pymatgen(rng: np.random.Generator) -> None:
    table = PhaseTable.read(published("mp_formation_energy.parquet"))
    check_against_pymatgen(table, random_systems(table, 2000, rng, (2, 3, 4, 4)), rng)


def test_neighbours_of_many_atoms(rng: np.random.Generator) -> None:
    """Compositions a few parts in a thousand apart, as doped ones are; their energies put all of them on the hull."""
    cases = [[[10, 94], [11, 94], [38, 66], [62, 89], [63, 89], [71, 71], [86, 82], [85, 81], [69, 62]]]
    for _ in range(400):
        atoms = rng.integers(1, rng.choice([100, 300, 1000]), (12, rng.integers(2, 5)))
        atoms[6:] = atoms[:6] + rng.integers(0, 2, atoms[:6].shape)
        cases.append(atoms.tolist())
    for case in cases:
        fractions = np.array(case) / np.sum(case, axis=1, keepdims=True)
        fractions = fractions[np.unique(fractions.round(9), axis=0, return_index=True)[1]]
        energies = 2 * ((fractions - 1 / fractions.shape[1]) ** 2).sum(axis=1) - 2
        np.testing.assert_allclose(hull_energy(fractions, fractions, energies), energies, atol=1e-9)
        elements = np.tile(np.arange(1, fractions.shape[1] + 1, dtype=np.uint8), (len(fractions), 1))
        assert len(build_index(elements, fractions, energies).energies) == len(energies)


def test_whole_systems_against_the_definition(phases: PhaseTable, rng: np.random.Generator) -> None:
    for system in random_systems(phases, 6, rng, (2, 3, 4)):
        ratios = ratio_table(len(system), 10)
        elements = np.tile(system, (len(ratios), 1))
        expected = hull_energies(elements, ratios, phases.index, backend="reference")
        np.testing.assert_allclose(hull_energies(elements, ratios, phases.index), expected, atol=TOLERANCE)


def test_result_does_not_depend_on_threads_or_on_how_rows_are_grouped(
    phases: PhaseTable, rng: np.random.Generator
) -> None:
    ratios = ratio_table(4, 10)
    systems = random_systems(phases, 40, rng, (4,))
    elements = np.repeat(np.array(systems), len(ratios), axis=0)
    amounts = np.tile(ratios, (len(systems), 1))
    whole = hull_energies(elements, amounts, phases.index)
    np.testing.assert_array_equal(whole, hull_energies(elements, amounts, phases.index, threads=3))
    shuffled = rng.permutation(len(elements))
    alone = hull_energies(elements[shuffled], amounts[shuffled], phases.index)
    np.testing.assert_allclose(alone, whole[shuffled], atol=1e-12)


def test_systems_of_many_phases_outgrow_the_first_buffers(rng: np.random.Generator) -> None:
    amounts = rng.integers(1, 60, (3000, 3)).astype(np.uint8)
    elements = np.tile(np.array([3, 8, 26], np.uint8), (3000, 1))
    x = amounts / amounts.sum(axis=1, keepdims=True)
    energies = (x**2).sum(axis=1) - 2.0  # convex: every phase is on the hull
    index = build_index(elements, amounts, energies)
    assert len(index.energies) > 256
    points = np.array([[1, 1, 1], [2, 3, 5], [9, 1, 1]], np.uint8)
    ours = hull_energies(elements[:3], points, index)
    expected = highs(points / points.sum(axis=1, keepdims=True), x, energies)
    np.testing.assert_allclose(ours, expected, atol=1e-7)


def test_decomposition_balances_and_has_the_hull_energy(phases: PhaseTable, rng: np.random.Generator) -> None:
    systems = random_systems(phases, 300, rng, (4,))
    ratios = ratio_table(4, 10)
    elements, amounts = np.array(systems), ratios[rng.choice(len(ratios), len(systems))]
    energies, taken, fractions = decompositions(elements, amounts, phases.index)
    np.testing.assert_allclose(energies, hull_energies(elements, amounts, phases.index), atol=1e-12)
    table = phases.table
    for row in range(len(systems)):
        total, energy = np.zeros(119), 0.0
        for phase, fraction in zip(taken[row], fractions[row], strict=True):
            if fraction == 0:
                continue
            if phase < 0:
                total[-phase] += fraction
                continue
            at = phases.row(int(phase))
            for z, f in zip(table["elements"][at].as_py(), table["fractions"][at].as_py(), strict=True):
                total[z] += fraction * f
            energy += fraction * table["formation_energy_ev_atom"][at].as_py()
        expected = np.zeros(119)
        expected[elements[row]] = amounts[row] / amounts[row].sum()
        np.testing.assert_allclose(total, expected, atol=TOLERANCE)
        assert energy == pytest.approx(energies[row], abs=TOLERANCE)


def random_compounds(rng: np.random.Generator, count: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compounds of up to k of five elements, many of one composition, some unstable by far."""
    elements, amounts = np.zeros((count, k), np.uint8), np.zeros((count, k))
    for row in range(count):
        chosen = np.sort(rng.choice([1, 8, 26, 63, 64], rng.integers(2, k + 1), replace=False))
        elements[row, : len(chosen)] = chosen
        amounts[row, : len(chosen)] = rng.integers(1, 5, len(chosen))
    return elements, amounts, rng.normal(-1, 0.7, count)


def test_decomposition_energies_against_the_definition(rng: np.random.Generator) -> None:
    for _ in range(4):
        compounds = random_compounds(rng, 25, 4)
        expected = decomposition_energies(*compounds, backend="reference")
        for threads in (1, 3):
            np.testing.assert_allclose(decomposition_energies(*compounds, threads=threads), expected, atol=TOLERANCE)
    alone = decomposition_energies(compounds[0][:1], compounds[1][:1], compounds[2][:1])
    np.testing.assert_array_equal(alone, compounds[2][:1])
    assert decomposition_energies(*(part[:0] for part in compounds)).shape == (0,)


def test_decomposition_energies_against_pymatgen(rng: np.random.Generator) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition, Element

    elements, amounts, energies = random_compounds(rng, 60, 5)
    _, first = np.unique(amounts @ np.ones(5) * 1e6 + elements @ np.arange(1, 6) ** 5, return_index=True)
    elements, amounts, energies = elements[first], amounts[first], energies[first]
    entries = []
    for row, energy in enumerate(energies):
        composition = Composition(
            {Element(SYMBOLS[z]): n for z, n in zip(elements[row], amounts[row], strict=True) if z}
        )
        entries.append(PDEntry(composition, energy * composition.num_atoms))
    pure = [PDEntry(Composition(SYMBOLS[z]), 0.0) for z in np.unique(elements) if z]
    ours = decomposition_energies(elements, amounts, energies)
    for row, entry in enumerate(entries):
        others = PhaseDiagram([*pure, *entries[:row], *entries[row + 1 :]])
        competing = others.get_hull_energy_per_atom(entry.composition)
        assert entry.energy_per_atom - competing == pytest.approx(ours[row], abs=TOLERANCE)


def test_decomposition_energies_of_materials_project_are_those_published() -> None:
    """Bartel et al. computed theirs with pymatgen against 85,014 compounds, of which 83,739 are at hand."""
    table = pq.read_table(published("mp_formation_energy.parquet"))
    energies = table["formation_energy_ev_atom"].to_numpy()
    ours = decomposition_energies(*composition_arrays(table["formula"].to_pylist()), energies, threads=2)
    difference = np.abs(ours - table["decomposition_energy_ev_atom"].to_numpy())
    assert np.quantile(difference, 0.8) < 1e-9
    assert (difference > 1e-3).mean() < 0.05  # compounds that one of the missing ones competes with


def test_missing_elements_and_empty_tables() -> None:
    nothing = build_index(np.zeros((0, 2), np.uint8), np.zeros((0, 2)), np.zeros(0))
    elements = np.array([[3, 26, 0], [1, 2, 118]], np.uint8)
    amounts = np.array([[1, 2, 0], [1, 1, 1]], np.uint8)
    np.testing.assert_array_equal(hull_energies(elements, amounts, nothing), [0.0, 0.0])
    assert hull_energies(elements[:0], amounts[:0], nothing).shape == (0,)
    energies, taken, fractions = decompositions(elements, amounts, nothing)
    assert sorted(taken[1].tolist()) == [-118, -2, -1]
    np.testing.assert_allclose(fractions.sum(axis=1), 1)
    assert energies.tolist() == [0, 0]


def test_phases_above_their_hull_are_dropped_and_change_nothing(rng: np.random.Generator) -> None:
    elements = np.array([[3, 8], [3, 8], [3, 8], [3, 8]], np.uint8)
    amounts = np.array([[2, 1], [2, 1], [1, 1], [4, 2]], np.uint8)
    index = build_index(elements, amounts, np.array([-2.0, -1.0, -0.5, -2.0]))
    assert index.source.tolist() == [0, 3]
    assert hull_energies(elements[2:3], amounts[2:3], index)[0] == pytest.approx(-1.5)


def test_errors() -> None:
    unknown = np.array([[72, 202]], np.uint8)
    with pytest.raises(ValueError, match="labels of elements are 1 to 127, not 202"):
        hull_energies(unknown, np.ones((1, 2)), build_index(*_compact(np.eye(2)), np.zeros(2)))
    x = np.array([[0.5, 0.5]])
    with pytest.raises(ValueError, match="sum to 1"):
        hull_energy(x * 2, x, np.array([-1.0]))
    with pytest.raises(ValueError, match="finite"):
        hull_energy(x, x, np.array([np.nan]))
    with pytest.raises(ValueError, match="finite"):
        hull_energy(x, x, np.array([-1.0, -2.0]))
    with pytest.raises(ValueError, match="k from 1"):
        hull_energy(np.full((1, 20), 0.05), np.zeros((0, 20)), np.zeros(0))
    with pytest.raises(ValueError, match="uint8"):
        hull_energies(x, x, build_index(np.zeros((0, 2), np.uint8), np.zeros((0, 2)), np.zeros(0)))


def test_tensors_in_tensors_out(rng: np.random.Generator) -> None:
    given = rng.dirichlet(np.ones(3), 5), rng.dirichlet(np.ones(3), 4), -rng.random(4)
    result = hull_energy(*(torch.from_numpy(a) for a in given))
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), hull_energy(*given))
    fractions = np.eye(86)
    features = ward_features(torch.from_numpy(fractions))
    assert isinstance(features, torch.Tensor)
    np.testing.assert_array_equal(features.numpy(), ward_features(fractions))


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_walks_over_facets_end_where_they_should(rng: np.random.Generator, k: int) -> None:
    """From the pure elements to the facet of the first composition, then to that of each other, against SciPy."""
    for _ in range(20):
        n, m = int(rng.integers(k + 1, 40)), 6
        columns = np.hstack([np.eye(k), rng.dirichlet(np.full(k, 0.7), n - k).T])
        values = np.append(np.zeros(k), rng.uniform(-1, 0.2, n - k))
        x = np.ascontiguousarray(rng.dirichlet(np.ones(k), m).T)
        facet = simplex.new_facet(k, n)
        for at in range(m):
            assert simplex.cross(facet, columns, values, x, at) if at else simplex.descend(facet, columns, values, x)
            amounts = facet.inverse @ x[:, at]
            assert amounts.min() > -1e-9  # it holds this one, not another
            np.testing.assert_allclose(columns[:, facet.basis] @ amounts, x[:, at], atol=1e-11)
            np.testing.assert_allclose(facet.inverse @ columns[:, facet.basis], np.eye(k), atol=1e-9)
            assert (facet.plane @ columns <= values + 1e-9).all()  # and no phase lies below
            least = linprog(values, A_eq=columns, b_eq=x[:, at], method="highs").fun
            assert facet.plane @ x[:, at] == pytest.approx(least, abs=1e-9)


def test_no_facet_holds_what_is_no_composition(rng: np.random.Generator) -> None:
    columns = np.hstack([np.eye(3), rng.dirichlet(np.ones(3), 12).T])
    values = np.append(np.zeros(3), rng.uniform(-1, 0, 12))
    x = np.array([[0.3, 1.2], [0.3, -0.1], [0.4, -0.1]])
    facet = simplex.new_facet(3, 15)
    assert simplex.descend(facet, columns, values, x)
    assert not simplex.cross(facet, columns, values, x, 1)
