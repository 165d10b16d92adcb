"""Reading maps: shapes, flags, binning, and files that are none."""

from dataclasses import replace
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest

from faults import fuzz
from matscreen.engine.ebsd.crystals import _check_symmetry, read_crystal
from matscreen.engine.ebsd.map import EMPTY, GOOD, SATURATED, UNREADABLE, PatternMap, read_map
from matscreen.models.errors import InputError

from .conftest import EMPTY_ONE, GEOMETRY, MAP, SATURATED_ONE, Measured, save


def test_a_map_as_it_was_saved(measured: Measured) -> None:
    given = read_map(str(measured.path))
    assert (given.shape, given.pattern_shape, given.step, given.unit) == (MAP, (30, 24), (0.5, 0.5), "um")
    np.testing.assert_allclose(given.geometry.centre, GEOMETRY.centre)
    assert given.geometry.sample_tilt == 70
    images, flags = given.block(0, len(given))
    good = flags == GOOD
    np.testing.assert_array_equal(images[good], measured.images[good])
    assert not images[~good].any()
    assert [(n, flags[n]) for n in np.flatnonzero(~good)] == [(EMPTY_ONE, EMPTY), (SATURATED_ONE, SATURATED)]
    parts = [given.block(start, min(start + 7, 20))[0] for start in (0, 7, 14)]
    np.testing.assert_array_equal(np.concatenate(parts), images)


@pytest.mark.parametrize(("rows", "told"), [(7, ""), (10**6, "larger than file size")])
def test_a_map_that_was_interrupted(rows: int, told: str, measured: Measured, tmp_path: Path) -> None:
    """What is missing is empty; a file that would be nearly nothing else is none."""
    path = tmp_path / "map.h5"
    path.write_bytes(measured.path.read_bytes())
    with h5py.File(path, "r+") as file:
        header = file["Scan 1/EBSD/Header"]
        del header["n_rows"]
        header["n_rows"] = rows
    if told:
        with fuzz.at_most(10), pytest.raises(InputError, match=told):
            read_map(str(path))
        return
    given = read_map(str(path))
    assert given.shape == (7, 5)
    images, flags = given.block(0, 35)
    np.testing.assert_array_equal(images[10], measured.images[10])
    assert (flags[20:] == EMPTY).all()


def test_binning_takes_means(measured: Measured) -> None:
    given = read_map(str(measured.path), (15, 12))
    images, flags = given.block(0, 3)
    assert images.shape == (3, 15, 12)
    assert (flags == GOOD).all()
    np.testing.assert_allclose(images[1, 2, 3], measured.images[1, 4:6, 6:8].mean())
    for shape in ((14, 12), (15, 24), (60, 48)):
        with pytest.raises(InputError, match="cannot be binned"):
            read_map(str(measured.path), shape)


def _with(given: PatternMap, data: object) -> PatternMap:
    return replace(given, data=data)


def test_one_bad_pattern_costs_its_own_place(measured: Measured) -> None:
    given = read_map(str(measured.path))

    def read(block_info: dict) -> np.ndarray:  # type: ignore[type-arg]
        place = block_info[None]["chunk-location"][0]
        if place == 6:
            raise OSError("the disk has a scratch")
        return measured.images[place : place + 1]

    broken = da.map_blocks(read, chunks=((1,) * 20, (30,), (24,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    images, flags = _with(given, broken).block(0, 20)
    assert flags[6] == UNREADABLE
    assert (flags[[5, 7]] == GOOD).all()
    np.testing.assert_array_equal(images[7], measured.images[7])
    floats = measured.images.astype(np.float32)
    floats[2, 4, 4] = np.nan
    floats[5, 0, 0] = np.inf
    _, flags = _with(given, da.from_array(floats)).block(0, 20)
    assert list(np.flatnonzero(flags == UNREADABLE)) == [2, 5]
    huge = measured.images.astype(np.float64)
    huge[7] *= 1e300
    _, flags = _with(given, da.from_array(huge)).block(0, 20)
    assert list(np.flatnonzero(flags == UNREADABLE)) == [7]
    twelve_bits = (measured.images.astype(np.uint16) * 16).clip(max=2600)  # a plateau below what 16 bits hold
    _, flags = _with(given, da.from_array(twelve_bits)).block(0, 20)
    share = (twelve_bits == 2600).mean(axis=(1, 2))
    np.testing.assert_array_equal(np.flatnonzero(flags == SATURATED), np.flatnonzero(share > 0.1))
    assert (share > 0.1).any()


@pytest.mark.parametrize(
    ("shape", "names", "expected"), [((20,), "x", (1, 20)), ((20,), "y", (20, 1)), ((), "", (1, 1))]
)
def test_lines_and_single_patterns(
    shape: tuple[int, ...], names: str, expected: tuple[int, int], measured: Measured, tmp_path: Path
) -> None:
    import kikuchipy as kp

    images = measured.images.reshape(*MAP, 30, 24)[0, 0] if not shape else measured.images
    signal = kp.signals.EBSD(images)
    signal.detector = kp.detectors.EBSDDetector(shape=(30, 24), pc=GEOMETRY.centre, sample_tilt=70)
    for axis, name in zip(signal.axes_manager.navigation_axes, names, strict=True):
        axis.name, axis.units, axis.scale = name, "um", 0.25
    signal.save(tmp_path / "line.h5")
    given = read_map(str(tmp_path / "line.h5"))
    assert given.shape == expected
    if names:
        assert (given.unit, given.step) == ("um", (0.25, 0.25))
    assert given.block(0, len(given))[0].shape == (len(given), 30, 24)


def test_a_file_without_geometry_asks_for_it(measured: Measured, tmp_path: Path) -> None:
    import kikuchipy as kp

    kp.signals.EBSD(measured.images.reshape(*MAP, 30, 24)).save(tmp_path / "bare.h5")
    with pytest.raises(InputError, match="--centre"):
        read_map(str(tmp_path / "bare.h5"))


@pytest.mark.parametrize(
    ("energy", "told"), [(15.0, "nearest is of 20 keV"), (-3.0, "takes keV"), (float("nan"), "keV")]
)
def test_energies_that_there_are_not(energy: float, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_crystal("nickel", energy)


def test_a_master_pattern_must_have_the_symmetry_of_its_name() -> None:
    nickel = read_crystal("nickel")
    for symmetry in ("1", "2", "222", "422", "23", "432"):
        _check_symmetry("nickel", nickel.master, symmetry)
    for symmetry in ("3", "622"):
        with pytest.raises(InputError, match="does not have the symmetry"):
            _check_symmetry("nickel", nickel.master, symmetry)


def test_what_is_no_map_is_refused(measured: Measured, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_map(str(tmp_path / "none.h5"))
    content = measured.path.read_bytes()
    for name, wrong in (
        ("truncated.h5", content[: len(content) // 2]),
        ("empty.h5", b""),
        ("text.h5", b"not a map"),
        ("text.up1", b"x"),
        ("text.png", b"x"),
        ("noending", content),
    ):
        path = tmp_path / name
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="holds no patterns") as told:
            read_map(str(path))
        assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="holds no master pattern"):
        read_crystal(str(measured.path))
    with pytest.raises(InputError, match="no such file"):
        read_crystal("iron")


def test_every_vendor_that_kikuchipy_brings_can_be_read() -> None:
    import kikuchipy as kp

    folder = Path(kp.__file__).parent / "data"
    for name, shape in (
        ("edax_h5ebsd/patterns.h5", (3, 3)),
        ("edax_binary/edax_binary.up2", (1, 10)),
        ("oxford_binary/patterns.ebsp", (3, 3)),
    ):
        if not (folder / name).is_file():
            continue
        given = read_map(str(folder / name), centre=(0.4, 0.3, 0.5), tilt=5)
        assert (given.geometry.centre, given.geometry.tilt, len(given.centres)) == ((0.4, 0.3, 0.5), 5, 1)
        images, flags = given.block(0, len(given))
        assert given.shape == shape, name
        assert (flags == GOOD).sum() >= len(given) - 1  # the last of one of them is empty
        assert np.isfinite(images).all()


def test_a_float_map(measured: Measured, tmp_path: Path) -> None:
    path = tmp_path / "floats.h5"
    save(measured.images.astype(np.float32), path)
    _, flags = read_map(str(path)).block(0, 20)
    assert flags[EMPTY_ONE] == EMPTY
    assert flags[SATURATED_ONE] == SATURATED
