"""The check that users run is itself right: it passes here, and finds what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from matscreen.kernels import filters2d, parity


def test_every_kernel_holds_on_every_backend() -> None:
    found = list(parity.checks(seed=3))
    assert {check.kernel.partition(" ")[0] for check in found} == {
        folder.parent.name for folder in Path(parity.__file__).parent.glob("*/reference.py")
    }
    assert all(check.holds for check in found), [check for check in found if not check.holds]


def test_what_is_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    right = filters2d.cpu.minimum
    monkeypatch.setattr(filters2d.cpu, "minimum", lambda *given: right(*given) + np.float32(0.01))
    assert run("doctor", "--kernels") == 1
    told = capsys.readouterr()
    wrong = [line.split() for line in told.out.splitlines() if "WRONG" in line]
    assert [line[:3] for line in wrong] == [["filters2d", "minimum", "cpu"]]
    assert all(kernel in told.out for kernel in ("enumeration", "hull", "disorientation", "filters2d slopes"))
    monkeypatch.undo()
    monkeypatch.setattr("matscreen.engine.cli.doctor.checks", lambda: [parity.Parity("hull", "cpu", 0.5, 1.0, 0.0)])
    assert run("doctor", "--kernels") == 0
    assert not parity.Parity("hull", "cpu", float("nan"), 1.0, 0.0).holds
