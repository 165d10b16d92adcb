"""A model whose networks lie on a GPU (in Triton's interpreter where there is none) against itself on the CPU."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from interpreter import few_bits_as_on_a_device
from matscreen import models
from matscreen.engine import CompositionSpace, schema
from matscreen.kernels.backend import BackendError
from matscreen.kernels.embedding import checked, stoichiometry_keys
from matscreen.kernels.mlp import Precision
from matscreen.models import Model, resident
from matscreen.models.catalogue import student_file
from matscreen.models.guard import guard_band


@pytest.fixture(autouse=True)
def few_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    few_bits_as_on_a_device(monkeypatch)


@pytest.fixture(scope="module")
def compositions() -> tuple[np.ndarray, np.ndarray]:
    """Of two to four elements, some of them rare."""
    space, rng = CompositionSpace("all"), np.random.default_rng(2)
    ids = [rng.integers(block.start, block.stop, 16) for block in space.blocks]
    return schema.composition_arrays(space.take(np.concatenate(ids)))[1:]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("name", ["elemnet-oqmd", "pairnet-oqmd.student"])
def test_a_model_predicts_there_what_it_predicts_here(
    name: str, precision: Precision, compositions: tuple[np.ndarray, np.ndarray]
) -> None:
    own = models.load() if name.endswith("student") else models.load(name)
    model = models.load(student_file(own.source)) if name.endswith("student") else own
    found = model.energies(*compositions, "gpu", precision)
    here = model.energies(*compositions, "cpu", precision)
    exact = model.energies(*compositions, "reference")
    assert found.dtype == here.dtype == np.float32
    for one in (found, here):
        np.testing.assert_allclose(one, exact, rtol=0, atol=guard_band(model, precision))
    if precision != "tf32":  # of which the interpreter keeps all bits; sums in another order may round one another way
        np.testing.assert_allclose(found, here, rtol=0, atol={"fp32": 1e-4, "bf16": 0.01}[precision])
    if precision != "fp32":
        assert np.abs(here - exact).max() > 1e-3


def test_parts_are_put_together(compositions: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.load("pairnet-oqmd")
    few = tuple(array[-12:] for array in compositions)
    whole = model.outputs(*few, "gpu")
    monkeypatch.setattr(resident, "ROWS", 5)
    np.testing.assert_allclose(model.outputs(*few, "gpu"), whole, rtol=0, atol=1e-5)


def test_stoichiometries_are_told_apart_there(
    compositions: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    """A model that ships, given a row for every second stoichiometry and weights for it."""
    model = models.load(student_file(models.load().source))
    (member,), (elements, amounts) = model.members, compositions
    encoding, layers, tables = member.encoding, member.layers, member.encoding.tables
    assert tables
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    known = np.unique(stoichiometry_keys(model.places(elements), fractions, tables.order))[::2]
    assert len(known) > 5
    told = tables._replace(stoichiometry=rng.normal(size=(len(known) + 1, 3)).astype(np.float32), known=known)
    end = tables.width - tables.stoichiometry.shape[1]
    rest = layers.weights[0][tables.width :]
    drawn = rng.normal(size=(3, rest.shape[1])).astype(np.float32)
    first = np.ascontiguousarray(np.concatenate([layers.weights[0][:end], drawn, rest]))
    one = replace(
        member,
        encoding=replace(encoding, tables=checked(told), known=known),
        layers=layers._replace(weights=(first, *layers.weights[1:])),
    )
    other = replace(model, members=(one,))
    found, here, exact = (other.energies(elements, amounts, backend) for backend in ("gpu", "cpu", "reference"))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
    np.testing.assert_allclose(here, exact, rtol=0, atol=1e-4 * np.abs(exact).max())
    assert np.abs(exact - model.energies(elements, amounts, "reference")).max() > 0.1


def test_an_ensemble_shares_its_attributes(compositions: tuple[np.ndarray, np.ndarray]) -> None:
    whole, few = models.load(), slice(8, 40)
    model = replace(whole, members=whole.members[:2])
    elements, amounts = (array[few] for array in compositions)
    found, expected = (model.outputs(elements, amounts, backend) for backend in ("gpu", "reference"))  # type: ignore[arg-type]
    assert found.shape == (2, 32, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert model.outputs(elements[:0], amounts[:0], "gpu").shape == (2, 0, 1)


def test_charges_too_wide_for_the_device_are_told_by_the_processor() -> None:
    elements, amounts = np.array([[11, 15], [11, 17]], np.uint8), np.array([[35, 33], [1, 1]])
    model = models.load(student_file(models.load().source))
    np.testing.assert_allclose(model.energies(elements, amounts, "gpu"), model.energies(elements, amounts), atol=1e-4)


def test_eight_bits_are_rough_but_right(compositions: tuple[np.ndarray, np.ndarray]) -> None:
    model, few = models.load("elemnet-oqmd"), slice(0, 24)
    elements, amounts = (array[few] for array in compositions)
    found, exact = model.energies(elements, amounts, "gpu", "fp8"), model.energies(elements, amounts)
    assert 1e-3 < np.abs(found - exact).max() < 1.0
    assert np.corrcoef(found, exact)[0, 1] > 0.9
    with pytest.raises(ValueError, match="precision must be fp32 or tf32 or bf16 here, not 'fp8'"):
        model.energies(elements, amounts, "cpu", "fp8")


def test_few_elements_tell_the_range_of_activations_too() -> None:
    model = models.load("elemnet-oqmd")
    for known in (model.elements[:1], model.elements[:3]):
        assert resident._sample(model.members[0], known).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_networks_go_with_their_model_and_are_never_mixed_up(
    compositions: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plain = [], resident.weights.network
    monkeypatch.setattr(resident, "_held", held := {})
    monkeypatch.setattr(resident.weights, "network", lambda *a: made.append(1) or plain(*a))
    elements, amounts = (array[:4] for array in compositions)

    def predicted_twice() -> None:
        """By another copy, whose arrays may get the addresses of the last one's."""
        model = models.load(student_file(models.load().source))
        bias = model.members[0].layers.biases[-1]
        bias += len(made)
        for _ in range(2):
            expected = model.energies(elements, amounts, "cpu")
            np.testing.assert_allclose(model.energies(elements, amounts, "gpu"), expected, atol=1e-4)
        assert len(held) == 1

    for _ in range(3):
        predicted_twice()
        gc.collect()
        assert not held
    assert len(made) == 3


def test_threads_take_turns(compositions: tuple[np.ndarray, np.ndarray]) -> None:
    model: Model = models.load(student_file(models.load().source))
    few = [array[:8] for array in compositions]
    expected = model.energies(*few, "gpu")
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(lambda _: model.energies(*few, "gpu"), range(3)))
    assert all((part == expected).all() for part in parts)


def test_what_a_network_cannot_have_is_told_in_a_line(compositions: tuple[np.ndarray, np.ndarray]) -> None:
    with_shortcuts = models.load()
    with pytest.raises(BackendError, match="fp8 is for networks without shortcuts"):
        with_shortcuts.energies(*compositions, "gpu", "fp8")
