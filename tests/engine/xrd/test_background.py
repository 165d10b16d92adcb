"""Detector images: read, rid of their background, written; and those that cannot be used."""

import json
from collections.abc import Callable
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
from scipy import ndimage
from scipy.signal import find_peaks

from conftest import published
from matscreen.engine.xrd.background import METHODS, size_for, without_background
from matscreen.engine.xrd.frames import files_of, read_frames, read_mask
from matscreen.engine.xrd.geometry import integrated, read_geometry
from matscreen.engine.xrd.output import read_provenance, write_image
from matscreen.models.errors import InputError


def rings(side: int = 300, width: float = 2.0, background: float = 100.0, seed: int = 0) -> np.ndarray:
    """Rings over a background that slopes and bends, with counting noise."""
    y, x = np.indices((side, side)) - side / 2
    radius = np.hypot(x, y)
    image = background * (1 + 0.3 * x / side + np.exp(-((radius / side) ** 2) * 4))
    for place, height in ((40, 900), (70, 500), (110, 700)):
        image = image + height * np.exp(-((radius - place) ** 2) / (2 * width**2))
    return np.random.default_rng(seed).poisson(image).astype(np.int32)


def area(image: np.ndarray, place: float, half: int = 8) -> float:
    """Of a ring above a straight line between its feet, by mean intensity of the radius."""
    y, x = np.indices(image.shape) - image.shape[0] / 2
    radius = np.rint(np.hypot(x, y)).astype(int)
    mean = ndimage.mean(image, radius, np.arange(radius.max()))
    around = np.arange(int(place) - half, int(place) + half + 1)
    feet = np.interp(around, around[[0, 1, -2, -1]], mean[around[[0, 1, -2, -1]]])
    return float((mean[around] - feet).sum())


@pytest.mark.parametrize("method", METHODS)
def test_methods_are_those_of_the_equations(method: str) -> None:
    image = rings().astype(np.float32)
    lowest = ndimage.minimum_filter(image, 31)
    smooth = ndimage.uniform_filter(image - lowest, 31)
    wide = ndimage.uniform_filter(lowest, 31)
    background = {"MF": lowest, "CS": smooth, "SMF": wide}[method.removeprefix("I-")]
    expected = image - background if method.startswith("I-") else background
    np.testing.assert_allclose(without_background(image, method, 31), expected, atol=2e-2)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="size"):
        without_background(image, method, 0)  # type: ignore[arg-type]


def test_dead_pixels_count_for_nothing() -> None:
    image = rings().astype(np.float32)
    dead = np.zeros(image.shape, bool)
    dead[50:60] = True
    holed = np.where(dead, np.nan, image)
    found = without_background(holed, "I-SMF", 40)
    assert (np.isnan(found) == dead).all()
    other = np.where(dead, np.nan, np.where(dead, -1e9, image))
    np.testing.assert_array_equal(found, without_background(other.astype(np.float32), "I-SMF", 40))


def test_peaks_survive_and_the_background_does_not() -> None:
    image = rings().astype(np.float32)
    size = size_for(image)
    assert 40 <= size <= 150
    found = without_background(image, "I-SMF", size)
    for place in (40, 70, 110):
        assert abs(area(found, place) / area(image, place) - 1) < 0.02
    flat = np.hypot(*(np.indices(image.shape) - 150)) > 135  # beyond all rings
    assert np.median(found[flat]) < 0.5 * np.median(image[flat])
    assert size_for(rings(width=4.0).astype(np.float32)) > size
    assert size_for(np.random.default_rng(0).poisson(50, (200, 200)).astype(np.float32)) == 200


def test_the_real_cerium_oxide_image_keeps_its_peaks() -> None:
    image = next(read_frames(published("xrd2d/CeO2_Pilatus1M.tif"), None)).image[::-1].copy()
    assert np.isnan(image).sum() == 73_560
    geometry = read_geometry(published("xrd2d/CeO2_Pilatus1M.poni"))
    angle, before = integrated(image, geometry)
    peaks, _ = find_peaks(before, prominence=100)
    peaks = peaks[(peaks > 40) & (peaks < len(angle) - 40)]
    assert len(peaks) >= 15

    def areas(intensity: np.ndarray) -> np.ndarray:
        found = []
        for peak in peaks:
            around = np.arange(peak - 25, peak + 26)
            foot = np.r_[around[:4], around[-4:]]
            line = np.polynomial.Polynomial.fit(angle[foot], intensity[foot], 1)
            found.append(np.trapezoid(intensity[around] - line(angle[around]), angle[around]))
        return np.array(found)

    for size in (size_for(image), 200):
        _, after = integrated(without_background(image, "I-SMF", size), geometry)
        assert np.abs(areas(after) / areas(before) - 1).max() < 0.02
        assert np.median(after) < 0.6 * np.median(before)


def test_formats_masks_and_frames(tmp_path: Path) -> None:
    image = rings()
    image[3, 4] = -2
    fabio.edfimage.EdfImage(data=image).write(str(tmp_path / "one.edf"))
    fabio.cbfimage.CbfImage(data=image).write(str(tmp_path / "one.cbf"))
    fabio.tifimage.TifImage(data=np.clip(image, 0, None).astype(np.uint16)).write(str(tmp_path / "one.tif"))
    many = fabio.edfimage.EdfImage(data=image)
    many.append_frame(data=image + 1)
    many.write(str(tmp_path / "two.edf"))
    mask = np.zeros(image.shape, np.uint8)
    mask[:10] = 1
    fabio.edfimage.EdfImage(data=mask).write(str(tmp_path / "mask.edf"))
    for name in ("one.edf", "one.cbf"):
        (frame,) = read_frames(tmp_path / name, None)
        assert not frame.problem
        assert list(np.argwhere(np.isnan(frame.image)).ravel()) == [3, 4]
    first, second = read_frames(tmp_path / "two.edf", read_mask(tmp_path / "mask.edf"))
    assert (first.name, second.name) == ("two", "two_00001")
    assert np.isnan(second.image[:10]).all()
    np.testing.assert_array_equal(second.image[10:], image[10:] + 1)
    assert len(files_of([tmp_path])) == 5
    with pytest.raises(InputError, match="no such file"):
        files_of([tmp_path / "none"])


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.full((20, 20), 7, np.uint16), "empty"),
        (np.full((20, 20), 65535, np.uint16), "saturated"),
        (np.full((20, 20), -1, np.int32), "no pixel"),
        (np.arange(400, dtype=np.uint16).reshape(20, 20), "mask"),
    ],
)
def test_images_that_cannot_be_used_say_why(image: np.ndarray, told: str, tmp_path: Path) -> None:
    fabio.edfimage.EdfImage(data=image).write(str(tmp_path / "a.edf"))
    mask = np.zeros((10, 10), bool) if told == "mask" else None
    (frame,) = read_frames(tmp_path / "a.edf", mask)
    assert told in frame.problem


@pytest.mark.parametrize("suffix", [".tif", ".h5"])
def test_what_is_written_can_be_read(suffix: str, tmp_path: Path) -> None:
    image = rings().astype(np.float32)
    image[0, 0] = np.nan
    path = tmp_path / f"a{suffix}"
    assert read_provenance(path) is None
    write_image(path, image, {"method": "I-MF", "pixels": 40})
    if suffix == ".tif":
        np.testing.assert_array_equal(fabio.open(str(path)).data, image)
    else:
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["entry/data/data"][()], image)
    assert read_provenance(path) == {"method": "I-MF", "pixels": 40}


def test_a_folder_with_bad_images_among_good_ones(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for n in range(2):
        fabio.edfimage.EdfImage(data=rings(seed=n)).write(str(folder / f"{n}.edf"))
    whole = (folder / "0.edf").read_bytes()
    (folder / "cut.edf").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tif").write_text("no image")
    fabio.edfimage.EdfImage(data=np.zeros((30, 30), np.int32)).write(str(folder / "dark.edf"))
    assert run("xrd", "background", str(folder), "--out", str(out)) == 1
    told = capsys.readouterr()
    assert "2 images in" in told.out
    assert "3 of 5 images were left out" in told.err
    assert "text.tif: it cannot be read" in told.err
    assert "dark.edf: it is empty" in told.err
    assert "cut.edf: it cannot be read: Data stream is incomplete" in " ".join(told.err.split())
    assert (out / "0_I-SMF.png").is_file()
    card = json.loads((out / "0_I-SMF.json").read_text())
    assert card["method"] == "I-SMF"
    assert card["pixels"] >= 40
    before = (out / "0_I-SMF.tif").stat().st_mtime_ns
    assert run("xrd", "background", str(folder), "--out", str(out)) == 1
    assert "0 images in" in (again := capsys.readouterr().out)
    assert "2 were there" in again
    assert (out / "0_I-SMF.tif").stat().st_mtime_ns == before
    (out / "0_I-SMF.png").unlink()
    mask = tmp_path / "mask.edf"
    for more, made in (([], "1 images in"), (["--size", "50"], "2 images in"), (["--mask", str(mask)], "2 images in")):
        fabio.edfimage.EdfImage(data=np.eye(*rings().shape, dtype=np.int8)).write(str(mask))
        assert run("xrd", "background", str(folder), "--out", str(out), *more) == 1
        assert made in capsys.readouterr().out
    fabio.edfimage.EdfImage(data=np.zeros(rings().shape, np.int8)).write(str(mask))
    assert run("xrd", "background", str(folder), "--out", str(out), "--mask", str(mask)) == 1
    assert "2 images in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        (["none.tif", "--out", "o"], "no such file", 2),
        (["a.edf", "--out", "o", "--size", "-3"], "--size takes", 2),
        (["a.edf", "--out", "o", "--size", "big"], "--size takes", 2),
        (["a.edf", "--out", "o", "--poni", "none.poni"], "no such file", 2),
        (["a.edf", "--out", "o", "--poni", "a.edf"], "no geometry", 2),
        (["a.edf", "--out", "o", "--method", "rolling"], "--method", 2),
        (["a.edf", "--out", "o", "--workers", "0"], "'--workers'", 2),
        (["a.edf", "b.h5", "--out", "a.edf"], "cannot make the folder", 2),
        (["text.tif", "--out", "o"], "1 of 1 images were left out", 1),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    complaint: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    fabio.edfimage.EdfImage(data=rings(60)).write("a.edf")
    Path("b.h5").write_bytes(b"x")
    Path("text.tif").write_text("no image")
    assert run("xrd", "background", *arguments) == code
    error = capsys.readouterr().err.strip()
    assert complaint in error.splitlines()[-1]
    assert "Traceback" not in error
