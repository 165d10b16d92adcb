"""Products of float32 matrices on the CPU, by oneDNN where PyTorch has it.

`torch.mm` asks MKL, which keeps to half of the vector units on processors that are not Intel's: on a core of a
fifth-generation EPYC ElemNet is twice as fast by oneDNN (`bench/mlp_cpu.py`). PyTorch's own compiler calls it by the
operator that is used here.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

_OPERATOR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None  # type: ignore[no-untyped-call]

NARROW = 16
"""Outputs; of fewer oneDNN is several times slower than MKL."""


def product(
    given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, relu: bool = False
) -> torch.Tensor:
    """ReLU(given · weight + bias), or without the one or the other; what is no number stays none.

    given (N, in), weight (in, out), which may be a view of its transpose, and bias (out,), all float32, → (N, out),
    without a way back for gradients. In which order a row is summed was seen to depend on the shapes alone (on one
    processor, with as many threads).
    """
    if _left_to_mkl(given, weight):
        found = given @ weight if bias is None else torch.addmm(bias, given, weight)
    else:  # its own ReLU would make 0 of what is no number, and it takes a bias in one piece only
        bias = None if bias is None else bias.contiguous()
        found = _OPERATOR.default(_whole(given), _whole(weight.t()), bias, "none", [], "")
    return found.relu_() if relu else found


def added_product(total: torch.Tensor, given: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """total + given · weight, (N, out); see `product`."""
    if _left_to_mkl(given, weight):
        return torch.addmm(total, given, weight)
    made: torch.Tensor = _OPERATOR.binary(_whole(given), total, _whole(weight.t()), None, "add")
    return made


def _left_to_mkl(given: torch.Tensor, weight: torch.Tensor) -> bool:
    return _OPERATOR is None or weight.shape[1] < NARROW or not given.numel()


def _whole(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix or its transpose in one piece: for a part of a wider one oneDNN has no fast way."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def learning_product(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """given · weight + bias for what learns by it, (N, out), with first derivatives by the same library.

    Shapes as in `product`, any device and type: only float32 on the CPU has a choice. Not for `torch.func`.
    """
    if given.device.type == "cpu" and given.dtype == weight.dtype == torch.float32:
        made: torch.Tensor = _Product.apply(given, weight, bias)  # type: ignore[no-untyped-call]
        return made
    return torch.nn.functional.linear(given, weight.t(), bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(given, weight)
        return product(given, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            product(slope, weight.t()) if wanted[0] else None,
            product(given.t(), slope) if wanted[1] else None,
            slope.sum(dim=0) if wanted[2] else None,
        )
