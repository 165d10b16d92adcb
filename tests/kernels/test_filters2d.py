"""The filters against their definition and against SciPy: minimum and maximum exactly, sums to 1e-6 relative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from matscreen.kernels.backend import gpu_here
from matscreen.kernels.filters2d import (
    gpu,
    maximum_filter,
    mean_filter,
    minimum_filter,
    slope_filters,
    slope_masks,
    subtract_background,
)
from matscreen.kernels.filters2d.differentiable import correlate

MODES = ("reflect", "constant", "nearest", "mirror", "wrap", "grid-mirror", "grid-constant", "grid-wrap")
DTYPES = (np.float32, np.float64, np.uint8, np.uint16, np.int32)


def image(rng: np.random.Generator, shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return (rng.lognormal(3, 2, shape) - 10).astype(dtype)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, (1, 17), (23, 4), (40, 29)])
def test_extremes_are_those_of_scipy(mode: str, dtype: type, size: int, rng: np.random.Generator) -> None:
    given = image(rng, (40, 29), dtype)
    for ours, theirs in ((minimum_filter, ndimage.minimum_filter), (maximum_filter, ndimage.maximum_filter)):
        found = ours(given, size, mode, cval=3)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, theirs(given, size, mode=mode, cval=3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [2, 3, 8, 13, 29])
def test_sums_are_those_of_scipy(mode: str, dtype: type, size: int, rng: np.random.Generator) -> None:
    given = image(rng, (40, 29), dtype)
    exact = given.astype(np.float64)
    scale = ndimage.uniform_filter(np.abs(exact), size, mode=mode, cval=3)
    found = mean_filter(given, size, mode, cval=3)
    assert found.dtype == (np.float32 if dtype == np.float32 else np.float64)
    expected = ndimage.correlate(exact, np.full((size, size), 1 / size**2), mode=mode, cval=3)
    assert (np.abs(found - expected) <= 1e-6 * scale).all()
    slopes = slope_filters(given, size, mode, cval=3)
    for ours, mask in zip(slopes, slope_masks(size), strict=True):
        theirs = ndimage.correlate(exact, mask, mode=mode, cval=3)
        assert (np.abs(ours - theirs) <= 1e-6 * scale * size**2).all()


@pytest.mark.parametrize("size", [50, 51, 200])
def test_large_windows_of_a_detector_image(size: int, rng: np.random.Generator) -> None:
    given = image(rng, (700, 611), np.uint16)  # several bands of rows, and no whole number of them
    np.testing.assert_array_equal(minimum_filter(given, size, threads=2), ndimage.minimum_filter(given, size))
    exact = ndimage.uniform_filter(given.astype(np.float64), size)
    np.testing.assert_allclose(mean_filter(given, size), exact, rtol=1e-10)
    slopes = slope_filters(given, size, threads=2)
    for y, x in ((0, 0), (350, 300), (699, 610), (255, 17), (256, 600), (431, 9)):
        part = np.pad(given.astype(np.int64), size, mode="symmetric")
        corner = (y + size - size // 2, x + size - size // 2)
        seen = part[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
        exact_slopes = (slope_masks(size).astype(np.int64) * seen).sum(axis=(1, 2))
        np.testing.assert_array_equal(slopes[:, y, x], exact_slopes)  # integers are summed exactly


@pytest.mark.parametrize(
    ("shape", "size", "mode", "dtype", "masked"),
    [
        ((21, 13), (13, 4), "reflect", np.float32, False),
        ((2, 7, 19), (6, 17), "constant", np.uint16, True),
        ((9, 11), 1, "wrap", np.int32, True),
        ((2, 10, 7), (2, 3), "mirror", np.float64, True),
        ((6, 7), 3, "constant", bool, False),
        ((8, 9), (5, 9), "nearest", np.uint8, False),
    ],
)
def test_triton_finds_the_same(
    shape: tuple[int, ...],
    size: int,
    mode: str,
    dtype: type,
    masked: bool,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if gpu_here() == "interpreter":  # which scans pixel by pixel
        monkeypatch.setattr(gpu, "TILE", 32)
    given = image(rng, shape, dtype)
    mask = rng.random(shape) < 0.3 if masked else None
    for run in (minimum_filter, maximum_filter):
        ours, definition = (run(given, size, mode, cval=3, mask=mask, backend=b) for b in ("gpu", "cpu"))
        assert ours.dtype == given.dtype
        np.testing.assert_array_equal(ours, definition)
    ours, definition = (mean_filter(given, size, mode, cval=3, mask=mask, backend=b) for b in ("gpu", "cpu"))
    assert ours.dtype == definition.dtype
    np.testing.assert_allclose(ours, definition, rtol=1e-6, atol=1e-9)
    side = max(np.min(size), 2)
    ours, definition = (slope_filters(given, side, mode, cval=3, mask=mask, backend=b) for b in ("gpu", "cpu"))
    scale = np.abs(given.astype(float)).max() * side**2
    np.testing.assert_allclose(ours, definition, rtol=1e-6, atol=1e-9 * scale)


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    mode=st.sampled_from(MODES),
    missing=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_missing_pixels_are_left_out(
    shape: tuple[int, int], size: tuple[int, int], mode: str, missing: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    size = (min(size[0], shape[0]), min(size[1], shape[1]))
    given = image(rng, (2, *shape), np.float64)
    mask = rng.random(shape) < missing / 2
    given[rng.random((2, *shape)) < missing / 2] = np.nan
    for name in (minimum_filter, maximum_filter, mean_filter):
        ours, definition = (name(given, size, mode, mask=mask, backend=b) for b in ("cpu", "reference"))
        np.testing.assert_allclose(ours, definition, rtol=1e-12, atol=1e-9)
    side = min(size)
    if side > 1:
        ours, definition = (slope_filters(given, side, mode, mask=mask, backend=b) for b in ("cpu", "reference"))
        np.testing.assert_allclose(ours, definition, rtol=1e-9, atol=1e-6)


def test_a_masked_beam_stop_does_not_matter(rng: np.random.Generator) -> None:
    given, mask = image(rng, (60, 60), np.int32), np.zeros((60, 60), bool)
    mask[20:25, 30:33] = True
    other = given.copy()
    other[mask] = rng.integers(-(2**31), 2**31 - 1, int(mask.sum()))
    for run in (minimum_filter, maximum_filter, mean_filter, slope_filters):
        np.testing.assert_array_equal(run(given, 9, mask=mask), run(other, 9, mask=mask))
    cleaned, again = (subtract_background(i, 9, mask=mask) for i in (given, other))
    np.testing.assert_array_equal(cleaned[~mask], again[~mask])
    assert (minimum_filter(given, 3, mask=np.ones((60, 60), bool)) == 0).all()


def test_a_bright_pixel_leaves_no_trace(rng: np.random.Generator) -> None:
    given = np.ones((1200, 40), np.float32)
    given[5, 5] = 2**32 - 1  # a dead pixel of many detectors; running sums in float32 would be off by 256 ever after
    np.testing.assert_allclose(mean_filter(given, 9)[20:], 1, rtol=1e-6)
    infinite = given.copy()
    infinite[5, 5] = np.inf
    np.testing.assert_array_equal(mean_filter(infinite, 9), 1)
    assert maximum_filter(infinite, 9)[5, 5] == np.inf


def test_no_error_grows_along_an_image(rng: np.random.Generator) -> None:
    given = rng.lognormal(0, 2, (6000, 16))
    found = mean_filter(given, 9)
    last = mean_filter(given[-600:], 9)
    np.testing.assert_allclose(found[-500:], last[-500:], rtol=1e-12)


def test_same_bytes_for_any_number_of_threads(rng: np.random.Generator) -> None:
    given = image(rng, (2, 900, 70))
    for run in (minimum_filter, mean_filter, slope_filters):
        np.testing.assert_array_equal(run(given, 31), run(given, 31, threads=3))
        np.testing.assert_array_equal(np.moveaxis(run(given, 31), -3, 0)[1], run(given[1], 31))


def test_background_is_what_the_equations_say(rng: np.random.Generator) -> None:
    given = image(rng, (50, 64), np.float64)
    above = given - ndimage.minimum_filter(given, 20)
    np.testing.assert_allclose(subtract_background(given, 20), above - ndimage.uniform_filter(above, 20), atol=1e-9)


def test_tensors_come_back_as_tensors(rng: np.random.Generator) -> None:
    given = image(rng, (30, 30))
    for run in (minimum_filter, mean_filter, slope_filters, subtract_background):
        found = run(torch.from_numpy(given), 5)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), run(given, 5))


@pytest.mark.parametrize("cval", [-1, 0.5, 300])
def test_a_border_that_is_none_of_the_images_numbers(cval: float) -> None:
    given = np.arange(30, dtype=np.uint8).reshape(5, 6)
    for run in (mean_filter, slope_filters):
        ours, definition = (run(given, 3, "constant", cval=cval, backend=b) for b in ("cpu", "reference"))
        np.testing.assert_allclose(ours, definition, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="cval must be a uint8"):
        minimum_filter(given, 3, "constant", cval=cval)
    with pytest.raises(ValueError, match="cval must be a finite number"):
        mean_filter(given, 3, "constant", cval=np.nan)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint32, np.float16, ">f4", ">i2", np.longdouble])
def test_any_real_dtype(dtype: type | str, rng: np.random.Generator) -> None:
    given = (rng.random((9, 8)) * 50).astype(dtype)[::-1]
    plain = given.astype(np.float64)
    found = maximum_filter(given, 3)
    assert found.dtype == given.dtype
    np.testing.assert_array_equal(found.astype(float), ndimage.maximum_filter(plain, 3))
    np.testing.assert_allclose(mean_filter(given, 3), ndimage.uniform_filter(plain, 3), rtol=1e-6)


@pytest.mark.parametrize("mode", ["reflect", "constant", "wrap"])
@pytest.mark.parametrize("size", [4, 7, 20])
def test_learnt_filters_begin_as_the_slope_filters(mode: str, size: int, rng: np.random.Generator) -> None:
    given = image(rng, (2, 31, 20), np.float64)
    found = correlate(torch.from_numpy(given), torch.from_numpy(slope_masks(size)), mode, cval=3)
    np.testing.assert_allclose(found.numpy(), slope_filters(given, size, mode, cval=3), rtol=1e-9, atol=1e-7)


def test_learnt_filters_have_gradients(rng: np.random.Generator) -> None:
    images, filters = (torch.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 7, 6), (3, 4, 4)))
    assert torch.autograd.gradcheck(correlate, (images, filters))
    with pytest.raises(ValueError, match="filters"):
        correlate(images, filters[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((4, 4)), 5), "size must be from 1 to the image's 4 × 4 pixels, not 5"),
        ((np.zeros((4, 4)), 0), "size must be"),
        ((np.zeros((4, 4)), (2, 3, 4)), "size must be"),
        ((np.zeros(4), 2), "an image is"),
        ((np.zeros((4, 4), complex), 2), "real numbers"),
        ((np.zeros((0, 4)), 1), "an image is"),
        ((np.zeros((4, 4)), 2, "periodic"), "unknown mode 'periodic'"),
    ],
)
def test_bad_input(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        minimum_filter(*arguments)
    if len(arguments) == 2 and arguments[1] != (2, 3, 4):
        with pytest.raises(ValueError, match="size|slope|image"):
            slope_filters(*arguments)
