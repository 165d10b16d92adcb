"""Orientation maps as files for other programs, and as pictures."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from matscreen.engine.ebsd.map import GOOD, PatternMap
from matscreen.engine.libraries import library
from matscreen.models.ebsd.representation import euler_of
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically

FORMATS = (".ang", ".ctf", ".h5")
_LAUE = {
    "-1": 1,
    "2/m": 2,
    "mmm": 3,
    "4/m": 4,
    "4/mmm": 5,
    "-3": 6,
    "-3m": 7,
    "6/m": 8,
    "6/mmm": 9,
    "m-3": 10,
    "m-3m": 11,
}
"""Numbers of the Laue groups in .ctf files."""


def crystal_map(given: PatternMap, found: pa.Table, phase: dict[str, Any]) -> Any:
    """An `orix.crystal_map.CrystalMap`; what is not indexed is phase −1. `phase`: name, point_group and lattice."""
    maps, quaternion = library("orix.crystal_map", "ebsd"), library("orix.quaternion", "ebsd")
    structure = library("diffpy.structure", "ebsd")
    rows, columns = given.shape
    y, x = (axis.ravel().astype(float) for axis in np.indices(given.shape))
    lattice = structure.Lattice(*phase["lattice"])
    known = maps.Phase(
        name=phase["name"], point_group=phase["point_group"], structure=structure.Structure(lattice=lattice)
    )
    good = found["flag"].to_numpy() == GOOD
    return maps.CrystalMap(
        rotations=quaternion.Rotation(quaternions(found)),
        phase_id=np.where(good, 0, -1),
        x=x * given.step[0] if columns > 1 or rows == 1 else None,
        y=y * given.step[1] if rows > 1 else None,
        phase_list=maps.PhaseList(known),
        prop={"scores": np.nan_to_num(found["score"].to_numpy())},
        scan_unit=given.unit,
    )


def quaternions(found: pa.Table) -> np.ndarray:
    """(N, 4) of `schema.ORIENTATIONS`."""
    return np.stack([found[name].to_numpy() for name in "wxyz"], axis=1)


def write_map(path: Path, given: PatternMap, found: pa.Table, phase: dict[str, Any]) -> None:
    """Write the map in the format that the suffix of `path` names, whole or not at all; InputError for another."""
    if path.suffix not in FORMATS:
        raise InputError(f"{path}: orientations are written as {', '.join(FORMATS)}")
    if path.suffix == ".ctf":
        text = _ctf(given, found, phase)
        write_atomically(path, lambda temporary: temporary.write_text(text))
        return
    xmap, io = crystal_map(given, found, phase), library("orix.io", "ebsd")

    def write(temporary: Path) -> None:
        own = temporary.with_suffix(path.suffix)  # by which orix tells the format
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = {"confidence_index_prop": "scores"} if path.suffix == ".ang" else {}
            try:
                io.save(own, xmap, overwrite=True, **told)
                own.replace(temporary)
            finally:
                own.unlink(missing_ok=True)

    write_atomically(path, write)


def _ctf(given: PatternMap, found: pa.Table, phase: dict[str, Any]) -> str:
    """Channel 5 text: a header, then phase, x, y, bands, error, Euler angles in degrees, MAD, BC, BS of each point."""
    import torch

    rows, columns = given.shape
    lengths, angles = phase["lattice"][:3], phase["lattice"][3:]
    laue = _LAUE[_laue(phase["point_group"]).name]
    cell = ";".join(f"{v:.3f}" for v in lengths) + "\t" + ";".join(f"{v:.3f}" for v in angles)
    lines = [
        "Channel Text File",
        f"Prj\t{given.path.stem}",
        "Author\tmatscreen",
        "JobMode\tGrid",
        f"XCells\t{columns}",
        f"YCells\t{rows}",
        f"XStep\t{given.step[0]:.4f}",
        f"YStep\t{given.step[1]:.4f}",
        "AcqE1\t0",
        "AcqE2\t0",
        "AcqE3\t0",
        "Euler angles refer to Sample Coordinate system (CS0)!\tMag\t0\tCoverage\t100\tDevice\t0\tKV\t"
        f"{phase.get('energy_kev', 0):g}\tTiltAngle\t{given.geometry.sample_tilt:g}\tTiltAxis\t0",
        "Phases\t1",
        f"{cell}\t{phase['name']}\t{laue}\t0\t\t\t",
        "Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS",
    ]
    euler = np.degrees(euler_of(torch.from_numpy(quaternions(found))).numpy())
    flags, scores = found["flag"].to_numpy(), np.nan_to_num(found["score"].to_numpy())
    for n, (flag, score, turn) in enumerate(zip(flags, scores, euler, strict=True)):
        y, x = divmod(n, columns)
        place = f"{x * given.step[0]:.4f}\t{y * given.step[1]:.4f}"
        if flag != GOOD:
            lines.append(f"0\t{place}\t0\t{flag}\t0\t0\t0\t0\t0\t0")
            continue
        bright = round(255 * min(max(float(score), 0), 1))
        lines.append(f"1\t{place}\t8\t0\t{turn[0]:.4f}\t{turn[1]:.4f}\t{turn[2]:.4f}\t{1 - score:.4f}\t{bright}\t255")
    return "\n".join(lines) + "\n"


def inverse_pole_colours(orientations: np.ndarray, point_group: str) -> np.ndarray:
    """(N, 3) red, green, blue from 0 to 1: the crystal direction along the specimen's z, of (N, 4) quaternions."""
    quaternion = library("orix.quaternion", "ebsd")
    key = library("orix.plot", "ebsd").IPFColorKeyTSL(
        _laue(point_group), direction=library("orix.vector", "ebsd").Vector3d.zvector()
    )
    turns = quaternion.Orientation(orientations, symmetry=_laue(point_group))
    colours: np.ndarray = np.clip(np.asarray(key.orientation2color(turns)).reshape(-1, 3), 0, 1)
    return colours


def add_colour_key(figure: Any, place: Any, point_group: str) -> None:
    """Draw what the colours mean into a place of a figure's grid."""
    z = library("orix.vector", "ebsd").Vector3d.zvector()
    legend = figure.add_subplot(place, projection="ipf", symmetry=_laue(point_group), direction=z)
    legend.plot_ipf_color_key(show_title=False)


def _laue(point_group: str) -> Any:
    return library("orix.crystal_map", "ebsd").Phase(point_group=point_group).point_group.laue


def orientation_picture(path: Path, given: PatternMap, found: pa.Table, phase: dict[str, Any]) -> None:
    """A PNG: which crystal direction lies along the specimen's z (an inverse pole figure), its key, the scores.

    What is not indexed is black.
    """
    library("matplotlib", "ebsd").use("Agg")
    from matplotlib import pyplot as plt

    good = (found["flag"].to_numpy() == GOOD).reshape(given.shape)
    colours = inverse_pole_colours(quaternions(found), phase["point_group"]).reshape(*given.shape, 3)
    colours[~good] = 0
    rows, columns = given.shape
    extent = (0, columns * given.step[0], rows * given.step[1], 0)
    wide = min(max(columns / rows, 0.6), 2.2)
    figure = plt.figure(figsize=(4.2 * wide * 2 + 2.6, 4.6), layout="constrained")
    grid = figure.add_gridspec(1, 3, width_ratios=(4.2 * wide, 4.2 * wide, 2.4))
    unit = "µm" if given.unit == "um" else "points"
    orientation, quality = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    orientation.imshow(colours, extent=extent, interpolation="nearest", aspect="auto" if rows == 1 else "equal")
    orientation.set(title=f"{phase['name']}, along the specimen's z", xlabel=f"x, {unit}", ylabel=f"y, {unit}")
    scores = np.where(good, found["score"].to_numpy().reshape(given.shape), np.nan)
    shown = quality.imshow(
        scores, extent=extent, cmap="viridis", interpolation="nearest", aspect="auto" if rows == 1 else "equal"
    )
    quality.set(title="likeness to the simulation", xlabel=f"x, {unit}")
    quality.set_facecolor("black")
    figure.colorbar(shown, ax=quality, shrink=0.85)
    add_colour_key(figure, grid[2], phase["point_group"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=130))
    plt.close(figure)
