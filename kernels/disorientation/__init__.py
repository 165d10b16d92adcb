"""Disorientation: the smallest angle that turns one crystal into another, whose symmetry makes many rotations the same.

    min over i, j of the angle of O_i q1 (O_j q2)⁻¹          (Jha 2020, eq. 6.4)

Orientations are unit quaternions (w, x, y, z), passive rotations from specimen to crystal, as in orix; `from_euler` and
`from_matrix` make them. Symmetries go by the name of their proper point group (`SYMMETRY`).
"""

from typing import Any

import numpy as np

from matscreen.kernels.backend import Backend, as_numpy, device_of, on_gpu, resolve
from matscreen.kernels.disorientation import cpu, reference
from matscreen.kernels.disorientation.orientations import from_euler, from_matrix
from matscreen.kernels.disorientation.symmetry import SYMMETRY, between, checked_groups, conjugate, multiply

__all__ = [
    "SYMMETRY",
    "disorientation",
    "disorientation_angle",
    "disorientation_matrix",
    "from_euler",
    "from_matrix",
    "nearest_orientations",
]


def disorientation_angle(
    q1: np.ndarray,
    q2: np.ndarray,
    symmetry: str = "432",
    symmetry2: str | None = None,
    *,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """Disorientation angle of each pair of orientations.

    Parameters
    ----------
    q1, q2 : (N, 4) unit quaternions; or (4,), which is compared with all of the other
    symmetry, symmetry2 : proper point groups of the first and the second crystal; the same if one is given
    threads : pairs are spread over so many threads

    Returns
    -------
    (N,) radians: float32 if both are, else float64 (of the reference always). A torch tensor if one was given; for one
    through which gradients flow see `differentiable`

    Raises
    ------
    ValueError
        Shapes that do not fit, a quaternion whose squared length is off 1 by more than 1e-3, an unknown group.

    >>> disorientation_angle(np.array([1.0, 0, 0, 0]), from_euler(np.radians([[5, 0, 0], [90, 0, 0]]))).round(4)
    array([0.0873, 0.    ])
    """
    chosen = resolve(backend, "disorientation", gpu=True)
    if chosen == "gpu":
        return _by_triton(q1, q2, symmetry, symmetry2, whole=False)
    (a, b), back = as_numpy(q1, q2)
    a, b, groups = _checked(a, b, symmetry, symmetry2, lengths=False)
    a, b = np.broadcast_arrays(a, b) if len(a) == 1 or len(b) == 1 else (a, b)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} orientations do not pair with {len(b)}")
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if chosen == "reference":
        _check_lengths(a, b)
        return back(reference.disorientation_angle(a, b, *groups))  # type: ignore[no-any-return]
    angles = cpu.angles(a, b, between(*groups), groups == ("432", "432"), threads)
    if np.isnan(angles).any():
        _check_lengths(a, b)
    return back(angles)  # type: ignore[no-any-return]


def disorientation(
    q1: np.ndarray, q2: np.ndarray, symmetry: str = "432", symmetry2: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Disorientation angle, axis and operations of each pair of orientations, as in `disorientation_angle`.

    Returns
    -------
    angles : (N,) radians, float64
    axes : (N, 3) float64 unit vectors of O_i q1 (O_j q2)⁻¹ in crystal axes; z where the angle is 0
    operations : (N, 2) int64, rows i and j of `SYMMETRY`; the first pair where several do the same
    """
    (a, b), back = as_numpy(q1, q2)
    a, b, groups = _checked(a, b, symmetry, symmetry2)
    first, second = (SYMMETRY[group] for group in groups)
    turns = multiply(a, conjugate(b)).astype(np.float64)
    rotations = between(*groups)
    every = multiply(conjugate(first)[:, None], second[None]).reshape(-1, 4)
    first_pair = (np.abs(rotations @ every.T) > 1 - 1e-9).argmax(axis=1)  # of operations, for each rotation
    pair = first_pair[np.abs(turns @ rotations.T).argmax(axis=1)]
    operations = np.stack(np.divmod(pair, len(second)), axis=1)
    turned = multiply(multiply(first[operations[:, 0]], turns), conjugate(second[operations[:, 1]]))
    turned = np.where(turned[:, :1] < 0, -turned, turned)
    sine = np.linalg.norm(turned[:, 1:], axis=1)
    axes = np.divide(turned[:, 1:], sine[:, None], out=np.tile([0.0, 0, 1], (len(sine), 1)), where=sine[:, None] > 0)
    return back(2 * np.arctan2(sine, turned[:, 0])), back(axes), back(operations)


def disorientation_matrix(
    q1: np.ndarray,
    q2: np.ndarray,
    symmetry: str = "432",
    symmetry2: str | None = None,
    *,
    threads: int = 1,
    backend: Backend = "auto",
) -> np.ndarray:
    """Disorientation angles of all pairs: (N, M) radians of q1 (N, 4) and q2 (M, 4).

    Otherwise like `disorientation_angle`.
    """
    chosen = resolve(backend, "disorientation", gpu=True)
    if chosen == "gpu":
        return _by_triton(q1, q2, symmetry, symmetry2, whole=True)
    (a, b), back = as_numpy(q1, q2)
    a, b, groups = _checked(a, b, symmetry, symmetry2)
    if chosen == "reference":
        all_pairs = [reference.disorientation_angle(np.broadcast_to(q, b.shape), b, *groups) for q in a]
        return back(np.array(all_pairs).reshape(len(a), len(b)))  # type: ignore[no-any-return]
    return back(cpu.matrix(a, b, between(*groups), groups == ("432", "432"), threads))  # type: ignore[no-any-return]


def nearest_orientations(
    q1: np.ndarray,
    dictionary: np.ndarray,
    count: int = 1,
    symmetry: str = "432",
    symmetry2: str | None = None,
    *,
    threads: int = 1,
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest orientations of a dictionary (M, 4) to each of q1 (N, 4); otherwise like `disorientation_angle`.

    Returns
    -------
    angles : (N, count) radians, rising
    rows : (N, count) int64, of the dictionary; on the CPU the earlier first where angles are equal
    """
    known = len(_shaped(q1, dictionary)[1])
    if not 1 <= count <= known:
        raise ValueError(f"count must be from 1 to the {known} orientations of the dictionary, not {count}")
    chosen = resolve(backend, "disorientation", gpu=True)
    if chosen == "gpu":
        from matscreen.kernels.disorientation import gpu

        on_device = _on_device(q1, dictionary, symmetry, symmetry2)
        with device_of(on_device[0]):
            nearest = gpu.nearest(*on_device[:4], count)
        return on_device[4](nearest[0]), on_device[4](nearest[1])
    (a, b), back = as_numpy(q1, dictionary)
    if chosen == "reference":
        whole = disorientation_matrix(a, b, symmetry, symmetry2, backend="reference")
        rows = np.argsort(whole, axis=1, kind="stable")[:, :count]
        return back(np.take_along_axis(whole, rows, axis=1)), back(rows)
    a, b, groups = _checked(a, b, symmetry, symmetry2)
    angles, rows = cpu.nearest(a, b, between(*groups), groups == ("432", "432"), count, threads)
    return back(angles), back(rows)


def _shaped(q1: Any, q2: Any) -> tuple[Any, Any]:
    """Arrays or tensors (N, 4) and (M, 4)."""
    for name, q in (("q1", q1), ("q2", q2)):
        if q.ndim not in (1, 2) or q.shape[-1] != 4:
            raise ValueError(f"{name} must be (N, 4) unit quaternions, not {tuple(q.shape)}")
    return q1.reshape(-1, 4), q2.reshape(-1, 4)


def _checked(
    q1: Any, q2: Any, symmetry: str, symmetry2: str | None, lengths: bool = True
) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """Quaternions (N, 4) and (M, 4) of one precision, contiguous, and the names of the groups."""
    groups = checked_groups(symmetry, symmetry2)
    given = _shaped(np.asarray(q1), np.asarray(q2))
    kind = np.float32 if all(q.dtype == np.float32 for q in given) else np.float64
    a, b = (np.ascontiguousarray(q, kind) for q in given)
    if lengths:
        _check_lengths(a, b)
    return a, b, groups


def _check_lengths(q1: np.ndarray, q2: np.ndarray) -> None:
    for name, q in (("q1", q1), ("q2", q2)):
        if not cpu.all_unit(q):
            _refuse(name, (q**2).sum(axis=1))


def _refuse(name: str, square: np.ndarray) -> None:
    """The error for quaternions of these squared lengths."""
    row = int(np.argmax(~(np.abs(square - 1) <= cpu.TOLERANCE)))
    raise ValueError(f"{name} must be unit quaternions: row {row} has the squared length {square[row]:.4g}")


def _on_device(q1: Any, q2: Any, symmetry: str, symmetry2: str | None) -> tuple[Any, Any, Any, bool, Any]:
    """Checked tensors (N, 4), (M, 4) and rotations where Triton runs, whether those are of 432, and the way back."""
    groups = checked_groups(symmetry, symmetry2)
    (a, b), back = on_gpu(q1, q2)
    a, b = _shaped(a, b)
    if str(a.dtype) != "torch.float32" or str(b.dtype) != "torch.float32":
        a, b = a.double(), b.double()
    for name, q in (("q1", a), ("q2", b)):
        square = (q * q).sum(dim=1)
        if not bool(((square - 1).abs() <= cpu.TOLERANCE).all()):
            _refuse(name, square.cpu().numpy())
    (rotations,), _ = on_gpu(np.array(between(*groups)))
    return a, b, rotations.to(a), groups == ("432", "432"), back


def _by_triton(q1: Any, q2: Any, symmetry: str, symmetry2: str | None, whole: bool) -> np.ndarray:
    """Angles of pairs, or of the whole matrix, as what q1 and q2 were: arrays, or tensors on their device."""
    from matscreen.kernels.disorientation import gpu

    a, b, rotations, cubic, back = _on_device(q1, q2, symmetry, symmetry2)
    if not whole and len(a) != len(b):
        if 1 not in (len(a), len(b)):
            raise ValueError(f"{len(a)} orientations do not pair with {len(b)}")
        a, b = a.expand(len(b), 4) if len(a) == 1 else a, b.expand(len(a), 4) if len(b) == 1 else b
    with device_of(a):
        result: np.ndarray = back((gpu.matrix if whole else gpu.only_angles)(a, b, rotations, cubic))
    return result
