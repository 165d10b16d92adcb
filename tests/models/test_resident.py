"""A model whose networks lie on a GPU (in Triton's interpreter where there is none) against itself on the CPU."""

import numpy as np
import pytest

from interpreter import few_bits_as_on_a_device
from matscreen import models
from matscreen.engine import CompositionSpace, schema
from matscreen.kernels.mlp import Precision
from matscreen.models import resident
from matscreen.models.model import student_file


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
    # Sums in another order may round a value the other way, which is far less than what rounding itself does. The
    # interpreter keeps all bits of tf32.
    np.testing.assert_allclose(found, here, rtol=0, atol={"fp32": 1e-4, "tf32": 0.05, "bf16": 0.01}[precision])
    np.testing.assert_allclose(found, exact, rtol=0, atol={"fp32": 1e-4, "tf32": 0.05, "bf16": 0.05}[precision])
    if precision != "fp32":
        assert np.abs(here - exact).max() > 1e-3


def test_an_ensemble_shares_its_attributes(compositions: tuple[np.ndarray, np.ndarray]) -> None:
    model, few = models.load(), slice(8, 40)
    elements, amounts = (array[few] for array in compositions)
    found, expected = (model.outputs(elements, amounts, backend) for backend in ("gpu", "reference"))  # type: ignore[arg-type]
    assert found.shape == (len(model.members), 32, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert model.outputs(elements[:0], amounts[:0], "gpu").shape == (len(model.members), 0, 1)


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
    with pytest.raises(ValueError, match="fp8 is summed as each chip sums it"):
        model.energies(elements, amounts, "cpu", "fp8")


def test_networks_stay_on_the_device_and_are_never_mixed_up(
    compositions: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "_held", {})
    monkeypatch.setattr(resident, "HELD", 2)
    made, plain = [], resident.weights.network
    monkeypatch.setattr(resident.weights, "network", lambda *a: made.append(a) or plain(*a))
    elements, amounts = (array[:4] for array in compositions)
    for _ in range(3):  # each time another copy, whose arrays may get the addresses of the last one's
        model = models.load(student_file(models.load().source))
        bias = model.members[0].layers.biases[-1]
        bias += len(made)
        for _ in range(2):
            expected = model.energies(elements, amounts, "cpu")
            np.testing.assert_allclose(model.energies(elements, amounts, "gpu"), expected, atol=1e-4)
    assert len(made) == 3
    assert len(resident._held) == 2
