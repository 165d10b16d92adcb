"""The page and the pictures, into the run directory."""

import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from matscreen.engine.lock import locked
from matscreen.engine.report.contents import contents
from matscreen.engine.report.figures import (
    categories_figure,
    distances_figure,
    elements_figure,
    properties_figure,
    search_figure,
)
from matscreen.engine.shortlist import Filters
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically
from matscreen.models.pictures import save_figure


def write_report(run: Path, filters: Filters) -> Path:
    """Write `report.html` and `report/*.png` for the finished run at `run`; returns the page's path.

    InputError without the optional packages or for what is no finished run, JobError for a damaged one.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("reports need plotly: pip install 'matscreen[report]'") from None
    told = contents(run, filters)
    with locked(run):  # who holds it takes other temporary files for those of the dead
        return _written(run, told, get_plotlyjs())


def _written(run: Path, told: dict[str, Any], plotly: str) -> Path:
    (run / "report").mkdir(exist_ok=True)
    for name, draw in (
        ("categories", categories_figure),
        ("elements", elements_figure),
        ("hull-distances", distances_figure),
    ):
        save_figure(draw(told), run / "report" / f"{name}.png")
    if told["search"]:
        save_figure(search_figure(told), run / "report" / "search.png")
    if told["properties"]["columns"]:
        save_figure(properties_figure(told), run / "report" / "properties.png")
    page = run / "report.html"
    text = _page(told, plotly)
    write_atomically(page, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return page


def _page(told: dict[str, Any], plotly: str) -> str:
    """The page's own files put together; whatever a run says reaches it as data, never as markup."""
    own = files("matscreen.engine.report")
    parts = {
        "TITLE": html.escape(f"{told['run']['name']} · matscreen"),
        "STYLE": own.joinpath("page.css").read_text(encoding="utf-8"),
        "PLOTLY": plotly,
        "HULL": own.joinpath("hull.js").read_text(encoding="utf-8"),
        "SCRIPT": own.joinpath("page.js").read_text(encoding="utf-8"),
        "DATA": json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    }
    page = own.joinpath("page.html").read_text(encoding="utf-8")
    before, *rest = page.split("{{")
    return before + "".join(parts[part.split("}}", 1)[0]] + part.split("}}", 1)[1] for part in rest)
