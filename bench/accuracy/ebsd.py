"""Orientations from patterns: OMNet by loss and representation, and dictionary indexing (Jha 2020, table 6.1).

Every network is of the small plan and learns from clean patterns, as published, of the same 41,625 orientations, each
turned by about a degree, for the same few epochs; the shipped one saw disturbed patterns and far more of them. Judged
on 1,000 random orientations, clean and disturbed, and on the nine real nickel patterns that kikuchipy brings, against
the refined orientations that it tells of them.
"""

import time
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import torch

from bench.accuracy.common import Job, job, progress, show
from bench.harness import median_seconds
from matscreen.engine.ebsd.crystals import NICKEL, read_crystal
from matscreen.engine.ebsd.dictionary import simulate
from matscreen.engine.ebsd.grid import orientation_grid
from matscreen.engine.ebsd.indexing import ByDictionary, ByNetwork, Method
from matscreen.engine.ebsd.map import read_map
from matscreen.engine.libraries import library
from matscreen.kernels.disorientation import disorientation_angle, reference
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.losses import losses, mseae
from matscreen.models.ebsd.model import load
from matscreen.models.ebsd.network import PLANS, OMNet
from matscreen.models.ebsd.patterns import prepared
from matscreen.models.ebsd.refinement import refined
from matscreen.models.ebsd.representation import REPRESENTATIONS
from matscreen.models.ebsd.simulation import CLEAN, Crystal, Disturbance, disturbed
from matscreen.models.ebsd.training import OrientationRecipe, fit, random_orientations

PLAN = "omnet-small"
GRID, EPOCHS, HELD_OUT = 50, 8, 1000
HOW = replace(CLEAN, orientation=1.0)
VARIANTS = (
    *(("euler", loss) for loss in ("mae", "mse", "mde", "mae+mde", "mse+mde")),
    ("quaternion", "mde"),
    ("cubic", "mse"),
)
PUBLISHED = {  # simulated and real patterns, degrees
    "dictionary": (None, 0.652),
    "euler mae": (0.064, 0.596),
    "euler mse": (0.292, 1.285),
    "euler mde": (0.272, 1.224),
    "euler mae+mde": (0.132, 0.548),
    "euler mse+mde": (0.171, 0.658),
}


def degrees(found: np.ndarray, true: np.ndarray, symmetry: str) -> float:
    """Mean disorientation."""
    return float(np.degrees(disorientation_angle(found, true, symmetry)).mean())


class Cases:
    """What every method is judged by: prepared patterns and their orientations."""

    def __init__(self, crystal: Crystal, geometry: Geometry) -> None:
        self.crystal, self.geometry = crystal, geometry
        self.known = random_orientations(HELD_OUT, crystal.symmetry, seed=2024)
        torch.manual_seed(2024)
        self.clean = disturbed(crystal, geometry, self.known, CLEAN)
        self.noisy = disturbed(crystal, geometry, self.known, Disturbance())
        given = read_map(NICKEL)
        images, _ = given.block(0, len(given))
        self.real = prepared(torch.from_numpy(images), torch.from_numpy(given.static))
        self.centres = given.centres
        small = library("kikuchipy", "ebsd").data.nickel_ebsd_small()
        self.told = np.asarray(small.xmap.rotations.data).reshape(-1, 4)
        self.real_known = refined(self.real, self.told, self.centres, crystal, geometry)[0]

    def figures(self, method: Method) -> dict[str, Any]:
        """Mean disorientations in degrees, before and after refinement, and MSEAE."""
        symmetry, known = self.crystal.symmetry, self.known.numpy()
        found: dict[str, Any] = {}
        started = time.perf_counter()
        clean, _ = method.find(self.clean)
        found["patterns/s"] = round(len(clean) / (time.perf_counter() - started))
        noisy, _ = method.find(self.noisy)
        real, _ = method.find(self.real)
        found["clean"], found["disturbed"] = degrees(clean, known, symmetry), degrees(noisy, known, symmetry)
        off = np.degrees(disorientation_angle(noisy, known, symmetry))
        found["disturbed, median"], found["disturbed, beyond 5°"] = float(np.median(off)), float((off > 5).mean())
        found["real"] = degrees(real, self.real_known, symmetry)
        centre = np.array(self.geometry.centre)
        better, _ = refined(self.noisy, noisy, centre, self.crystal, self.geometry)
        found["disturbed, refined, median"] = float(
            np.median(np.degrees(disorientation_angle(better, known, symmetry)))
        )
        better, _ = refined(self.real, real, self.centres, self.crystal, self.geometry)
        found["real, refined"] = degrees(better, self.real_known, symmetry)
        for name, (a, b) in {
            "clean": (clean, known),
            "disturbed": (noisy, known),
            "real": (real, self.real_known),
        }.items():
            found[f"MSEAE, {name}"] = [round(float(v), 4) for v in np.degrees(mseae(a, b, symmetry))]
        return found


def cost_of_losses(crystal: Crystal, geometry: Geometry) -> dict[str, float]:
    """Seconds of a training step of 64 patterns with and without disorientation in the loss; and of eq. 6.4 alone."""
    torch.manual_seed(0)
    known = random_orientations(64, crystal.symmetry, 1)
    patterns = disturbed(crystal, geometry, known, CLEAN)
    euler = REPRESENTATIONS["euler"]
    network = OMNet(PLANS[PLAN], geometry.shape, euler.branches, 0)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def step(loss: str) -> None:
        value = losses(network(patterns), known.float(), loss, euler, crystal.symmetry).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    outputs = network(patterns).detach().requires_grad_()
    alone = median_seconds(lambda: losses(outputs, known.float(), "mde", euler, crystal.symmetry).mean().backward(), 30)
    few = known[:4].numpy()
    return {
        "step with mae, s": (without := median_seconds(lambda: step("mae"), 30)),
        "step with mae+mde, s": (both := median_seconds(lambda: step("mae+mde"), 30)),
        "mae+mde takes longer by": both / without - 1,
        "the disorientations of 64 patterns and their gradients, s": alone,
        "1,152 rotations a pair in NumPy, no gradients, of 64 patterns, s": median_seconds(
            lambda: reference.disorientation_angle(few, few[::-1], "432", "432"), 3
        )
        * 16,
    }


def picture(run: Job, rows: list[dict[str, Any]]) -> None:
    """Bars: how far off each method is."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    names = [row["method"] for row in rows]
    places = np.arange(len(rows))
    for shift, kind, colour in (
        (-0.27, "clean", "#4477aa"),
        (0, "disturbed, median", "#ccbb44"),
        (0.27, "real", "#aa3377"),
    ):
        axes.barh(places + shift, [row[kind] for row in rows], 0.25, label=kind, color=colour)
    axes.set(yticks=places, yticklabels=names, xlabel="disorientation, degrees", xscale="log")
    axes.invert_yaxis()
    axes.legend(loc="lower right")
    axes.set_title(f"{HELD_OUT:,} random orientations of nickel, and nine real patterns", loc="left")
    figure.savefig(run.results / "ebsd.png", dpi=130)


def main() -> None:
    run, given = job("ebsd", "epochs")
    crystal = read_crystal(NICKEL)
    geometry = read_map(NICKEL).geometry
    grid = orientation_grid(crystal.symmetry, 20 if run.quick else GRID)
    epochs = int(given.epochs) if given.epochs else run.epochs(EPOCHS)
    cases = Cases(crystal, geometry)
    rows: list[dict[str, Any]] = []

    def judged(name: str, method: Method, **told: Any) -> None:
        simulated, real = PUBLISHED.get(name, (None, None))
        published = {"published, simulated": simulated, "published, real": real}
        rows.append({"method": name, **cases.figures(method), **published, **told})
        print(rows[-1], flush=True)

    steps = 20 if run.quick else GRID
    book = simulate(crystal, geometry, steps, run.work / f"dictionary-{steps}", torch.get_num_threads())
    judged("dictionary", ByDictionary(book), orientations=len(book))
    for representation, loss in VARIANTS:
        name = f"{representation} {loss}"
        out = run.work / f"{representation}-{loss}-{epochs}.safetensors"
        recipe = replace(OrientationRecipe(), epochs=epochs, representation=representation, loss=loss, disturbance=HOW)
        if not out.is_file():
            fit(PLAN, crystal, geometry, grid, out, recipe, progress(name))
        model = load(out)
        judged(name, ByNetwork(model, None), epochs=epochs, seconds=model.card["training"]["seconds"])
    if not run.quick:
        shipped = load("omnet-nickel")
        told = shipped.card["training"]
        name = f"{told['representation']} {told['loss']}, shipped"
        judged(name, ByNetwork(shipped, None), epochs=told["epochs_run"], seconds=told["seconds"])
    real = degrees(cases.real_known, cases.told, crystal.symmetry)
    told = {"real patterns: our refinement against kikuchipy's, degrees": real}
    picture(run, rows)
    columns = ("method", "clean", "disturbed", "disturbed, median", "real", "real, refined", "patterns/s")
    show("mean disorientation, degrees", [{name: row[name] for name in columns} for row in rows])
    run.publish({"plan": PLAN, "rows": rows, **told, "cost of losses": cost_of_losses(crystal, geometry)})


if __name__ == "__main__":
    main()
