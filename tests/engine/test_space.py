"""Composition space: an array whose ids never change."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscreen.engine import CompositionSpace, schema
from matscreen.engine.element_sets import GROUPS, parse_elements
from matscreen.models.elements import ATOMIC_NUMBERS, SYMBOLS
from matscreen.models.errors import InputError

FULL = CompositionSpace("all")


def test_the_full_space_has_the_published_size() -> None:
    assert [b.stop - b.start for b in FULL.blocks] == [113_305, 11_155_060, 435_328_775]
    assert len(FULL) == 446_597_140


def test_golden_ids() -> None:
    """These were written down once. If this fails, every run directory in the world points at other compounds."""
    golden = {
        "LiH": 0,
        "NaCl": 3_069,
        "Fe2O3": 7_361,
        "LiBeH": 113_305,
        "MgAl2O4": 131_042,
        "BaTiO3": 2_539_594,
        "CsPbI3": 8_549_963,
        "PuNpU8": 11_268_364,
        "LiBeBH": 11_268_365,
        "LiFePO4": 12_816_384,
        "PuNpUPa7": 446_597_139,
    }
    found = {formula: FULL.index(formula) for formula in golden}
    assert found == golden
    narrow = CompositionSpace("3d metals,O,F", arity=(2, 3), max_atoms=12, require="O", exclude="Zn")
    assert {f: narrow.index(f) for f in ("TiO2", "Fe2NiO4")} == {"TiO2": 101, "Fe2NiO4": 7244}


@given(st.integers(0, len(FULL) - 1))
def test_index_inverts_item(number: int) -> None:
    formula = FULL[number]
    assert FULL.index(formula) == number
    doubled = f"({formula})2"
    assert FULL.index(doubled) == number


@st.composite
def spaces(draw: st.DrawFn) -> CompositionSpace:
    symbols = draw(st.lists(st.sampled_from([s for s in SYMBOLS if s]), min_size=3, max_size=12, unique=True))
    required = symbols[: draw(st.integers(0, 2))]
    arity = draw(st.sets(st.integers(max(1, len(required)), min(5, len(symbols))), min_size=1))
    return CompositionSpace(symbols, arity, draw(st.integers(max(arity), 9)), required)


@given(spaces(), st.integers(1, 5000))
def test_chunks_partition_the_space_into_whole_systems(space: CompositionSpace, size: int) -> None:
    at = 0
    for start, stop in space.ranges(size):
        assert start == at < stop
        at = stop
        block = next(b for b in space.blocks if stop <= b.stop)
        assert (stop - block.start) % len(block.ratios) == 0
    assert at == len(space)
    ids = np.concatenate([schema.composition_arrays(chunk)[0] for chunk in space.chunks(size)])
    np.testing.assert_array_equal(ids, np.arange(len(space)))


@given(spaces(), st.data())
def test_a_slice_is_what_its_items_are(space: CompositionSpace, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(space)))
    stop = data.draw(st.integers(start, min(len(space), start + 40)))
    chunk = space[start:stop]
    assert chunk.schema.equals(schema.compositions(space.arity[-1]), check_metadata=True)
    ids, elements, amounts = schema.composition_arrays(chunk)
    for row, number in enumerate(ids.tolist()):
        labels = {SYMBOLS[z]: n for z, n in zip(elements[row].tolist(), amounts[row].tolist(), strict=True) if z}
        assert space.index("".join(f"{s}{n}" for s, n in labels.items())) == number
        assert set(space.require) <= set(elements[row].tolist())


def test_narrowed_spaces_hold_exactly_their_part() -> None:
    whole, oxides = CompositionSpace("Li-Mn-Fe-O-F"), CompositionSpace("Li-Mn-Fe-O-F", require="O", exclude="F")
    expected = {f for i in range(len(whole)) if "O" in (f := whole[i]) and "F" not in f.replace("Fe", "")}
    assert {oxides[i] for i in range(len(oxides))} == expected
    assert CompositionSpace(**oxides.spec()).spec() == oxides.spec()
    assert len(CompositionSpace("Li-O", arity=[2], require="Li,O")) == 31


def test_items_outside() -> None:
    space = CompositionSpace("Li-O")
    assert space[-1] == space[len(space) - 1]
    for number in (len(space), -len(space) - 1):
        with pytest.raises(IndexError):
            space[number]
    for formula in ("NaCl", "Li", "Li9O8", "Li0.5O", "Li300O"):
        with pytest.raises(KeyError):
            space.index(formula)
    assert space.chunk(0, len(space) + 1).equals(space[:])
    with pytest.raises(IndexError):
        space.chunk(len(space) + 1, len(space) + 2)
    with pytest.raises(InputError, match="whole numbers"):
        CompositionSpace("Li-O", max_atoms=10.5)
    assert CompositionSpace("Li-O", arity=2).arity == CompositionSpace("Li-O", arity=np.array([2])).arity == (2,)
    with pytest.raises(IndexError):
        space[::2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"elements": "Li-Fo"}, "unknown element 'Fo'"),
        ({"elements": "Li--O"}, "no element between"),
        ({"elements": ""}, "no element between"),
        ({"elements": "4f metals"}, "neither an element nor one of the groups"),
        ({"elements": "Li-O", "require": "F"}, "required but not among"),
        ({"elements": "Li-O", "exclude": "F"}, "excluded but not among"),
        ({"elements": "Li-O-F", "exclude": "F", "require": "F"}, "both required and excluded"),
        ({"elements": "Li-O", "arity": [0]}, "arity must be"),
        ({"elements": "Li-O", "arity": [11]}, "arity must be"),
        ({"elements": "Li-O", "arity": []}, "arity must be"),
        ({"elements": "Li-O", "max_atoms": 1}, "max_atoms must lie"),
        ({"elements": "Li-O", "max_atoms": 10**9}, "max_atoms must lie"),
        ({"elements": list(ATOMIC_NUMBERS), "arity": [10], "max_atoms": 20}, "no 64-bit ids"),
        ({"elements": "all", "arity": [10], "max_atoms": 90}, "too many ratios"),
        ({"elements": "Li", "arity": [2]}, "space is empty"),
    ],
)
def test_bad_spaces(arguments: dict, complaint: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match=complaint):
        CompositionSpace(**arguments)


def test_element_sets() -> None:
    assert parse_elements("3d metals, O-F") == (8, 9, *range(21, 31))
    assert parse_elements("O, Li O") == (3, 8)
    assert len(parse_elements("all")) == 86
    for group in GROUPS:
        assert set(parse_elements(group)) <= set(parse_elements("all"))
    assert [SYMBOLS[z] for z in parse_elements("lanthanides")][::14] == ["La", "Lu"]


def test_take_is_what_slices_are(rng: np.random.Generator) -> None:
    for space in (CompositionSpace("all"), CompositionSpace("Li-Fe-P-O", require="O"), CompositionSpace("Li-Fe", (2,))):
        ids = np.concatenate([rng.integers(0, len(space), 200), [0, len(space) - 1], [b.start for b in space.blocks]])
        taken = space.take(ids)
        one_by_one = [space.chunk(i, i + 1) for i in ids.tolist()]
        assert taken.equals(pa.Table.from_batches(one_by_one).combine_chunks().to_batches()[0])
    assert space.take(np.array([], int)).num_rows == 0
    with pytest.raises(IndexError, match="do not lie in a space"):
        space.take(np.array([0, len(space)]))
