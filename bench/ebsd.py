"""Patterns a second: simulated, compared with a dictionary, refined and read by OMNet; peer: kikuchipy.

One core for the projection, all that PyTorch is set to for products (`OMP_NUM_THREADS=1` for one).
"""

import contextlib
import io
import tempfile
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import torch

from bench.harness import copy_rate, median_seconds, publish, sgemm_rate
from matscreen.engine.ebsd.crystals import NICKEL, read_crystal
from matscreen.engine.ebsd.dictionary import simulate
from matscreen.engine.ebsd.indexing import ByDictionary, coarse
from matscreen.engine.ebsd.map import read_map
from matscreen.engine.libraries import library
from matscreen.kernels.disorientation import disorientation_angle
from matscreen.kernels.master_pattern import project_patterns
from matscreen.kernels.pattern_matching import best_matches, nothing_yet, unit_patterns
from matscreen.models.ebsd.geometry import Geometry
from matscreen.models.ebsd.model import load
from matscreen.models.ebsd.patterns import prepared
from matscreen.models.ebsd.refinement import refined
from matscreen.models.ebsd.simulation import CLEAN, Crystal, Disturbance, disturbed, simulated, turned
from matscreen.models.ebsd.training import random_orientations

SIMULATED, EXPERIMENTAL, DICTIONARY, REFINED, KEPT, LOOKED_UP = 2000, 1000, 20_000, 200, 20, 2048


def found_in_a_dictionary(
    kp: Any, crystal: Crystal, geometry: Geometry, folder: Path, before: dict[str, Any]
) -> dict[str, Any]:
    """Disturbed patterns, the best of the published grid of 50 steps for each: coarse first, against all pixels."""
    method = ByDictionary(simulate(crystal, geometry, 50, folder, torch.get_num_threads()))
    torch.manual_seed(1)
    patterns = disturbed(crystal, geometry, random_orientations(LOOKED_UP, "432", 7), Disturbance())
    started = time.perf_counter()
    orientations, parts = method.coarse
    prepared_in = time.perf_counter() - started
    seconds = median_seconds(lambda: method.find(patterns), 1)
    found, _ = method.find(patterns)
    best: Any = nothing_yet(len(patterns), 1)
    first, after = 0, torch.zeros(len(patterns), dtype=torch.int64)
    for _, images in method.dictionary.chunks():
        best = best_matches(patterns, torch.from_numpy(images.astype(np.float32)), 1, best, first)  # type: ignore[arg-type]
        first += len(images)
    exact = torch.as_tensor(best[1])[:, 0]
    small = coarse(patterns, geometry.shape)
    whole = torch.cat(parts).float()
    score = (small * whole[exact]).sum(1)
    for part in parts:
        after += (small @ part.float().T > score[:, None] + 1e-6).sum(1)
    rate = len(patterns) * len(orientations) / seconds
    return {
        "orientations of the dictionary": len(orientations),
        "made ready once, s": prepared_in,
        "comparisons/s, coarse first": rate,
        "ratio to kikuchipy, coarse first": rate / before["kikuchipy comparisons/s"],
        "disturbed patterns looked up": len(patterns),
        "of which the best of all pixels was missed": int(
            (np.abs((found - orientations[exact])).max(axis=1) > 1e-9).sum()
        ),
        "its worst rank among the coarse": int(after.max()) + 1,
    }


def main() -> None:
    warnings.simplefilter("ignore")
    dask.config.set(scheduler="synchronous" if torch.get_num_threads() == 1 else "threads")
    kp, orix, maps = (library(name, "ebsd") for name in ("kikuchipy", "orix.quaternion", "orix.crystal_map"))
    crystal, geometry = read_crystal(NICKEL), read_map(NICKEL).geometry
    figures: dict[str, Any] = {"threads": torch.get_num_threads(), "detector": str(asdict(geometry)["shape"])}

    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    master.data = master.data.astype(np.float32)
    detector = kp.detectors.EBSDDetector(shape=geometry.shape, pc=geometry.centre, sample_tilt=geometry.sample_tilt)
    q = random_orientations(SIMULATED, "432", 0).numpy()
    given = np.ascontiguousarray(master.data), q, np.array(geometry.centre), geometry.shape, geometry.axes

    def theirs() -> Any:
        return master.get_patterns(
            orix.Rotation(q), detector, energy=20, dtype_out="float32", compute=True, show_progressbar=False
        ).data

    with dask.config.set(scheduler="synchronous"):
        peer = SIMULATED / median_seconds(theirs, 3)
    ours = SIMULATED / median_seconds(lambda: project_patterns(*given, backend="cpu"))
    figures |= {
        "simulated patterns/s/core": ours,
        "kikuchipy get_patterns/s/core": peer,
        "ratio to kikuchipy, simulation": ours / peer,
        "largest difference, of 255": float(np.abs(project_patterns(*given, backend="cpu") - theirs()).max()),
        "limit: patterns/s that memory takes": copy_rate() / 2 / (4 * geometry.shape[0] * geometry.shape[1]),
    }

    rng = np.random.default_rng(0)
    pixels = geometry.shape[0] * geometry.shape[1]
    a, b = (rng.random((n, pixels), np.float32) for n in (EXPERIMENTAL, DICTIONARY))
    c, d = unit_patterns(a), unit_patterns(b)
    found = best_matches(c, d, KEPT, backend="cpu")
    ours = EXPERIMENTAL * DICTIONARY / median_seconds(lambda: best_matches(c, d, KEPT, backend="cpu"), 3)
    signal = kp.signals.EBSD(a.reshape(-1, *geometry.shape))
    book = kp.signals.EBSD(b.reshape(-1, *geometry.shape))
    phases = maps.PhaseList(master.phase)
    turns = orix.Rotation(random_orientations(DICTIONARY, "432", 1).numpy())
    book.xmap = maps.CrystalMap(rotations=turns, phase_list=phases)

    def index() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return signal.dictionary_indexing(book, keep_n=KEPT, metric="ncc", n_per_iteration=DICTIONARY)

    scores = np.asarray(index().scores)
    peer = EXPERIMENTAL * DICTIONARY / median_seconds(index, 3)
    figures |= {
        "comparisons/s": ours,
        "kikuchipy comparisons/s": peer,
        "ratio to kikuchipy, comparisons": ours / peer,
        "largest difference of scores": float(np.abs(scores - found[0]).max()),
        "limit: comparisons/s of the best sgemm": (limit := sgemm_rate() / (2 * pixels)),
        "share of the limit": ours / limit,
    }

    with tempfile.TemporaryDirectory() as folder:
        figures |= found_in_a_dictionary(kp, crystal, geometry, Path(folder), figures)

    known = random_orientations(REFINED, "432", 2)
    torch.manual_seed(0)
    images = disturbed(crystal, geometry, known, replace(CLEAN, noise=1.0), prepare=False)
    start = turned(known, 0.8).numpy()
    patterns, centre = prepared(images), np.array(geometry.centre)
    seconds = median_seconds(lambda: refined(patterns, start, centre, crystal, geometry), 3)
    better, _ = refined(patterns, start, centre, crystal, geometry)
    few = slice(0, 50)
    noisy = kp.signals.EBSD(images[few].numpy())
    xmap = maps.CrystalMap(rotations=orix.Rotation(start[few]), phase_list=phases)

    def refine() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return noisy.refine_orientation(xmap, detector, master, energy=20, trust_region=[5, 5, 5])

    peer = len(start[few]) / median_seconds(refine, 1)
    told = np.asarray(refine().rotations.data).reshape(-1, 4)
    figures |= {
        "refined patterns/s": REFINED / seconds,
        "kikuchipy refine_orientation/s": peer,
        "ratio to kikuchipy, refinement": REFINED / seconds / peer,
        "mean error after refinement, degrees": float(np.degrees(disorientation_angle(better, known.numpy())).mean()),
        "kikuchipy's, degrees": float(np.degrees(disorientation_angle(told, known.numpy()[few])).mean()),
    }
    model = load("omnet-nickel")
    many = prepared(simulated(crystal, geometry, random_orientations(SIMULATED, "432", 3)))
    figures |= {
        "patterns/s prepared": SIMULATED / median_seconds(lambda: prepared(images.repeat(10, 1, 1)), 3),
        "patterns/s read by OMNet": SIMULATED / median_seconds(lambda: model.orientations(many), 3),
    }
    publish("ebsd", figures)


if __name__ == "__main__":
    main()
