"""Compositions as systems and ratios: against the definition, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscreen.engine.schema import composition_arrays
from matscreen.engine.space import CompositionSpace
from matscreen.kernels.enumeration import ratio_table
from matscreen.kernels.systems import by_system, least
from matscreen.models.elements import ELEMNET_ELEMENTS

RATIOS = np.concatenate([np.pad(ratio_table(k, 10), ((0, 0), (0, 4 - k))) for k in (2, 3, 4)])


@given(st.data())
def test_against_the_definition(data: st.DataObject) -> None:
    n, width = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 6))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    elements, amounts = np.zeros((n, width), np.uint8), np.zeros((n, width), np.uint8)
    for row in range(n):
        present = generator.random(width) < 0.8
        if row and generator.random() < 0.5:
            elements[row] = elements[row - 1]
        else:
            elements[row, present] = generator.choice(np.arange(1, 9), present.sum(), replace=False)
        there = elements[row] > 0
        amounts[row, there] = generator.choice(
            [1, 2, 3, 6, 15, 16, 17, 255], there.sum(), p=[0.3, 0.3, 0.2, *5 * [0.04]]
        )
        if generator.random() < 0.1:
            amounts[row, generator.integers(width)] = generator.integers(2)  # where there is no element, or none of it
    order = generator.permutation(256)
    ratios = RATIOS[generator.permutation(len(RATIOS))]
    fast, slow = (by_system(elements, amounts, ratios, order, backend) for backend in ("auto", "reference"))
    for own, defined in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(own, defined)
    values = generator.normal(size=(width + 1, 256))
    np.testing.assert_array_equal(least(elements, values), least(elements, values, "reference"))


def test_a_system_and_a_ratio_are_the_composition(rng: np.random.Generator) -> None:
    space = CompositionSpace("all")
    _, elements, amounts = composition_arrays(space.take(rng.integers(0, len(space), 20_000)))
    order = rng.permutation(256)
    systems, system, ratio = by_system(elements, amounts, RATIOS, order)
    assert (ratio >= 0).all()
    back, atoms = systems[system], RATIOS[ratio]
    by_label = np.argsort(np.where(back > 0, back, 255), axis=1, kind="stable")
    np.testing.assert_array_equal(np.take_along_axis(back, by_label, axis=1), elements)
    np.testing.assert_array_equal(np.take_along_axis(atoms, by_label, axis=1), amounts)
    places = order[back] + 1000 * (back == 0)
    assert (np.diff(places, axis=1)[back[:, 1:] > 0] > 0).all()


def test_whole_systems_are_found_once() -> None:
    space = CompositionSpace("Li-Fe-P-O-Na")
    _, elements, amounts = composition_arrays(space[:])
    systems, system, ratio = by_system(elements, amounts, RATIOS, np.arange(256))
    assert len(systems) == sum(block.systems for block in space.blocks) == len(np.unique(systems, axis=0))
    assert len(np.unique(np.stack([system, ratio]), axis=1).T) == len(space)


def test_ratios_that_are_none_of_these() -> None:
    elements = np.array([[3, 8], [3, 8], [3, 8], [3, 0]], np.uint8)
    amounts = np.array([[2, 2], [10, 1], [1, 2], [1, 0]], np.uint8)  # not reduced; too many atoms; fine; an element
    order = np.arange(256)[::-1]
    _, system, ratio = by_system(elements, amounts, RATIOS, order)
    assert system.tolist() == [0, 0, 0, 1]
    assert ratio[[0, 1, 3]].tolist() == [-1, -1, -1]
    assert RATIOS[ratio[2]].tolist() == [2, 1, 0, 0]  # oxygen comes first
    none_of_it = np.array([[3, 8, 26], [3, 0, 8]], np.uint8), np.array([[1, 1, 0], [1, 1, 1]], np.uint8)
    for backend in ("cpu", "reference"):
        assert by_system(*none_of_it, RATIOS, order, backend)[2].tolist() == [-1, -1]  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    one = np.array([ELEMNET_ELEMENTS[:3]], np.uint8)
    order = np.arange(256)
    with pytest.raises(ValueError, match="must both be"):
        by_system(one, one[:, :2], RATIOS, order)
    with pytest.raises(ValueError, match=r"float64 must both be \(N, K\) uint8"):
        by_system(one, one / 3, RATIOS, order)
    with pytest.raises(ValueError, match=r"ratios must be \(R, 4\)"):
        by_system(one, one, RATIOS[:, :3], order)
    with pytest.raises(ValueError, match="amounts up to 15"):
        by_system(one, one, 2 * RATIOS, order)
    with pytest.raises(ValueError, match="order must be"):
        by_system(one, one, RATIOS, order[1:])
    with pytest.raises(ValueError, match="uint8"):
        least(one.astype(int), np.zeros((4, 256)))
    with pytest.raises(ValueError, match="values must be"):
        least(one, np.zeros((3, 256)))
