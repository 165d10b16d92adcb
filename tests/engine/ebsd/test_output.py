"""Orientation maps as files, read again by orix; pictures; and the commands that make them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from orix import io
from PIL import Image

from matscreen.engine import schema
from matscreen.engine.ebsd.map import EMPTY, GOOD, read_map
from matscreen.engine.ebsd.output import FORMATS, orientation_picture, write_map
from matscreen.kernels.disorientation import disorientation_angle
from matscreen.models.ebsd.simulation import Crystal
from matscreen.models.errors import InputError

from .conftest import EMPTY_ONE, MAP, Measured

PHASE = {"name": "nickel", "point_group": "m-3m", "lattice": (3.52, 3.52, 3.52, 90.0, 90.0, 90.0)}


def found(measured: Measured) -> pa.Table:
    flags = np.full(20, GOOD, np.uint8)
    flags[EMPTY_ONE] = EMPTY
    scores = np.where(flags == GOOD, np.linspace(0.3, 0.9, 20), np.nan).astype(np.float32)
    return pa.table([*measured.orientations.T, scores, flags], schema=schema.ORIENTATIONS)


@pytest.mark.parametrize("suffix", FORMATS)
def test_orix_reads_what_was_written(suffix: str, measured: Measured, tmp_path: Path) -> None:
    given, path = read_map(str(measured.path)), tmp_path / f"map{suffix}"
    write_map(path, given, found(measured), PHASE)
    xmap = io.load(path)
    assert xmap.shape == MAP or suffix == ".ctf"
    good = np.flatnonzero(found(measured)["flag"].to_numpy() == GOOD)
    q = np.asarray(xmap.rotations.data).reshape(-1, 4)
    q = q if len(q) == len(good) else q[good]
    apart = disorientation_angle(q / np.linalg.norm(q, axis=1, keepdims=True), measured.orientations[good])
    assert np.degrees(apart).max() < 2e-2  # the text formats keep four or five digits
    group = next(phase.point_group for _, phase in xmap.phases if phase.point_group is not None)
    assert group.laue.name == "m-3m"
    assert not list(tmp_path.glob(".*"))
    assert [p.name for p in tmp_path.iterdir()] == [f"map{suffix}"]


def test_pictures_show_the_map(measured: Measured, tmp_path: Path) -> None:
    orientation_picture(tmp_path / "map.png", read_map(str(measured.path)), found(measured), PHASE)
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    assert pixels.shape[0] > 400
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
    with pytest.raises(InputError, match="orientations are written as"):
        write_map(tmp_path / "map.csv", read_map(str(measured.path)), found(measured), PHASE)


def test_from_patterns_to_a_map_and_a_picture(
    measured: Measured,
    nickel: Crystal,
    tmp_path: Path,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, book, out = str(measured.path), str(tmp_path / "book"), tmp_path / "map.ang"
    assert run("ebsd", "simulate", "--like", file, "--grid", "24", "--out", book) == 0
    assert "patterns of ni, 30 × 24 pixels" in capsys.readouterr().out
    assert run("ebsd", "index", file, "--dictionary", book, "--out", str(out)) == 0
    told = capsys.readouterr().out
    assert "indexed, 1 empty, 1 saturated" in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["book", "map.ang", "map.png"]
    xmap = io.load(out)
    assert 10 <= xmap.is_indexed.sum() <= 18
    assert nickel.symmetry == "432"
    weights = str(tmp_path / "mine.safetensors")
    assert run("ebsd", "train", "--like", file, "--grid", "6", "--epochs", "1", "--out", weights) == 0
    assert "clean_mean_disorientation_deg" in capsys.readouterr().out
    arguments = ("index", file, "--method", "omnet", "--model", weights, "--no-refine", "--out", str(tmp_path / "n.h5"))
    assert run("ebsd", *arguments) == 0
    assert "indexed, 1 empty, 1 saturated" in capsys.readouterr().out
    own = tmp_path / "own.h5"
    own.write_bytes(measured.path.read_bytes())
    assert run("ebsd", "index", str(own), "--dictionary", book, "--out", str(own)) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert own.read_bytes() == measured.path.read_bytes()
    config = Path(book) / "dictionary.json"
    told = config.read_text().replace('"master_sha256": "', '"master_sha256": "0')
    config.write_text(told)
    assert run("ebsd", "index", file, "--dictionary", book, "--out", str(out)) == 2
    assert "of another master pattern" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["index", "none.h5", "--out", "map.ang"], "no such file: none.h5"),
        (["index", "nickel", "--out", "map.csv"], "--out takes a file .ang, .ctf, .h5"),
        (["index", "nickel", "--out", "nowhere/map.ang"], "no such folder"),
        (["index", "nickel", "--out", "map.ang", "--phase", "iron"], "no such file: iron"),
        (["index", "nickel", "--out", "map.ang", "--method", "hough"], "--method"),
        (["index", "nickel", "--out", "map.ang", "--dictionary", "none"], "is no dictionary"),
        (["index", "nickel", "--out", "map.ang", "--method", "omnet", "--model", "x"], "no orientation model"),
        (
            ["index", "nickel", "--out", "map.ang", "--method", "omnet", "--dictionary", "d"],
            "is of --method dictionary",
        ),
        (["index", "nickel", "--out", "map.ang", "--model", "omnet-nickel"], "is of --method omnet"),
        (["index", "nickel", "--out", "map.ang", "--centre", "0.5,0.5"], "--centre takes 3 numbers"),
        (["index", "nickel", "--out", "map.ang", "--centre", "0.5,0.5,-1"], "out of range"),
        (["index", "nickel", "--out", "map.ang", "--workers", "0"], "'--workers'"),
        (["simulate", "--out", "book"], "give the detector"),
        (["simulate", "--out", "book", "--shape", "2,2", "--centre", "0.5,0.5,0.5"], "4 × 4"),
        (["simulate", "--out", "book", "--like", "nickel", "--grid", "1000"], "steps"),
        (["simulate", "--out", "book", "--like", "nickel", "--tilt", "nan"], "tilt"),
        (["index", "nickel", "--out", "."], "--out takes a file"),
        (["index", "nickel", "--out", "map.ang", "--energy", "5"], "no master pattern of 5 keV"),
        (["simulate", "--out", "book", "--shape", "60.5,60", "--centre", "0.5,0.4,0.5"], "whole numbers"),
        (["train", "--out", "nowhere/m.safetensors", "--like", "nickel"], "no such folder"),
        (["train", "--out", "m.safetensors", "--shape", "8,8", "--centre", ".4,.4,.5", "--grid", "2"], "at least 16"),
        (["train", "--out", "m.pt", "--like", "nickel"], ".safetensors"),
        (["train", "--out", "m.safetensors", "--like", "nickel", "--network", "resnet", "--grid", "4"], "no network"),
        (["train", "--out", "m.safetensors", "--like", "nickel", "--loss", "mad", "--grid", "4"], "no loss"),
        (["train", "--out", "m.safetensors", "--like", "nickel", "--epochs", "0"], "--epochs must be"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("ebsd", *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert error.splitlines()[-1].startswith("matscreen: ")
    assert "Traceback" not in error
