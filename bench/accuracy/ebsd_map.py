"""A map of hidden grains, simulated and disturbed; what a dictionary and the shipped network make of it."""

import matplotlib
import numpy as np
import torch

from bench.accuracy.common import job
from matscreen.engine.ebsd.crystals import NICKEL, read_crystal
from matscreen.engine.ebsd.dictionary import simulate
from matscreen.engine.ebsd.indexing import ByDictionary, ByNetwork
from matscreen.engine.ebsd.map import read_map
from matscreen.engine.ebsd.output import add_colour_key, inverse_pole_colours
from matscreen.engine.libraries import library
from matscreen.kernels.disorientation import disorientation_angle
from matscreen.models.ebsd.model import load
from matscreen.models.ebsd.refinement import refined
from matscreen.models.ebsd.simulation import Disturbance, disturbed, turned
from matscreen.models.ebsd.training import random_orientations

ROWS, COLUMNS, GRAINS = 60, 80, 45
SPREAD = 0.3
"""Degrees within a grain."""


def main() -> None:
    run, _ = job("ebsd_map")
    rows, columns = (ROWS // 3, COLUMNS // 3) if run.quick else (ROWS, COLUMNS)
    crystal, geometry = read_crystal(NICKEL), read_map(NICKEL).geometry
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    y, x = np.indices((rows, columns))
    seeds = rng.random((GRAINS, 2)) * (rows, columns)
    grain = ((y.ravel()[:, None] - seeds[:, 0]) ** 2 + (x.ravel()[:, None] - seeds[:, 1]) ** 2).argmin(axis=1)
    hidden = turned(random_orientations(GRAINS, crystal.symmetry, 11)[grain], SPREAD)
    patterns = disturbed(crystal, geometry, hidden, Disturbance(orientation=0, centre=0))
    known, centre = hidden.numpy(), np.array(geometry.centre)

    steps = 20 if run.quick else 50
    book = simulate(crystal, geometry, steps, run.work / f"dictionary-{steps}", torch.get_num_threads())
    methods = {"dictionary": ByDictionary(book), "OMNet": ByNetwork(load("omnet-nickel"), None)}
    panels, figures = {"hidden": known}, {"patterns": rows * columns, "grains": GRAINS}
    for name, method in methods.items():
        found, _ = method.find(patterns)
        parts = [
            refined(patterns[part], found[part], centre, crystal, geometry)[0]
            for part in np.array_split(np.arange(len(found)), max(1, len(found) // 500))
        ]
        panels[name + ", refined"] = np.concatenate(parts)
        for stage, turns in ((name, found), (name + ", refined", panels[name + ", refined"])):
            off = np.degrees(disorientation_angle(turns, known, crystal.symmetry))
            figures |= {
                f"{stage}: median, degrees": float(np.median(off)),
                f"{stage}: mean, degrees": float(off.mean()),
                f"{stage}: beyond 5 degrees": float((off > 5).mean()),
            }

    matplotlib.use("Agg")
    library("orix.plot", "ebsd")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(15, 3.8), layout="constrained")
    grid = figure.add_gridspec(1, 5, width_ratios=(4, 4, 4, 4, 2.2))
    axes = figure.add_subplot(grid[0])
    examples = patterns[rng.choice(len(known), 6, replace=False)].view(2, 3, *geometry.shape)
    axes.imshow(np.block([[image.numpy() for image in line] for line in examples]), cmap="gray")
    axes.set(title="six of the patterns", xticks=[], yticks=[])
    for place, (name, turns) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(grid[place])
        axes.imshow(inverse_pole_colours(turns, crystal.point_group).reshape(rows, columns, 3), interpolation="nearest")
        axes.set(title=name, xticks=[], yticks=[])
    add_colour_key(figure, grid[4], crystal.point_group)
    figure.savefig(run.results / "ebsd_map.png", dpi=110)
    run.publish(figures)


if __name__ == "__main__":
    main()
