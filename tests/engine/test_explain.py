"""Explanations: slopes and ways are those of the model and the hull, by themselves; triangles; the command."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from matscreen import models
from matscreen.engine import PhaseTable
from matscreen.engine.explain.pictures import triangle
from matscreen.engine.explain.stability import MOST, STEPS, explain
from matscreen.engine.explain.triangle import explain_triangle
from matscreen.models import Model
from matscreen.models.encoding import stoichiometries
from matscreen.models.errors import InputError
from matscreen.models.formula import composition_arrays

FORMULAS = ["LiFePO4", "MgS4O5", "Na0.8CoO2"]


def distance(model: Model, phases: PhaseTable, elements: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Through what people would call: formulas."""
    formulas = [
        "".join(f"{models.elements.SYMBOLS[z]}{n:.9f}" for z, n in zip(elements, row, strict=True) if n > 1e-9)
        for row in fractions
    ]
    found: np.ndarray = model.predict(formulas) - phases.hull_energy(formulas)
    return found


@pytest.mark.parametrize("formula", FORMULAS)
def test_ways_are_what_is_predicted_there(formula: str, model: Model, phases: PhaseTable) -> None:
    found = explain(formula, model, phases)
    elements, amounts = composition_arrays([formula])
    start = amounts[0] / amounts.sum()
    assert found.energy == pytest.approx(float(model.predict([formula])[0]), abs=1e-6)
    assert found.uncertainty == pytest.approx(float(model.predict_with_uncertainty([formula])[1][0]), abs=1e-5)
    assert found.hull == pytest.approx(float(phases.hull_energy([formula])[0]), abs=1e-9)
    assert found.within
    structure = model.of_stoichiometry(int(stoichiometries(elements, amounts)[0]))
    here = distance(model, phases, elements[0], start[None])[0]
    for way in (found.within, *found.foreign[:3]):
        np.testing.assert_allclose(way.fractions.sum(axis=1), 1, atol=1e-9)
        before = np.zeros(len(way.elements))
        before[np.searchsorted(way.elements, elements[0])] = start
        np.testing.assert_allclose(np.abs(way.fractions - before).sum(axis=1) / 2, way.moved, atol=1e-9)
        assert (way.fractions >= (1 - MOST) * before - 1e-9).all()
        there = distance(structure, phases, way.elements, way.fractions)
        np.testing.assert_allclose(way.change, there - here, atol=2e-5)
        assert set(np.round(way.moved, 9)) <= set(np.round(STEPS, 9)) or len(way.moved) == 1
    assert all(a.gain.max() >= b.gain.max() for a, b in zip(found.foreign, found.foreign[1:], strict=False))
    brought = [set(way.elements.tolist()) - set(elements[0].tolist()) for way in found.foreign]
    assert all(len(one) == 1 for one in brought)
    assert len({z for one in brought for z in one}) == len(brought) > 50


@pytest.mark.parametrize("name", ["elemnet-oqmd", "pairnet-oqmd"])
def test_slopes_are_of_the_model_and_the_hull(name: str, phases: PhaseTable) -> None:
    """In proportions without ties and of no small formula, so that nothing jumps."""
    model = models.load(name)
    formula = "Li1.1037Fe0.9371P1.2113O4.0917"
    found = explain(formula, model, phases)
    elements, amounts = composition_arrays([formula])
    start, step = amounts[0] / amounts.sum(), 1e-4
    for k, slope in enumerate(found.slopes):
        towards = np.eye(4)[k] - start
        around = np.stack([start + sign * step * towards for sign in (1, -1)])
        energy = model.outputs(np.repeat(elements, 2, axis=0), around, "reference")[:, :, 0].mean(axis=0)
        assert slope.energy == pytest.approx((energy[0] - energy[1]) / (2 * step), rel=0.03, abs=0.02)
        formulas = ["".join(f"{s.element}{n:.12f}" for s, n in zip(found.slopes, row, strict=True)) for row in around]
        hull = phases.hull_energy(formulas)
        assert slope.hull == pytest.approx((hull[0] - hull[1]) / (2 * step), abs=1e-4)
    balance = [[slope.energy, slope.hull] for slope in found.slopes] * start[:, None]
    np.testing.assert_allclose(balance[:, 0].sum(), 0, atol=1e-5)
    assert balance[:, 1].sum() == pytest.approx(0, abs=1e-4)  # on a flat facet
    assert np.isnan(found.uncertainty) == (name == "elemnet-oqmd")


def test_the_stretch_is_about_the_best_step(model: Model, phases: PhaseTable) -> None:
    seen = set()
    for formula in FORMULAS:
        found = explain(formula, model, phases)
        for way in found.foreign:
            seen.add(way.stretch is None)
            if way.stretch is None:
                assert (way.gain <= 0).all()
                continue
            low, high = way.stretch
            assert low <= way.moved[way.best] <= high
            assert (way.gain[(way.moved >= low) & (way.moved <= high)] > 0).all()
            for beside in (way.moved < low, way.moved > high):
                if beside.any():
                    nearest = np.flatnonzero(beside)[-1 if way.moved[beside][0] < low else 0]
                    assert way.gain[nearest] <= 0
    assert seen == {True, False}


def test_an_element_by_itself(model: Model, phases: PhaseTable) -> None:
    found = explain("Fe", model, phases)
    assert found.within is None
    assert [slope.distance for slope in found.slopes] == [0]


ENDS = np.array([[2 / 3, 1 / 3, 0, 0], [0, 3 / 5, 0, 2 / 5], [0, 5 / 7, 2 / 7, 0]])
"""Li2O, Fe2O3 and P2O5 in Li, O, P and Fe."""


def test_a_single_network_does_not_know_what_it_does_not_know(
    phases: PhaseTable, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    found = explain("Fe2O3", models.load("elemnet-oqmd"), phases)
    assert all(way.stretch is None for way in found.foreign)
    assert run("explain", "Fe2O3", "--model", "elemnet-oqmd", "--top", "2") == 0
    said = capsys.readouterr().out
    assert said.count("whose uncertainty is unknown") == 3
    assert "beyond the uncertainty" not in said


def test_what_jumps_and_what_has_an_edge_is_told(
    model: Model, phases: PhaseTable, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    balanced, loose = explain("MgAl2O4", model, phases), explain("Li1.1037Fe0.9371P1.2113O4.0917", model, phases)
    assert balanced.jump > 0.2
    assert balanced.edge
    assert abs(loose.jump) < 0.01
    assert not loose.edge
    assert run("explain", "MgAl2O4", "--top", "0") == 0
    said = capsys.readouterr().out
    assert "has an edge here" in said
    assert "prediction jumps by +0." in said


def test_what_a_stoichiometry_counts_for(
    model: Model, phases: PhaseTable, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """As much as the prediction of the model differs from that of one which knows none."""
    spinel, other = explain("MgAl2O4", model, phases), explain("Li1.1037Fe0.9371P1.2113O4.0917", model, phases)
    assert other.stoichiometry == 0
    both = model.predict(["CaAl2Te4", "Ca1.01Al1.99Te4"])  # beside which charges do not balance, and
    without = model.of_stoichiometry().predict(["CaAl2Te4", "Ca1.01Al1.99Te4"])
    assert both[1] == without[1]
    assert explain("CaAl2Te4", model, phases).stoichiometry == pytest.approx(float(both[0] - without[0]), abs=1e-6)
    assert abs(spinel.stoichiometry) > 0.02
    assert run("explain", "MgAl2O4", "--top", "0") == 0
    assert f"have taught {spinel.stoichiometry:+.3f} eV/atom" in capsys.readouterr().out


def test_a_triangle(model: Model, phases: PhaseTable) -> None:
    corners = ["Li2O", "Fe2O3", "P2O5"]
    found = explain_triangle(corners, model, phases)
    grid = {tuple(np.round(20 * shares).astype(int).tolist()): row for row, shares in enumerate(found.shares)}
    np.testing.assert_array_equal(found.shares, triangle(20))
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    flat = np.abs((found.shares * found.slopes).sum(axis=1)) < 1e-3
    assert flat.mean() > 0.9  # the others lie on an edge of the hull
    smooth = models.load("elemnet-oqmd")  # to which nothing balances
    row, step = grid[7, 6, 7], 1e-4
    for k, slope in enumerate(explain_triangle(corners, smooth, phases).slopes[row]):
        ahead = found.shares[row] + step * (np.eye(3)[k] - found.shares[row])
        both = np.stack([found.shares[row], ahead]) @ ENDS
        here, there = distance(smooth, phases, np.array([3, 8, 15, 26], np.uint8), both)
        assert slope == pytest.approx((there - here) / step, abs=0.15)
    row = grid[3, 10, 7]  # a stoichiometry that the model knows, which a triangle does not tell apart
    x = found.shares[row] @ ENDS
    elements = np.array([3, 8, 15, 26], np.uint8)
    between = model.of_stoichiometry()
    assert found.distance[row] == pytest.approx(distance(between, phases, elements, x[None])[0], abs=2e-5)
    assert abs(found.distance[row] - distance(model, phases, elements, x[None])[0]) > 0.02
    for wrong, told in ((corners[:2], "three|3 corners"), (["Li2O", "Li4O2", "P2O5"], "corners of no triangle")):
        with pytest.raises(InputError, match=told):
            explain_triangle(wrong, model, phases)


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("explain", "LiFePO4", "TiO2", "Fe", "--top", "2", "--picture", "why.png") == 0
    said = capsys.readouterr().out
    assert said.count("With another one:") == 4
    assert "nothing beyond the uncertainty" in said
    assert "No other element" in said
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    assert run("explain", "LiFePO4", "--format", "json", "--top", "3") == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert [slope["element"] for slope in document["slopes"]] == ["Li", "O", "P", "Fe"]
    assert len(document["with_another"]) == 3
    assert run("explain", "LiFePO4", "--format", "csv", "--model", "elemnet-oqmd") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["uncertainty_ev_atom"] for row in rows] == [""] * 4
    assert run("explain", "--triangle", "Li2O,Fe2O3,P2O5", "--picture", "map.png") == 0
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give formulas"),
        (["Fe2Q3"], "unknown element 'Q'"),
        (["HeO"], "does not know He"),
        (["Fe2O3", "--top", "-1"], "--top"),
        (["Fe2O3", "--picture", "x.pdf"], "--picture must be"),
        (["Fe2O3", "--picture", "nowhere/x.png"], "--picture must be"),
        (["--triangle", "Li2O,Fe2O3,P2O5"], "give it --picture"),
        (["--triangle", "Li2O,Fe2O3", "--picture", "x.png"], "3 corners"),
        (["Fe2O3", "--triangle", "Li2O,Fe2O3,P2O5", "--picture", "x.png"], "no formulas"),
        (["Fe2O3", "--model", "properties-aflow"], "not formation energies"),
        (["HLiBeBCNOFNaMgAlSiPSClK"], "more than 15 elements"),
    ],
)
def test_bad_input(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("explain", *arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
