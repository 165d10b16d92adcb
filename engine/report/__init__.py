"""One page that tells a run: `report.html`, which needs no network, and its figures as PNG."""

from matscreen.engine.report.write import write_report

__all__ = ["write_report"]
