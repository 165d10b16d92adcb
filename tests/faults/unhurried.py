"""Loaded by a worker before it works: chunks take so long each that a scan lasts until a fault comes."""

import time

from matscreen.engine import cluster
from matscreen.engine.screen import Screened

CHUNK_SECONDS = 0.2


def dask_setup(_: object) -> None:
    """What Dask calls, once; it runs the rest of the file more than once."""
    screened = cluster.screen_range

    def screen_range(name: str, start: int, stop: int) -> Screened:
        time.sleep(CHUNK_SECONDS)
        return screened(name, start, stop)

    cluster.screen_range = screen_range
