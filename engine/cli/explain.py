"""`matscreen explain`: why a composition lies where it lies, and which way is better."""

import csv
import json
import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table, say
from matscreen.engine.explain.document import document, worth_telling
from matscreen.engine.explain.pictures import PER_PERCENT, arrows, explanation_picture
from matscreen.engine.explain.stability import Explanation, Way
from matscreen.engine.explain.stability import explain as explained
from matscreen.engine.explain.triangle import explain_triangle
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError
from matscreen.models.pictures import figure, save_figure

JUMP = 0.02
"""eV/atom; what is told of."""


def explain(
    formulas: Annotated[list[str] | None, typer.Argument(help="Formulas, such as LiFePO4 'Ca(OH)2'.")] = None,
    triangle: Annotated[
        str,
        typer.Option(help="Three formulas, such as Li2O,Fe2O3,P2O5: draw which way is better all over their mixtures."),
    ] = "",
    picture: Annotated[Path | None, typer.Option(help="Picture to write, .png.")] = None,
    top: Annotated[int, typer.Option(min=0, help="List so many elements that would be worth bringing in.")] = 5,
    reference: o.Reference = o.DEFAULT_REFERENCE,
    formula_column: o.FormulaColumn = o.DEFAULT_FORMULA,
    energy_column: o.EnergyColumn = o.DEFAULT_ENERGY,
    model: o.ModelName = o.DEFAULT_MODEL,
    form: o.Format = "table",
) -> None:
    """Tell in which direction predicted stability improves, and by how much before the uncertainty swallows it.

    Slopes are of the composition as it is; what an exchange of up to a tenth of its atoms would bring is predicted anew
    on the way, as of the same stoichiometry. The uncertainty is what 68% of errors stay below, and the exchanges named
    are the best of hundreds. Members of an ensemble that agree may be wrong together, the more so the less a
    composition is like any known one.
    """
    if not formulas and not triangle:
        raise InputError("give formulas, or --triangle with three")
    if picture and (picture.suffix != ".png" or not picture.parent.is_dir()):
        raise InputError(f"--picture must be a .png file in a folder that exists, not {picture}")
    if triangle and (formulas or not picture):
        raise InputError("--triangle is drawn: give it --picture FILE.png, and no formulas")
    network = o.open_model(model)
    phases = o.open_reference(reference, formula_column, energy_column, say)
    if triangle:
        corners = [corner.strip() for corner in triangle.split(",")]
        found = explain_triangle(corners, network, phases)
        assert picture
        drawn = figure(7, 6)
        axes = drawn.subplots()
        arrows(axes, corners, *found, better=-1)
        axes.set_title("eV/atom from the hull; arrows point to where it is lower")
        save_figure(drawn, picture)
        print(picture)
        return
    all_explained = [explained(formula, network, phases) for formula in formulas or []]
    for one in all_explained:
        unknown = [slope.element for slope in one.slopes if ATOMIC_NUMBERS[slope.element] not in phases.elements]
        if unknown:
            say(f"{phases.name} holds no compound of {', '.join(unknown)}: {one.formula} has few rivals to beat")
    if picture:
        explanation_picture(all_explained, picture)
        say(f"picture in {picture}")
    if form == "json":
        json.dump([document(one, top) for one in all_explained], sys.stdout, indent=1)
        print()
    elif form == "csv":
        rows = [{"formula": one.formula, **row} for one in all_explained for row in document(one, 0)["slopes"]]
        writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        for one in all_explained:
            _print(one, top)


def _print(one: Explanation, top: int) -> None:
    def many(slope: float) -> str:
        return f"{PER_PERCENT * slope:+.1f}"

    predicted = f"{one.energy:.3f}{_give_or_take(one.uncertainty)}"
    print(f"{one.formula}: {one.energy - one.hull:+.3f} eV/atom from the hull (predicted {predicted})")
    print_table(
        "meV/atom for each % of the atoms that become it",
        ("", "% of atoms", "predicted", "", "hull", "hull distance", ""),
        [
            (
                slope.element,
                f"{100 * slope.fraction:.1f}",
                many(slope.energy),
                "" if math.isnan(slope.uncertainty) else f"±{PER_PERCENT * slope.uncertainty:.1f}",
                many(slope.hull),
                many(slope.distance),
                "" if slope.distance == 0 else "more is better" if slope.distance < 0 else "less is better",
            )
            for slope in one.slopes
        ],
    )
    if one.within:
        print("Within its elements:", _told(one.within, one.atoms))
    ways = worth_telling(one)
    for way in ways[:top]:
        print("With another one:   ", _told(way, one.atoms))
    if not ways and top:
        print("No other element brings more than the uncertainty.")
    if one.edge:
        print("The hull has an edge here: its slopes, and those of the distance, are of going there.")
    if abs(one.jump) > JUMP:
        print(f"Beside it the prediction jumps by {one.jump:+.3f} eV/atom: oxidation states that balance no longer do.")
    if abs(one.stoichiometry) > JUMP:
        print(f"Compounds of the same stoichiometry have taught {one.stoichiometry:+.3f} eV/atom of the prediction.")
    print()


def _told(way: Way, atoms: float) -> str:
    best = way.best
    change = f"{way.change[best]:+.3f}{_give_or_take(way.uncertainty[best])} eV/atom"
    told = f"{way.direction}, {100 * way.moved[best]:.3g}% of the atoms: {change}, {way.formula(best, atoms)}"
    if math.isnan(way.uncertainty[best]):
        return f"{told} (of a single network, whose uncertainty is unknown)"
    if way.stretch is None:
        return f"nothing beyond the uncertainty; {told}"
    low, high = (100 * limit for limit in way.stretch)
    return f"{told} (beyond the uncertainty {f'from {low:.3g} to' if high > low else 'only at'} {high:.3g}%)"


def _give_or_take(spread: float) -> str:
    return "" if math.isnan(spread) else f" ±{spread:.3f}"
