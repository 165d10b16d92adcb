"""`matscreen report`: a run as a page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import say
from matscreen.engine.report import write_report
from matscreen.engine.shortlist import Filters


def report(
    run: Annotated[Path, typer.Argument(help="A run directory that `matscreen scan` made.")],
    charge_balanced: o.ChargeBalanced = False,
    no_f_block: o.NoFBlock = False,
    no_radioactive: o.NoRadioactive = False,
    max_per_system: o.MaxPerSystem = 0,
    diverse: o.Diverse = False,
    likely_first: o.LikelyFirst = False,
) -> None:
    """Write RUN/report.html, a page that needs no network, and its figures as PNG in RUN/report.

    The filters shorten its table of candidates; its counts are of all.
    """
    filters = Filters(charge_balanced, no_f_block, no_radioactive, max_per_system, diverse, likely_first)
    page = write_report(run, filters)
    say(f"figures in {page.parent / 'report'}")
    print(page)
