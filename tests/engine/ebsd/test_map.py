"""Reading maps: shapes, flags, binning, and files that are none."""

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from matscreen.engine.ebsd.crystals import read_crystal
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
    blocks = list(given.blocks(7))
    assert [start for start, _, _ in blocks] == [0, 7, 14]
    np.testing.assert_array_equal(np.concatenate([part for _, part, _ in blocks]), images)


def test_binning_takes_means(measured: Measured) -> None:
    given = read_map(str(measured.path), (15, 12))
    images, flags = given.block(0, 3)
    assert images.shape == (3, 15, 12)
    assert (flags == GOOD).all()
    np.testing.assert_allclose(images[1, 2, 3], measured.images[1, 4:6, 6:8].mean())
    for shape in ((14, 12), (15, 24), (60, 48)):
        with pytest.raises(InputError, match="cannot be binned"):
            read_map(str(measured.path), shape)


def _with(given: PatternMap, data: object, largest: float = float("inf")) -> PatternMap:
    return replace(given, data=data, largest=largest)


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
    assert flags[SATURATED_ONE] == GOOD  # nobody knows the largest value
