"""The check that users run is itself right: it passes here, and finds what is wrong."""

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


def test_what_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    right = filters2d.cpu.minimum
    monkeypatch.setattr(filters2d.cpu, "minimum", lambda *given: right(*given) + np.float32(0.01))
    wrong = [check for check in parity.checks() if not check.holds]
    assert [(check.kernel, check.backend) for check in wrong] == [("filters2d minimum", "cpu")]
    assert not parity.Parity("hull", "cpu", float("nan"), 1.0, 0.0).holds
