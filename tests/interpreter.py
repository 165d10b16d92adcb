"""What Triton's interpreter does otherwise than a device."""

import numpy as np
import pytest
import torch
import triton.language as tl
from triton.runtime import interpreter

from matscreen.kernels.backend import gpu_here

TYPES = {tl.float32: torch.float32, tl.float16: torch.float16, tl.bfloat16: torch.bfloat16}
TYPES[tl.float8e4nv] = torch.float8_e4m3fn
BITS = {8: torch.uint8, 16: torch.int16, 32: torch.int32}


def few_bits_as_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter rounds wrongly to fp8, cuts off to bf16 and multiplies bf16 as the integers it keeps them in."""
    if gpu_here() != "interpreter":
        return
    plain = interpreter.InterpreterBuilder.create_dot

    def convert(values: np.ndarray, given: tl.dtype, wanted: tl.dtype, _mode: object) -> np.ndarray:
        bits = np.ascontiguousarray(values).view(
            f"int{given.primitive_bitwidth}" if given != tl.float8e4nv else np.uint8
        )
        found = torch.from_numpy(bits).view(TYPES[given]).to(TYPES[wanted]).view(BITS[wanted.primitive_bitwidth])
        return found.numpy().view(f"uint{wanted.primitive_bitwidth}")

    def meant(handle: interpreter.TensorHandle) -> interpreter.TensorHandle:
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return interpreter.TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def create_dot(self: object, a: object, b: object, *rest: object) -> object:
        return plain(self, meant(a), meant(b), *rest)

    monkeypatch.setattr(interpreter, "_convert_float", convert)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
