"""Filters of images by windows of any size, for raw 2D X-ray diffraction (Jha 2020, chapter 7): minimum, maximum, mean
and the four slope filters, and the background that the first two make.

Borders and the place of a window are SciPy's: of pixel i a window of size f covers i − f // 2 … i − f // 2 + f − 1, so
that one of even size reaches one pixel further to the left and up. The cost of a pixel does not depend on f.

Pixels that are NaN, or where `mask` is true (dead pixels, a beam stop), are left out of every window; of what lies
beyond a constant border none are.
"""

import sys
from typing import Any

import numpy as np

from matscreen.kernels.backend import Backend, as_numpy, device_of, on_gpu, resolve
from matscreen.kernels.filters2d import cpu, reference
from matscreen.kernels.filters2d.reference import slope_masks
from matscreen.kernels.filters2d.windows import Mode, window

__all__ = [
    "Mode",
    "maximum_filter",
    "mean_filter",
    "minimum_filter",
    "slope_filters",
    "slope_masks",
    "subtract_background",
]

Size = int | tuple[int, int]


def minimum_filter(
    image: np.ndarray,
    size: Size,
    mode: Mode = "reflect",
    *,
    cval: float = 0,
    mask: np.ndarray | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """The smallest pixel of every window (Jha 2020, eq. 7.9).

    Parameters
    ----------
    image : (…, H, W), an image or a stack of them; any real dtype
    size : of the window in pixels, or of its rows and columns; at most the image's
    mode : what lies beyond the border, by SciPy's names
    cval : what lies there in mode "constant"
    mask : (…, H, W) bool, or of any shape that broadcasts to it: true where a pixel is to be left out
    threads : work on so many bands of rows at a time; the result does not depend on it

    Returns
    -------
    (…, H, W) of the image's dtype (float64 of the reference); NaN (0 of integers) where a window holds no valid pixel.
    A torch tensor for one

    Raises
    ------
    ValueError
        A shape, dtype, mode or size that does not fit.

    >>> minimum_filter(np.array([[3, 1, 2], [4, 5, 6]]), (1, 2))
    array([[3, 1, 1],
           [4, 4, 5]])
    """
    return _filtered("minimum", image, size, mode, cval, mask, threads, backend)


def maximum_filter(
    image: np.ndarray,
    size: Size,
    mode: Mode = "reflect",
    *,
    cval: float = 0,
    mask: np.ndarray | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """The largest pixel of every window (Jha 2020, eq. 7.7); otherwise like `minimum_filter`."""
    return _filtered("maximum", image, size, mode, cval, mask, threads, backend)


def mean_filter(
    image: np.ndarray,
    size: Size,
    mode: Mode = "reflect",
    *,
    cval: float = 0,
    mask: np.ndarray | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """The mean of every window's valid pixels (Jha 2020, eq. 7.10); infinite ones are left out too.

    Returns (…, H, W): float32 for a float32 image, else float64; NaN where a window holds no valid pixel. Summed in
    float64: exactly for integers whose sum is below 2⁵³, else off by at most about 1e-13 of the largest sum in the rows
    that a window lies in. Otherwise like `minimum_filter`.
    """
    return _filtered("mean", image, size, mode, cval, mask, threads, backend)


def slope_filters(
    image: np.ndarray,
    size: int,
    mode: Mode = "reflect",
    *,
    cval: float = 0,
    mask: np.ndarray | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """Correlation with the slope filters F1 (diagonal), F2 (anti-diagonal), VF and HF (Jha 2020, eqs. 7.1–7.5).

    Their masks (`slope_masks`) are −1 on one side and +1 on the other: F1 = −1 where i < j; F2 = −1 where
    i + j > f − 1; VF = −1 where i < f/2; HF = −1 where j < f/2; row i and column j from 0. (In the published code the
    indices of F2 begin at −f/2, so its condition is never met.) A pixel left out counts as the mean of the others on
    its side of the mask.

    Parameters
    ----------
    size : f >= 2 pixels; the window is square

    Returns
    -------
    (4, …, H, W): float32 for a float32 image, else float64; NaN where a side holds no valid pixel. Summed in float64:
    exactly for integers whose sum is below 2⁵³, else off by at most about 1e-13 of the largest sum in the rows that a
    window lies in. Otherwise like `minimum_filter`.
    """
    if not isinstance(size, (int, np.integer)) or size < 2:
        raise ValueError(f"a slope filter is square, of at least 2 pixels, not {size}")
    return _filtered("slopes", image, int(size), mode, cval, mask, threads, backend)


def subtract_background(
    image: np.ndarray,
    size: int = 200,
    mode: Mode = "reflect",
    *,
    mask: np.ndarray | None = None,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """A diffraction image without its background (Jha 2020, 7.3.4): I − MF − CS.

    MF is the minimum filter of the image I, CS the mean filter of I − MF, both f × f.

    Returns (…, H, W): float32 for a float32 image, else float64. Otherwise like `minimum_filter`.
    """
    lowest = minimum_filter(image, size, mode, mask=mask, threads=threads, backend=backend)
    kind = np.float32 if str(image.dtype).endswith("float32") else np.float64
    above = _astype(image, kind) - _astype(lowest, kind)
    result: np.ndarray = above - mean_filter(above, size, mode, mask=mask, threads=threads, backend=backend)
    return result


def _filtered(
    name: str, image: Any, size: Size, mode: str, cval: float, mask: Any, threads: int, backend: Backend
) -> np.ndarray:
    """One of the filters, by the backend that is to run it."""
    chosen = resolve(backend, "filters2d", gpu=True)
    if chosen == "gpu":
        return _by_triton(name, image, size, mode, cval, mask)
    (image, mask), back = as_numpy(image, mask)
    image = np.asarray(image)
    if image.ndim < 2 or image.size == 0 or image.dtype.kind not in "biuf":
        raise ValueError(f"an image is (…, H, W) of real numbers, not {image.shape} of {image.dtype}")
    shape = image.shape
    where = window(shape[-2:], size, mode, cval)
    stack = _plain(image.reshape(-1, *shape[-2:]), name, cval)
    masked = None if mask is None else np.broadcast_to(mask, shape).reshape(stack.shape)
    if chosen == "cpu" and name == "mean" and masked is None:
        found = cpu.mean(stack, None, where, threads)
        # What is not finite stays in a running sum to the end of its row: that column tells of all pixels.
        if np.isfinite(found[..., -1]).all():
            return back(found.reshape(shape))  # type: ignore[no-any-return]
    valid = _valid(stack, masked, name)
    if chosen == "reference":
        found = getattr(reference, name)(stack, np.ones(stack.shape, bool) if valid is None else valid, where)
    else:
        found = getattr(cpu, name)(stack, valid, where, threads)
        found = found.astype(image.dtype, copy=False) if name in ("minimum", "maximum") else found
    result: np.ndarray = back(found.reshape(*found.shape[: found.ndim - 3], *shape))
    return result


WIDER: dict[str, np.dtype[Any]] = {"int8": np.dtype(np.int16), "uint32": np.dtype(np.int64)}
"""Of rare pixels, so that nothing is compiled for them alone."""


def _plain(stack: np.ndarray, name: str, cval: float) -> np.ndarray:
    """A stack in a dtype that kernels take, contiguous: float64 for integers to sum beside a border that is none.

    ValueError for the extremes of those, as their border must be one.
    """
    kind: np.dtype[Any] = stack.dtype.newbyteorder("=")
    if kind.kind == "b":
        kind = np.dtype(np.uint8)
    elif kind.kind == "f" and kind.itemsize not in (4, 8):
        kind = np.dtype(np.float32 if kind.itemsize < 4 else np.float64)
    if kind.kind in "iu" and not (np.iinfo(kind).min <= cval <= np.iinfo(kind).max and float(cval).is_integer()):
        if name in ("minimum", "maximum"):
            raise ValueError(f"cval must be a {kind} as the image's pixels are, not {cval}")
        kind = np.dtype(np.float64)
    return np.ascontiguousarray(stack, WIDER.get(kind.name, kind))


def _by_triton(name: str, image: Any, size: Size, mode: str, cval: float, mask: Any) -> np.ndarray:
    """One of the filters, of an array or a tensor, which stays on its device."""
    from matscreen.kernels.filters2d import gpu

    given = image.dtype
    if isinstance(image, np.ndarray) and image.dtype.kind in "biuf":
        image = _plain(image, name, cval)
    (stack, hidden), back = on_gpu(image, mask)
    if str(stack.dtype) == "torch.bool":
        stack = stack.byte()
    if stack.ndim < 2 or stack.numel() == 0 or stack.dtype.is_complex:
        raise ValueError(f"an image is (…, H, W) of real numbers, not {tuple(stack.shape)} of {stack.dtype}")
    shape = stack.shape
    where = window((shape[-2], shape[-1]), size, mode, cval)
    valid = None if hidden is None else (hidden == 0).expand(shape)
    if stack.dtype.is_floating_point:
        known = ~stack.isnan() if name in ("minimum", "maximum") else stack.isfinite()
        valid = known if valid is None else valid & known
    stack = stack.reshape(-1, *shape[-2:]).contiguous()
    if valid is not None:
        valid = None if bool(valid.all()) else valid.reshape(stack.shape).byte().contiguous()
    with device_of(stack):
        found = getattr(gpu, name)(stack, valid, where)
    result: Any = back(found.reshape(*found.shape[: found.ndim - 3], *shape))
    if name in ("minimum", "maximum") and result.dtype != given:
        result = result.astype(given) if isinstance(result, np.ndarray) else result.to(given)
    return result  # type: ignore[no-any-return]


def _valid(stack: np.ndarray, mask: np.ndarray | None, name: str) -> np.ndarray | None:
    """Which pixels count, or None if all do."""
    valid = None if mask is None else ~mask.astype(bool)
    if stack.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            clean = np.isfinite(stack.sum())  # one pass is all that most images need
        if not clean:
            bad = np.isnan(stack) if name in ("minimum", "maximum") else ~np.isfinite(stack)
            valid = ~bad if valid is None else valid & ~bad
    return None if valid is None or valid.all() else valid


def _astype(image: Any, kind: type) -> Any:
    """An array or a tensor in float32 or float64."""
    if isinstance(image, np.ndarray):
        return image.astype(kind)
    return image.to(getattr(sys.modules["torch"], np.dtype(kind).name))
