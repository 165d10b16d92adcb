"""A simulated wafer as files, as an instrument would leave them: images, geometries, and the table of samples.

simulation.json        which instrument, pixels and seed; never changes
samples.csv            written last: sample, x_mm, y_mm, Sn, Ti, Zn, region, frame_1 …
frame_1.poni …         geometry of the frames of each number
S001_1.tif …           uint16, rows upwards as pyFAI has them
"""

import importlib.metadata
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from matscreen.engine.xrd import wafer
from matscreen.engine.xrd.output import write_tiff
from matscreen.engine.xrd.simulation import INSTRUMENTS, detectors, frames
from matscreen.models.errors import InputError
from matscreen.models.files import write_atomically

SMALLEST, LARGEST = 64, 4096


def write_wafer(
    out: Path, instrument: str, pixels: int, seed: int, workers: int, report: Callable[[], None] = lambda: None
) -> int:
    """Simulate a wafer's images into a folder; what is there of the same wafer stays. Returns how many it made now.

    InputError for another instrument, another number of pixels, or a folder of something else. `report` is called after
    each sample.
    """
    if instrument not in INSTRUMENTS:
        raise InputError(f"no instrument {instrument!r}: give one of {', '.join(INSTRUMENTS)}")
    if not SMALLEST <= pixels <= LARGEST:
        raise InputError(f"--pixels takes a number from {SMALLEST} to {LARGEST}, not {pixels}")
    out.mkdir(parents=True, exist_ok=True)
    told = {"instrument": instrument, "pixels": pixels, "seed": seed}
    told["matscreen"] = importlib.metadata.version("matscreen")
    note = out / "simulation.json"
    if note.is_file():
        try:
            same = json.loads(note.read_text()) == told
        except ValueError:
            same = False
        if not same:
            raise InputError(f"{out} holds another simulation; give another --out")
    elif any(out.iterdir()):
        raise InputError(f"{out} is not empty; give another --out")
    else:
        write_atomically(note, lambda temporary: temporary.write_text(json.dumps(told, indent=2) + "\n"))
    chosen, samples = INSTRUMENTS[instrument], wafer.spread(seed)
    looking = detectors(chosen, pixels)
    for number, detector in enumerate(looking, 1):
        _ = detector.two_theta, detector.azimuth, detector.solid_angle  # once, before the threads ask
        text = _geometry(detector.geometry)
        write_atomically(out / f"frame_{number}.poni", partial(Path.write_text, data=text))

    def one(sample: wafer.Sample) -> int:
        paths = [out / name for name in _names(sample, len(looking))]
        if all(path.is_file() for path in paths):
            return 0
        for path, image in zip(paths, frames(sample, chosen, looking, seed), strict=True):
            write_tiff(path, image)
        return len(paths)

    made = 0
    with ThreadPoolExecutor(workers) as pool:
        for count in pool.map(one, samples):
            made += count
            report()
    columns = {
        "sample": [s.name for s in samples],
        "x_mm": [s.place[0] for s in samples],
        "y_mm": [s.place[1] for s in samples],
        **{name: [round(s.measured[n], 4) for s in samples] for n, name in enumerate(("Sn", "Ti", "Zn"))},
        "region": [s.region for s in samples],
    }
    names = np.array([_names(s, len(looking)) for s in samples])
    columns |= {f"frame_{n + 1}": names[:, n].tolist() for n in range(len(looking))}
    write_atomically(out / "samples.csv", lambda temporary: pyarrow.csv.write_csv(pa.table(columns), temporary))
    return made


def _names(sample: wafer.Sample, views: int) -> list[str]:
    return [f"{sample.name}_{n + 1}.tif" for n in range(views)]


def _geometry(geometry: Any) -> str:
    """As pyFAI's own `save`, which would add to a file that is there, and the time."""
    told = geometry.getPyFAI()
    lines = ["poni_version: 2.1", "Detector: Detector"]
    sizes = {"pixel1": told["pixel1"], "pixel2": told["pixel2"], "orientation": 3}
    lines.append(f"Detector_config: {json.dumps(sizes)}")
    values = {"Distance": "dist", "Poni1": "poni1", "Poni2": "poni2", "Rot1": "rot1", "Rot2": "rot2", "Rot3": "rot3"}
    lines += [f"{name}: {float(told[key])!r}" for name, key in values.items()]
    lines.append(f"Wavelength: {float(told['wavelength'])!r}")
    return "\n".join(lines) + "\n"
