"""Known phases: where they come from and the table that the hull is built on."""

from matscreen.engine.reference.phases import PhaseTable
from matscreen.engine.reference.sources import SOURCES

__all__ = ["SOURCES", "PhaseTable"]
