"""How a screening job flows: composition space → chunks → screen → candidates."""

from matscreen.engine.reference import PhaseTable
from matscreen.engine.scan import Run, resume, scan
from matscreen.engine.screen import screen
from matscreen.engine.space import CompositionSpace

__all__ = ["CompositionSpace", "PhaseTable", "Run", "resume", "scan", "screen"]
