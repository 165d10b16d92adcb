"""Products by either library against float64, their gradients, and that a row's digits are its own."""

import platform
from typing import Any

import pytest
import torch

from matscreen.kernels import products
from matscreen.kernels.products import added_product, learning_product, product

FOUND = products._OPERATOR  # before a test takes it away
SHAPES = [(512, 337, 128), (7, 1, 16), (300, 86, 40), (64, 64, 1), (33, 130, 15), (1, 5, 200)]


@pytest.fixture(params=["oneDNN", "the other"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "the other":
        monkeypatch.setattr(products, "_OPERATOR", None)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()) + 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_against_float64(shape: tuple[int, int, int]) -> None:
    n, width_in, width = shape
    given, weight, bias, total = drawn(n, width_in), drawn(width_in, width), drawn(width), drawn(n, width)
    exact = given.double() @ weight.double()
    assert_close(product(given, weight), exact)
    assert_close(product(given, weight, bias), exact + bias)
    assert_close(product(given, weight, bias, relu=True), (exact + bias).clamp(min=0))
    assert_close(product(given, weight, relu=True), exact.clamp(min=0))
    before = total.clone()
    assert_close(added_product(total, given, weight), exact + total)
    assert torch.equal(total, before)


def test_views() -> None:
    wide, turned = drawn(50, 90), drawn(30, 24)
    part, exact = wide[:, 3:33], wide[:, 3:33].double() @ turned.double()
    assert_close(product(part, turned), exact)
    assert_close(product(part, turned.t().contiguous().t()), exact)
    assert_close(
        product(part.t().contiguous().t(), drawn(30, 60)[:, 36:]), part.double() @ drawn(30, 60)[:, 36:].double()
    )
    assert_close(added_product(drawn(50, 24), part, turned), exact + drawn(50, 24))


def test_what_is_no_number_stays_none() -> None:
    given, weight, bias = drawn(20, 30), drawn(30, 40), drawn(40)
    given[3, 4], given[5, 6] = torch.nan, torch.inf
    found = product(given, weight, bias, relu=True)
    assert found[3].isnan().all()
    assert (found[5].isinf() | (found[5] == 0)).all()
    assert found[[0, 1, 2, 4]].isfinite().all()
    assert added_product(drawn(20, 40), given, weight)[3].isnan().all()


def test_a_bias_between_other_numbers() -> None:
    given, weight, bias = drawn(20, 30), drawn(30, 40), drawn(40, 3)[:, 1]
    assert_close(product(given, weight, bias), given.double() @ weight.double() + bias)


def test_nothing_to_multiply() -> None:
    weight, bias = torch.zeros(0, 40), drawn(40)
    assert torch.equal(product(torch.zeros(5, 0), weight, bias), bias.expand(5, 40))
    assert torch.equal(added_product(drawn(5, 40), torch.zeros(5, 0), weight), drawn(5, 40))
    assert product(torch.zeros(0, 30), drawn(30, 40)).shape == (0, 40)
    learnt = drawn(30, 40).requires_grad_()
    learning_product(torch.zeros(0, 30), learnt).sum().backward()
    assert learnt.grad is not None
    assert not learnt.grad.any()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="PyTorch has oneDNN where the processor is of this kind")
def test_the_operator_is_there() -> None:
    assert FOUND is not None


@pytest.mark.parametrize("width", [128, 40, 1])
def test_a_row_does_not_depend_on_the_others(width: int) -> None:
    given, weight, bias = drawn(512, 337), drawn(337, width), drawn(width)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(3))
    assert torch.equal(product(given[order], weight, bias), product(given, weight, bias)[order])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_gradients(shape: tuple[int, int, int], with_bias: bool) -> None:
    n, width_in, width = shape
    given, weight, bias, pull = drawn(n, width_in), drawn(width_in, width), drawn(width), drawn(n, width)

    def slopes(run: Any, dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [t.to(dtype).requires_grad_() for t in (given, weight, bias)[: 2 + with_bias]]
        return list(torch.autograd.grad((run(*leaves) * pull.to(dtype)).sum(), leaves))

    def defined(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | float = 0) -> torch.Tensor:
        return x @ w + b

    for found, expected in zip(slopes(learning_product, torch.float32), slopes(defined, torch.float64), strict=True):
        assert_close(found, expected)
    for found, expected in zip(slopes(learning_product, torch.float64), slopes(defined, torch.float64), strict=True):
        torch.testing.assert_close(found, expected)


def test_only_what_is_wanted_gets_a_gradient() -> None:
    given, weight = drawn(20, 30), drawn(30, 40).requires_grad_()
    learning_product(given, weight).sum().backward()
    assert given.grad is None
    assert weight.grad is not None
    assert_close(weight.grad, given.double().sum(dim=0)[:, None].expand(30, 40))
