"""Every reader of what users or networks bring, as a function of bytes, with good input to begin from.

A reader may take what it is given or refuse it with an error that is for people; anything else that it does is a fault.
"""

import hashlib
import io
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fabio
import h5py
import kikuchipy
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import safetensors.numpy

from matscreen.engine import CompositionSpace, PhaseTable, rundir, scan
from matscreen.engine.cli.xrd_symmetry import read_pattern
from matscreen.engine.ebsd.map import read_map
from matscreen.engine.element_sets import parse_elements
from matscreen.engine.journal import NAME, events
from matscreen.engine.merge import KEY
from matscreen.engine.properties import parse
from matscreen.engine.queue.ingest import read_elements
from matscreen.engine.queue.manifest import read_manifest
from matscreen.engine.scan import reopen
from matscreen.engine.search.run import goal_of, read_trials, search
from matscreen.engine.spectra.data import LEAST_SAMPLES
from matscreen.engine.spectra.data import read_samples as read_spectra
from matscreen.engine.status import status
from matscreen.engine.xrd.frames import read_frames
from matscreen.engine.xrd.geometry import read_geometry
from matscreen.engine.xrd.samples import read_samples
from matscreen.kernels.embedding import Tables, checked
from matscreen.kernels.mlp import pack
from matscreen.models import load
from matscreen.models.encoding import Encoding
from matscreen.models.errors import InputError, JobError
from matscreen.models.formula import parse_formula
from matscreen.models.member import Member
from matscreen.models.model import Model, save
from matscreen.models.saved import read as read_saved
from matscreen.models.target import FORMATION_ENERGY

REFUSED = (InputError, JobError)
ENTRIES = [(f"Li{n}Fe{m}O2", -0.1 * n - 0.2 * m) for n in range(1, 4) for m in range(1, 4)]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes
    ----------
    seeds : input that it takes, or nearly
    read : reads bytes, in a folder that is its own
    refused : errors by which it may say no
    """

    seeds: list[bytes]
    read: Callable[[bytes, Path], object]
    refused: tuple[type[Exception], ...] = REFUSED


def targets(folder: Path, model: Model) -> dict[str, Target]:
    """All of them; what good files they need is made in `folder`."""
    return {**_texts(), **_tables(), **_spectra(), **_runs(folder, model), **_weights(folder), **_images(folder)}


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _texts() -> dict[str, Target]:
    space = CompositionSpace("Li-Fe-P-O")

    def place(content: bytes, _: Path) -> object:
        text = _text(content)[:30]
        return space[int(text)] if re.fullmatch(r"-?[0-9]+", text) else space.index(text)

    return {
        "formula": Target(
            [b"LiFePO4", b"Ca(OH)2", b"La0.8Sr0.2MnO3", b"[Fe(CN)6]3K4", b"Li" + b"(" * 40, b"H" * 400],
            lambda content, _: parse_formula(_text(content)),
        ),
        "elements": Target(
            [b"Li-Fe-P-O", b"3d metals,O", b"all", b"lanthanides - Ce", b"Li,Li"],
            lambda content, _: parse_elements(_text(content)),
        ),
        "property": Target(
            [b"band_gap:1.0..1.6", b"bulk_modulus:>200", b"shear_modulus@elemnet-oqmd:<3", b"thermal", b"x@../y:1..2"],
            lambda content, _: parse(_text(content)),
        ),
        "id": Target(
            [b"0", b"-1", b"4499", b"99999999999999999999", b"LiFePO4", b"Li2O"],
            place,
            (*REFUSED, KeyError, IndexError),
        ),
    }


def _tables() -> dict[str, Target]:
    text = "formula,formation_energy_ev_atom\n" + "".join(f"{f},{e}\n" for f, e in ENTRIES)
    formulas, energies = zip(*ENTRIES, strict=True)
    nested = pa.array([{"a": [1]}] * len(ENTRIES))
    tables = [
        pa.table({"formula": list(formulas), "formation_energy_ev_atom": list(energies)}),
        pa.table({"formula": list(formulas), "formation_energy_ev_atom": nested}),
        pa.table({"formula": nested, "formation_energy_ev_atom": list(energies)}),
        pa.table(
            {
                "formula": pa.array(formulas).dictionary_encode(),
                "formation_energy_ev_atom": pa.array(energies, pa.float32()),
            }
        ),
    ]

    def read(suffix: str) -> Callable[[bytes, Path], object]:
        return lambda content, folder: PhaseTable.read(_file(folder / f"known{suffix}", content))

    samples = "frame,Sn,Ti,region\na.tif,0.5,0.5,one\nb.tif,1,0,two\n"
    manifest = {"format": 1, "run": "runs/x", "fingerprint": "f", "code": "vasp", "entries": []}
    return {
        "reference.csv": Target([text.encode(), text.replace(",", ";").encode(), b"formula\nLi2O\n"], read(".csv")),
        "reference.parquet": Target([_parquet(table) for table in tables], read(".parquet")),
        "samples.csv": Target(
            [samples.encode()], lambda content, folder: read_samples(_file(folder / "s.csv", content))
        ),
        "elements.csv": Target(
            [b"element,energy_ev_atom\nLi,-1.9\nO,-4.9\n"],
            lambda content, folder: read_elements(_file(folder / "e.csv", content)),
        ),
        "pattern.xy": Target(
            [b"# 2theta\n10.0 5\n10.1 7.5\n", b"1,2\n2;3\n"],
            lambda content, folder: read_pattern(_file(folder / "p.xy", content)),
        ),
        "manifest.json": Target(
            [json.dumps(manifest).encode()],
            lambda content, folder: read_manifest(_file(folder / "manifest.json", content).parent),
        ),
    }


def _spectra() -> dict[str, Target]:
    points, count = np.arange(16.0), LEAST_SAMPLES
    intensities = np.random.default_rng(0).random((count, len(points)))
    table = pa.table(
        {
            "Bi": [0.5] * count,
            "V": [0.5] * count,
            "p": range(count),
            **{f"{x:g}": y for x, y in zip(points, intensities.T, strict=True)},
        }
    )
    text = io.BytesIO()
    pyarrow.csv.write_csv(table, text)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["wavenumber"], file["spectra"], file["p"] = points, intensities, np.arange(count)
        file["composition"] = np.full((count, 2), 0.5)
        file["composition"].attrs["elements"] = np.array(["Bi", "V"], "S2")

    def read(suffix: str) -> Callable[[bytes, Path], object]:
        return lambda content, folder: read_spectra(_file(folder / f"spectra.{suffix}", content), "p").elements

    return {
        "spectra.csv": Target([text.getvalue(), b"a line\n" + text.getvalue()], read("csv")),
        "spectra.parquet": Target([_parquet(table)], read("parquet")),
        "spectra.h5": Target([content.getvalue()], read("h5")),
    }


def _runs(folder: Path, model: Model) -> dict[str, Target]:
    formulas, energies = zip(*ENTRIES, strict=True)
    phases = PhaseTable("known", list(formulas), np.array(energies), [str(n) for n in range(len(formulas))], {})
    run = scan(CompositionSpace("Li-Fe-O"), model, phases, folder / "run", threshold=0.0, chunk_size=200)
    files = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    chunk = min((run.path / "chunks").iterdir()).read_bytes()
    fingerprint = rundir.read_config(run.path).fingerprint

    def with_file(name: str, look: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
        def read(content: bytes, folder: Path) -> object:
            (folder / "chunks").mkdir(exist_ok=True)
            for other, usual in files.items():
                if not (folder / other).is_file():
                    _file(folder / other, usual)
            _file(folder / name, content)
            return look(folder)

        return read

    def read_chunk(content: bytes, folder: Path) -> object:
        name = f"000000-{hashlib.sha256(content).hexdigest()[:16]}.parquet"  # as if the run itself had written it
        file = _file(folder / name, content)
        try:
            return rundir.read_chunk(file, fingerprint)
        finally:
            file.unlink()

    found = search(CompositionSpace("Li-Fe-O"), model, phases, folder / "search", [(KEY, 1)], evaluations=40, batch=20)
    config = rundir.read_config(found.path)
    goal = goal_of(config, reopen(found.path, config))
    trial = min((found.path / "trials").iterdir()).read_bytes()

    def read_trial(content: bytes, folder: Path) -> object:
        (folder / "trials").mkdir(exist_ok=True)
        name = f"000000-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        file = _file(folder / "trials" / name, content)
        try:
            return read_trials(folder, config, goal)
        finally:
            file.unlink()

    def read_candidates(content: bytes, folder: Path) -> object:
        summary = json.loads(files["summary.json"]) | {"candidates_sha256": hashlib.sha256(content).hexdigest()}
        _file(folder / "summary.json", json.dumps(summary).encode())
        return with_file("candidates.parquet", rundir.read_candidates)(content, folder)

    return {
        "run.json": Target([files["run.json"]], with_file("run.json", status)),
        "summary.json": Target([files["summary.json"]], with_file("summary.json", rundir.read_candidates)),
        "phases.parquet": Target(
            [files["phases.parquet"]],
            with_file("phases.parquet", lambda path: rundir.read_phases(path, rundir.read_config(path))),
        ),
        "candidates.parquet": Target([files["candidates.parquet"]], read_candidates),
        "chunk.parquet": Target([chunk], read_chunk),
        "trial.parquet": Target([trial], read_trial),
        "log.jsonl": Target([files[NAME]], with_file(NAME, events)),
    }


def _weights(folder: Path) -> dict[str, Target]:
    small = safetensors.numpy.save({"a": np.ones((3, 2), np.float32), "b": np.zeros(2, np.float32)})
    liar = (2**62).to_bytes(8, "little") + small[8:]
    far = small.replace(b"[0,24]", b"[9,24]").replace(b"[24,32]", b"[24,99]")

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (folder / "pickle was run",)

    def reader(of: Path) -> Callable[[bytes, Path], object]:
        """Weights whose checksum their card tells, so that nothing but their reader stands in the way."""

        def read(content: bytes, where: Path) -> object:
            card = json.loads(of.with_suffix(".json").read_text())
            card["weights_sha256"] = hashlib.sha256(content).hexdigest()
            _file(where / "m.json", json.dumps(card).encode())
            model = load(_file(where / "m.safetensors", content))
            with np.errstate(all="ignore"):  # numbers may be as large as they like
                model.predict(["Li2FeO4", "FeO"])
            return model

        return read

    def read_other(content: bytes, where: Path) -> object:
        card = {"architecture": "x", "weights_sha256": hashlib.sha256(content).hexdigest()}
        _file(where / "o.json", json.dumps(card).encode())
        return read_saved(_file(where / "o.safetensors", content), "x")

    def read_card(content: bytes, where: Path) -> object:
        if not (where / "c.safetensors").is_file():
            _file(where / "c.safetensors", tiny.read_bytes())
        _file(where / "c.json", content)
        return load(where / "c.safetensors")

    tiny = folder / "tiny.safetensors"
    rng = np.random.default_rng(0)
    layers = pack([(rng.normal(size=size), np.zeros(size[0])) for size in ((4, 3), (1, 4))])
    save(tiny, [Member(Encoding(), layers)], [3, 8, 26], FORMATION_ENERGY, {"metrics": {}})
    weights = [tiny.read_bytes(), small, liar, far, pickle.dumps(Hostile()), b""]
    embedding = folder / "embedding.safetensors"
    left, right, linear, root, presence = rng.normal(size=(5, 3, 2))
    learned = left, right, linear, np.zeros(2), root, presence, rng.normal(size=(3, 2))
    tables = checked(Tables(*learned, np.array([257, 2 + 256 + 65536 * 4]), np.arange(3)))
    encoding = Encoding("embedding", np.zeros(145), np.ones(145), tables.known, tables)
    layers = pack([(rng.normal(size=size), np.zeros(size[0])) for size in ((4, tables.width + 145), (1, 4))])
    save(embedding, [Member(encoding, layers)], [3, 8, 26], FORMATION_ENERGY, {"metrics": {}})
    return {
        "weights": Target(weights, reader(tiny)),
        "weights of an embedding": Target([embedding.read_bytes()], reader(embedding)),
        "weights of others": Target(weights, read_other),
        "card.json": Target([tiny.with_suffix(".json").read_bytes()], read_card),
    }


def _images(folder: Path) -> dict[str, Target]:
    image = (np.arange(24 * 20) % 250).astype(np.uint16).reshape(24, 20)
    seeds: dict[str, bytes] = {}
    for suffix, kind in (
        ("tif", fabio.tifimage.TifImage),
        ("edf", fabio.edfimage.EdfImage),
        ("cbf", fabio.cbfimage.CbfImage),
    ):
        kind(data=image).write(str(folder / f"a.{suffix}"))
        seeds[suffix] = (folder / f"a.{suffix}").read_bytes()
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["entry/data/data"] = image[None]
        file["entry"].attrs["NX_class"] = "NXentry"
    seeds["h5"] = content.getvalue()
    poni = "Detector: Detector\nDetector_config: {}\nPixelSize1: 1e-4\nPixelSize2: 1e-4\nDistance: 0.1\nPoni1: 0.01\n"
    poni += "Poni2: 0.01\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n"

    def frames(suffix: str) -> Callable[[bytes, Path], object]:
        return lambda content, folder: list(read_frames(_file(folder / f"a.{suffix}", content), None))

    def patterns(content: bytes, folder: Path) -> object:
        found = read_map(str(_file(folder / "patterns.h5", content)))
        return found.block(0, 1)

    nickel = Path(str(kikuchipy.__file__)).parent / "data" / "kikuchipy_h5ebsd" / "patterns.h5"
    return {
        **{f"frame.{suffix}": Target([seed], frames(suffix)) for suffix, seed in seeds.items()},
        "geometry.poni": Target(
            [poni.encode()], lambda content, folder: read_geometry(_file(folder / "a.poni", content))
        ),
        "patterns.h5": Target([nickel.read_bytes()], patterns),
    }


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _parquet(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()
