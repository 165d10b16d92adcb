"""The embedding of a composition in float32 against its definition and against PyTorch.

Tolerance: sums of at most nine products of order 1 in float32; products of two of them lose some 1e-6.
"""

import math

import numpy as np
import pytest
import torch
from pymatgen.core import Composition

from matscreen.kernels.backend import Backend
from matscreen.kernels.embedding import MOST_ATOMS, Tables, checked, embed, rows, stoichiometry_keys
from matscreen.models.architecture import Embedding
from matscreen.models.elements import ATOMIC_NUMBERS, ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.encoding import order_of

ORDER = order_of(ELEMNET_ELEMENTS)
WIDTHS = (48, 32, 16, 8, 24)


def key(*amounts: int) -> int:
    return sum(n * 256**digit for digit, n in enumerate(amounts))


KNOWN = np.sort([key(1), key(1, 1), key(1, 2), key(2, 1), key(1, 1, 3), key(2, 1, 4), key(1, 1, 1, 4)])


def tables(rng: np.random.Generator, elements: int = 86, widths: tuple[int, ...] = WIDTHS) -> Tables:
    pairs, linear, root, presence, stoichiometry = widths
    return checked(
        Tables(
            *(rng.normal(size=(elements, w)) for w in (pairs, pairs, linear)),
            rng.normal(size=linear),
            *(rng.normal(size=(elements, w)) for w in (root, presence)),
            rng.normal(size=(len(KNOWN) + 1, stoichiometry)),
            KNOWN,
            rng.permutation(elements),
        )
    )


def compositions(n: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Every second one a formula of few atoms, the others of no formula."""
    places = np.argsort(rng.random((n, 86)), axis=1)[:, :width]
    fractions = rng.dirichlet(np.ones(width), n)
    fractions[::2] = rng.choice([1, 1, 1, 2, 3, 4], (len(fractions[::2]), width))
    empty = np.arange(width) >= rng.integers(1, width + 1, (n, 1))
    places, fractions = np.where(empty, 0, places), np.where(empty, 0, fractions)
    return places, (fractions / fractions.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "width"), [(0, 4), (1, 1), (300, 2), (1000, 4), (200, 9)])
def test_against_the_definition(n: int, width: int, rng: np.random.Generator) -> None:
    learned, given = tables(rng), compositions(n, width, rng)
    ours = embed(*given, learned)
    assert ours.dtype == np.float32
    assert ours.shape == (n, learned.width) == (n, sum(WIDTHS))
    np.testing.assert_allclose(ours, embed(*given, learned, backend="reference"), atol=1e-5)


def test_against_torch(rng: np.random.Generator) -> None:
    module = Embedding(86, 40, len(KNOWN), 7, torch.Generator().manual_seed(1))
    torch.nn.init.normal_(module.bias)
    learned = checked(Tables(**module.learned(), known=KNOWN, order=rng.permutation(86)))
    places, fractions = compositions(500, 4, rng)
    dense = np.zeros((500, 86 + 1 + 3), np.float32)
    np.add.at(dense, (np.arange(500)[:, None], places), fractions)
    dense[:, 86] = rows(stoichiometry_keys(places, fractions, learned.order), KNOWN)
    assert len(np.unique(dense[:, 86])) > 4
    dense[:, 87:] = rng.normal(size=(500, 3))
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(dense)).numpy()
    np.testing.assert_allclose(embed(places, fractions, learned), expected[:, :-3], atol=1e-5)
    np.testing.assert_array_equal(expected[:, -3:], dense[:, 87:])


def test_a_network_in_training_is_not_always_told(rng: np.random.Generator) -> None:
    module = Embedding(86, 4, len(KNOWN), 3, torch.Generator().manual_seed(1))
    given = torch.zeros(5000, 86 + 1)
    given[:, 86] = torch.from_numpy(rng.integers(0, len(KNOWN), 5000))
    with torch.no_grad():
        learning, told = module.train()(given)[:, -3:], module.eval()(given)[:, -3:]
    other = (learning == module.stoichiometry[-1]).all(dim=1)
    assert 0.07 < other.double().mean() < 0.13
    assert torch.equal(learning[~other], told[~other])


def test_a_composition_has_the_same_bits_wherever_it_stands(rng: np.random.Generator) -> None:
    learned, (places, fractions) = tables(rng), compositions(700, 4, rng)
    whole = embed(places, fractions, learned)
    order = rng.permutation(700)
    np.testing.assert_array_equal(embed(places[order], fractions[order], learned), whole[order])
    wider = np.zeros((700, 2), int), np.zeros((700, 2), np.float32)
    padded = [np.concatenate(pair, axis=1) for pair in zip((places, fractions), wider, strict=True)]
    np.testing.assert_array_equal(embed(*padded, learned), whole)


BACKENDS: tuple[Backend, ...] = ("cpu", "reference", "gpu")


@pytest.mark.parametrize("backend", BACKENDS)
def test_stoichiometries_are_ordered_by_electronegativity(backend: Backend) -> None:
    told = {
        "LiFePO4": (1, 1, 1, 4),
        "Fe4O6": (2, 3),
        "O6Fe4": (2, 3),
        "C60": (1,),
        "H2O": (2, 1),
        "LiH": (1, 1),
        "NaZn13": (1, 13),
        "Li0.97Na0.03Cl": (3, 97, 100),  # 200 atoms, which is no stoichiometry any more
        "Li0.98Na0.02Cl": (1, 49, 50),
        "Na0.5Li0.5Cl": (1, 1, 2),  # sodium is the least electronegative
        "HLiBeBCNOF": (1, 1, 1, 1, 1, 1, 1, 1),
        "HLiBeBCNOFNa": (),  # nine elements
    }
    place = {z: n for n, z in enumerate(ELEMNET_ELEMENTS)}
    for formula, amounts in told.items():
        found = Composition(formula).fractional_composition.as_dict()
        places = np.array([[place[ATOMIC_NUMBERS[symbol]] for symbol in found]])
        fractions = np.array([list(found.values())], np.float32)
        expected = 0 if sum(amounts) > MOST_ATOMS else key(*amounts)
        assert stoichiometry_keys(places, fractions, ORDER, backend).tolist() == [expected], formula


def test_stoichiometries_are_those_of_pymatgen(rng: np.random.Generator) -> None:
    """Random formulas up to eight elements, each divided by its greatest common divisor."""
    for _ in range(300):
        atoms = rng.integers(1, 13, rng.integers(1, 9))
        places = rng.permutation(86)[: len(atoms)]
        formula = Composition({SYMBOLS[ELEMNET_ELEMENTS[p]]: int(n) for p, n in zip(places, atoms, strict=True)})
        reduced = formula.element_composition / math.gcd(*atoms.tolist())
        by_order = sorted(
            reduced.as_dict().items(), key=lambda pair: ORDER[ELEMNET_ELEMENTS.index(ATOMIC_NUMBERS[pair[0]])]
        )
        fractions = (atoms / atoms.sum()).astype(np.float32)[None]
        assert stoichiometry_keys(places[None], fractions, ORDER).tolist() == [key(*(int(n) for _, n in by_order))]


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_stoichiometries_of_every_backend(backend: Backend, rng: np.random.Generator) -> None:
    """Formulas, proportions of none, empty places, next to nothing of an element, and fractions off by rounding."""
    places = np.argsort(rng.random((150, 86)), axis=1)[:, :9]
    amounts = rng.integers(0, 9, (150, 9)) * (np.arange(9) < rng.integers(1, 10, (150, 1)))
    amounts[:, 0] += 1
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    fractions[100:130] = rng.dirichlet(np.ones(9), 30)
    fractions[130:140, 1] += 1e-5
    fractions[140:] *= 1 + rng.uniform(-1e-6, 1e-6, (10, 9))
    given = places, fractions.astype(np.float32), rng.permutation(86)
    expected = stoichiometry_keys(*given, backend="cpu")
    assert 0.2 < (expected > 0).mean() < 0.9
    np.testing.assert_array_equal(stoichiometry_keys(*given, backend=backend), expected)
    assert stoichiometry_keys(*(array[:0] for array in given[:2]), given[2], backend=backend).shape == (0,)


def test_rows_of_stoichiometries() -> None:
    np.testing.assert_array_equal(
        rows(np.array([key(1, 1), 0, key(9, 9, 9, 9, 9)]), KNOWN), [1, len(KNOWN), len(KNOWN)]
    )
    np.testing.assert_array_equal(rows(KNOWN, KNOWN), np.arange(len(KNOWN)))
    np.testing.assert_array_equal(rows(KNOWN, KNOWN[:0]), 0)


def test_errors(rng: np.random.Generator) -> None:
    learned = tables(rng)
    with pytest.raises(ValueError, match="0 … 85"):
        embed(np.array([[86]]), np.array([[1.0]]), learned)
    with pytest.raises(ValueError, match=r"must both be \(N, K\)"):
        embed(np.array([1]), np.array([1.0]), learned)
    with pytest.raises(ValueError, match="do not fit each other"):
        checked(learned._replace(right=learned.right[:, :3]))
    with pytest.raises(ValueError, match="root must have 86 rows"):
        checked(learned._replace(root=learned.root[:4]))
    with pytest.raises(ValueError, match="stoichiometry must have 8 rows"):
        checked(learned._replace(stoichiometry=learned.stoichiometry[1:]))
    for wrong in (KNOWN[::-1], np.r_[KNOWN[:1], KNOWN[:-1]], KNOWN - KNOWN[0]):
        with pytest.raises(ValueError, match="known must be keys of stoichiometries, above 0 and rising"):
            checked(learned._replace(known=wrong))
    with pytest.raises(ValueError, match="known must be integers, not float64"):
        checked(learned._replace(known=KNOWN * np.nan))
    with pytest.raises(ValueError, match="each of 86 elements a place of its own"):
        checked(learned._replace(order=learned.order // 2))
    with pytest.raises(ValueError, match="linear has a number that is not finite"):
        checked(learned._replace(linear=learned.linear * np.nan))


@pytest.mark.parametrize(("n", "width", "widths"), [(1, 1, WIDTHS), (37, 4, WIDTHS), (17, 9, (130, 200, 1, 0, 0))])
def test_triton_finds_the_same(n: int, width: int, widths: tuple[int, ...], rng: np.random.Generator) -> None:
    learned, given = tables(rng, widths=widths), compositions(n, width, rng)
    found = embed(*given, learned, backend="gpu")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, embed(*given, learned), rtol=1e-5, atol=1e-5)
    assert embed(given[0][:0], given[1][:0], learned, backend="gpu").shape == (0, learned.width)
