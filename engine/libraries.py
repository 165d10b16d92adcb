"""Libraries that only some commands need, asked for when they do."""

import importlib
import logging
import warnings
from types import ModuleType

from matscreen.models.errors import InputError

EXTRAS = {
    "ebsd": ("patterns and orientations need kikuchipy and orix", ("hyperspy", "rsciio", "kikuchipy")),
    "slurm": ("SLURM jobs need dask-jobqueue", ("distributed",)),
    "cuda": ("a process for each GPU needs dask-cuda", ("distributed",)),
    "spectra": ("spectra need h5py, captum, scikit-learn and matplotlib", ()),
    "xrd": ("detector images need fabio and pyFAI", ("fabio", "pyFAI", "silx")),
}
"""Of the package: what to say where one is missing, and whose messages to keep to ourselves."""

SILENCE = logging.NullHandler()
"""One for all times that a library is asked for: a logger asks each handler that it has."""


def library(name: str, extra: str) -> ModuleType:
    """The module `name`, quiet; InputError where the package was installed without its extra."""
    need, loggers = EXTRAS[extra]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
    except ImportError:
        raise InputError(f"{need}: pip install 'matscreen[{extra}]'") from None
    for logger in loggers:  # what matters of theirs is told as a problem of the file
        logging.getLogger(logger).propagate = False
        logging.getLogger(logger).addHandler(SILENCE)
    return module
