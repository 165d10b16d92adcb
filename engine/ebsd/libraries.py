"""kikuchipy and orix, which know every vendor's files."""

import importlib
import logging
import warnings
from types import ModuleType

from matscreen.models.errors import InputError


def library(name: str) -> ModuleType:
    """The module, quiet; InputError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
    except ImportError:
        raise InputError("patterns and orientations need kikuchipy and orix: pip install 'matscreen[ebsd]'") from None
    for logger in ("hyperspy", "rsciio", "kikuchipy"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    return module
