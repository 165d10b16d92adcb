"""Every Triton kernel that ships, compiled ahead of time for a chip that need not be there.

    python -m matscreen.kernels.compiled 80 90

prints a line of JSON for each: registers, spilled bytes, shared memory and which matrix instructions it holds.
"""

import importlib
import json
import re
import sys
import tempfile
from pathlib import Path
from subprocess import run
from typing import Any

KERNELS = ("disorientation", "filters2d")
"""Those that have a GPU version."""

SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}
"""Bytes of shared memory that a program may take, by compute capability (CUDA C++ Programming Guide, table 30)."""


def compiled(capability: int) -> list[dict[str, Any]]:
    """What became of each shipped configuration on a chip of this compute capability (80, 90)."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("cuda", capability, 32)
    found = []
    for name in KERNELS:
        for kernel, types, constants, options in importlib.import_module(
            f"matscreen.kernels.{name}.gpu"
        ).configurations():
            signature = {argument: types.get(argument, "constexpr") for argument in kernel.arg_names}
            binary = triton.compile(ASTSource(kernel, signature, constants), target=target, options=dict(options))
            ptx = binary.asm["ptx"]
            found.append(
                {
                    "kernel": f"{name}.{kernel.__name__}",
                    "types": types,
                    "constants": {k: v for k, v in constants.items() if isinstance(v, (int, str))},
                    "capability": capability,
                    "shared": binary.metadata.shared,
                    "instructions": sorted(set(re.findall(r"\b(wgmma\.mma_async|mma\.sync)[.\w]*", ptx))),
                    **resources(binary.asm["cubin"]),
                }
            )
    return found


def resources(cubin: bytes) -> dict[str, int]:
    """Registers a thread and bytes of stack, which is where spills go, from the compiler's own report."""
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        told = run([knobs.nvidia.cuobjdump.path, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    return {name.lower(): int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", told)}


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        for line in compiled(int(argument)):
            print(json.dumps(line))
