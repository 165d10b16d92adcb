"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import matscreen.engine
import matscreen.kernels
import matscreen.models

MODULES = [
    found.name
    for package in (matscreen.engine, matscreen.kernels, matscreen.models)
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
]


def test_examples() -> None:
    attempted = 0
    for name in MODULES:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        attempted += result.attempted
    assert attempted >= 5


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__
