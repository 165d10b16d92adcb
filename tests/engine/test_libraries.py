"""Libraries that are asked for again and again."""

import logging

import pytest

from matscreen.engine.libraries import EXTRAS, library


def test_asking_again_leaves_nothing_behind() -> None:
    """A folder of ten thousand images asks ten thousand times."""
    pytest.importorskip("fabio")
    library("fabio", "xrd")
    before = [list(logging.getLogger(name).handlers) for name in EXTRAS["xrd"][1]]
    for _ in range(3):
        library("fabio", "xrd")
    assert [logging.getLogger(name).handlers for name in EXTRAS["xrd"][1]] == before
