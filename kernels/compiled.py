"""Every Triton kernel that ships, compiled ahead of time for a chip that need not be there.

    python -m matscreen.kernels.compiled 80 90

prints a line of JSON for each: registers, spilled bytes, shared memory and which matrix instructions it holds.
"""

import importlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import run
from typing import Any

KERNELS = ("disorientation", "embedding", "features", "filters2d", "master_pattern", "mlp")
"""Those that have a GPU version."""

ALIGNED = {"mlp": ("width", "columns", "depth", "source_depth")}
"""Arguments that are multiples of 16 where these kernels are launched: widths of layers, which are padded to that."""

SHARED_LIMIT = {80: 163 * 1024, 90: 227 * 1024}
"""Bytes of shared memory that a program may take, by compute capability (CUDA C++ Programming Guide)."""


def compiled(capability: int) -> Iterator[dict[str, Any]]:
    """What became of each shipped configuration on a chip of this compute capability (80, 90)."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("cuda", capability, 32)
    for name in KERNELS:
        module = importlib.import_module(f"matscreen.kernels.{name}.gpu")
        for kernel, types, constants, options in module.configurations(capability):
            signature = {argument: types.get(argument, "constexpr") for argument in kernel.arg_names}
            # As at a launch: memory begins at multiples of 16 bytes, and so do rows whose length is in `aligned`.
            whole = ALIGNED.get(name, ())
            pointers = [a for a, kind in types.items() if kind.startswith("*")]
            aligned = [(n,) for n, a in enumerate(kernel.arg_names) if a in whole or a in pointers]
            source = ASTSource(kernel, signature, constants, {place: [["tt.divisibility", 16]] for place in aligned})
            binary = triton.compile(source, target=target, options=dict(options))
            ptx = binary.asm["ptx"]
            yield {
                "kernel": f"{name}.{kernel.__name__}",
                "types": types,
                "constants": constants,
                "capability": capability,
                "shared": binary.metadata.shared,
                "instructions": sorted(set(re.findall(r"\b(?:wgmma\.mma_async|mma\.sync)[.\w]*", ptx))),
                **resources(binary.asm["cubin"]),
            }


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
            print(json.dumps(line), flush=True)
