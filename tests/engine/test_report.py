"""The report: what it counts, that nothing a file says becomes markup, and that it works in a real browser."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matscreen.engine import CompositionSpace, PhaseTable, Run, cli, scan
from matscreen.engine.report import write_report
from matscreen.engine.report.categories import CATEGORIES, Counts, membership
from matscreen.engine.report.contents import contents
from matscreen.engine.report.figures import place
from matscreen.engine.shortlist import Filters
from matscreen.models import Model
from matscreen.models.formula import composition_arrays


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Model, phases: PhaseTable) -> Run:
    """A small scan against a reference whose name and formulas try to be markup."""
    name = "<script>document.body.dataset.hacked = 1</script>"
    hostile = PhaseTable(name, phases.table["formula"].to_pylist(), *_rest(phases))
    return scan(CompositionSpace("Li,Na,Fe,Ti,O,F"), model, hostile, tmp_path_factory.mktemp("runs") / "six", 0.05)


def _rest(phases: PhaseTable) -> tuple[np.ndarray, list[str], dict[str, str]]:
    return phases.table["formation_energy_ev_atom"].to_numpy(), phases.table["source_id"].to_pylist(), {}


@pytest.fixture(scope="module")
def page(run: Run) -> Path:
    return write_report(run.path, Filters())


def test_categories_of_compounds_everybody_knows() -> None:
    names = ["NaCl", "LiFeO2", "TiOF2", "Fe2O3", "CaTiO3", "NiTi", "Nb3Sn", "LaNi5", "SiO2"]
    elements, _ = composition_arrays(names)
    found = {k: [n for n, m in zip(names, member, strict=True) if m] for k, member in membership(elements).items()}
    assert found == {
        "with Li, Na or K": ["NaCl", "LiFeO2"],
        "chalco- and oxyhalides": ["TiOF2"],
        "metal oxides": ["LiFeO2", "Fe2O3", "CaTiO3"],
        "3d metal oxides": ["Fe2O3"],
        "intermetallics": ["NiTi", "Nb3Sn"],
        "3d intermetallics": ["NiTi"],
    }


def test_counts_are_of_all_candidates(run: Run) -> None:
    told = contents(run.path, Filters(), listed=10)
    table = run.candidates
    assert told["candidates"]["formula"] == table["formula"].to_pylist()[:10]
    assert sum(told["histogram"]["counts"]) == len(table)
    assert told["occurrences"] == {
        symbol: sum(symbol in row for row in table["elements"].to_pylist()) for symbol in sorted(told["occurrences"])
    }
    elements, _ = composition_arrays(table["formula"].to_pylist())
    systems = np.array(table["chemical_system"].to_pylist())
    for row in told["categories"]:
        member = membership(elements)[row["category"]]
        for k, part in row["arity"].items():
            mine = systems[member & ((elements > 0).sum(axis=1) == k)]
            assert part["systems"] == len(set(mine))
            assert len(part["best"]) == min(2, len(set(mine)))
    assert [row["category"] for row in told["categories"]] == list(CATEGORIES)
    near = table["nearest_phase_distance"].to_numpy()
    assert told["matches"] == {"0.01": int((near <= 0.01).sum()), "0.1": int((near <= 0.1).sum())}
    assert len(told["timeline"]) == len(list((run.path / "chunks").glob("*.parquet")))


def test_the_best_of_a_category_are_of_two_systems(run: Run) -> None:
    counts, table = Counts(), run.candidates
    for start in range(0, len(table), 50):
        counts.count(table.slice(start, 50))
    firsts: dict[str, str] = {}
    for row in table.to_pylist():
        if row["n_elements"] == 3 and {"Li", "Na"} & set(row["elements"]):
            firsts.setdefault(row["chemical_system"], row["formula"])
    assert list(counts.best["with Li, Na or K", 3].values()) == list(firsts.values())[:2]


def test_filters_shorten_the_table_alone(run: Run) -> None:
    told = contents(run.path, Filters(charge_balanced=True, max_per_system=1))
    everything = contents(run.path, Filters())
    assert told["filters"]["charge-balanced"] > 0
    assert len(told["candidates"]["formula"]) < len(everything["candidates"]["formula"])
    assert told["histogram"] == everything["histogram"]


def test_every_element_has_a_place_of_its_own() -> None:
    places = [place(z) for z in range(1, 119)]
    assert len(set(places)) == 118
    assert [place(z) for z in (1, 2, 5, 26, 72, 86, 57, 103)] == [
        (0, 0), (0, 17), (1, 12), (3, 7), (5, 3), (5, 17), (8, 2), (9, 16),
    ]  # fmt: skip


def test_the_page_holds_everything_and_asks_for_nothing(page: Path) -> None:
    text = page.read_text()
    assert "<script src" not in text
    assert '<link rel="stylesheet"' not in text
    assert "<script>document.body" not in text
    data = text.split('id="data">')[1].split("</script>")[0]
    assert json.loads(data)["reference"]["name"].startswith("<script>")
    assert {p.name for p in (page.parent / "report").iterdir()} == {
        "categories.png", "elements.png", "hull-distances.png",
    }  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system, headless."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any, page: Path) -> Iterator[Any]:
    """The page at desk width; fails if anything was asked of the network or went to the console as an error."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else complaints.append(request.url),
    )
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-ready=yes]")
    yield tab
    assert complaints == []
    tab.close()


def column(tab: Any, number: int) -> list[str]:
    return [cell.inner_text() for cell in tab.query_selector_all(f"#table tbody td:nth-child({number})")]


def test_it_renders_sorts_and_filters(opened: Any, run: Run) -> None:
    assert opened.evaluate("document.body.dataset.hacked") is None
    assert len(column(opened, 2)) == 50
    assert opened.locator("#plot .main-svg").count() > 0
    assert opened.locator("#histogram .main-svg").count() > 0
    rank = np.argsort(run.candidates["formation_energy_ev_atom"].to_numpy(), kind="stable")
    opened.click("#table th:nth-child(4)")
    assert float(column(opened, 4)[0]) == pytest.approx(
        run.candidates["formation_energy_ev_atom"][rank[0]].as_py(), abs=1e-3
    )
    opened.click("#table th:nth-child(4)")
    found = [float(text) for text in column(opened, 4)]
    assert found == sorted(found, reverse=True)
    opened.fill("#with", "Li O")
    opened.fill("#without", "F")
    opened.select_option("#arity", "3")
    expected = [
        row for row in run.candidates.to_pylist()
        if {"Li", "O"} <= set(row["elements"]) and "F" not in row["elements"] and row["n_elements"] == 3
    ]  # fmt: skip
    assert opened.inner_text("#shown").startswith(f"{len(expected):,} of ")
    opened.check("#balanced")
    assert opened.inner_text("#shown").startswith(f"{sum(row['electronegativity_ordered'] for row in expected):,} of ")
    opened.click("#clear")
    assert opened.inner_text("#shown").startswith(f"{len(run.candidates):,} of ")


@pytest.mark.parametrize("arity", [2, 3, 4])
def test_hull_diagrams_agree_with_the_engine(opened: Any, run: Run, phases: PhaseTable, arity: int) -> None:
    row = next(row for row in run.candidates.to_pylist() if row["n_elements"] == arity)
    opened.fill("#system", row["chemical_system"])
    opened.press("#system", "Enter")
    table = phases.system(row["chemical_system"]).to_pylist()
    stable = {r["formula"] for r in table if r["hull_distance_ev_atom"] < 1e-9 and r["formation_energy_ev_atom"] < 0}
    assert opened.inner_text("#diagram-note").startswith(f"{len(stable)} known compounds on the hull")


def test_a_candidate_is_shown_by_a_click(opened: Any) -> None:
    name = column(opened, 2)[4].replace("\n", "")
    opened.click("#table tbody tr:nth-child(5)")
    assert name in opened.inner_text("#diagram-note")


def test_directions_are_of_the_best(opened: Any, run: Run) -> None:
    best = run.candidates["formula"].slice(0, 5).to_pylist()
    cells = opened.locator("#ways tr td:first-child").all_inner_texts()
    assert [text.replace("\n", "") for text in cells] == best
    ways = opened.locator("#ways tr td:nth-child(3)").all_inner_texts()
    assert all("eV/atom" in text or "nothing beyond" in text for text in ways)


def test_on_a_phone(browser: Any, page: Path) -> None:
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-ready=yes]")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert not tab.is_visible("#table th.wide")
    tab.close()


def test_a_hundred_thousand_candidates_open(browser: Any, run: Run, tmp_path: Path) -> None:
    """The page's own code with a table of 100,000 rows: drawn, and sorted by a click."""
    from plotly.offline import get_plotlyjs

    from matscreen.engine.report.write import _page

    told = contents(run.path, Filters())
    columns, n = told["candidates"], len(told["candidates"]["formula"])
    take = np.resize(np.arange(n), 100_000).tolist()
    told["candidates"] = {
        name: {"words": c["words"], "codes": [c["codes"][i] for i in take]}
        if isinstance(c, dict)
        else [c[i] for i in take]
        for name, c in columns.items()
    }
    large = tmp_path / "large.html"
    large.write_text(_page(told, get_plotlyjs()))
    tab = browser.new_page()
    started = time.perf_counter()
    tab.goto(large.as_uri())
    tab.wait_for_selector("body[data-ready=yes]")
    print(f"opened in {time.perf_counter() - started:.2f} s")
    assert "100,000" in tab.inner_text("#shown")
    tab.click("#table th:nth-child(2)")
    assert column(tab, 2)[0] == min(columns["formula"])
    tab.close()


def test_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["matscreen", "report", str(run.path), "--diverse"])
    cli.main()
    assert capsys.readouterr().out.strip() == str(run.path / "report.html")
    monkeypatch.setattr("sys.argv", ["matscreen", "report", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "no run directory" in capsys.readouterr().err


def test_a_run_without_candidates(model: Model, phases: PhaseTable, tmp_path: Path) -> None:
    scan(CompositionSpace("Li-Fe", arity=2), model, phases, tmp_path / "none", 5.0)
    assert write_report(tmp_path / "none", Filters()).is_file()
