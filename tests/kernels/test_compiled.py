"""Every Triton kernel that ships compiles for the chips it ships for, whatever this machine has."""

import json
import os
import subprocess
import sys

import pytest

from matscreen.kernels.compiled import KERNELS, SHARED_LIMIT

pytest.importorskip("triton")


@pytest.mark.parametrize("capability", SHARED_LIMIT)
def test_no_kernel_spills_or_takes_too_much(capability: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "matscreen.kernels.compiled", str(capability)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kernels = [json.loads(line) for line in done.stdout.splitlines()]
    assert {kernel["kernel"].partition(".")[0] for kernel in kernels} == set(KERNELS)
    for kernel in kernels:
        told = f"{kernel['kernel']} {kernel['constants']} {kernel['types']}"
        assert kernel["stack"] == 0, f"{told} spills {kernel['stack']} bytes a thread"
        assert kernel["local"] == 0, told
        assert kernel["shared"] <= SHARED_LIMIT[capability], told
        if kernel["kernel"] == "mlp.dense":
            given, unit = kernel["types"]["given"].removeprefix("*"), "wgmma" if capability == 90 else "mma"
            kind = "tf32" if kernel["constants"]["PRECISION"] == "tf32" else {"fp8e4nv": "e4m3"}.get(given, given)
            if kind == "fp32":  # all bits of it: no matrix unit keeps them
                assert not kernel["instructions"], told
            else:
                assert kernel["instructions"], told
                assert all(unit in name and kind in name for name in kernel["instructions"]), told
