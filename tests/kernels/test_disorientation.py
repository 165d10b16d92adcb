"""Disorientation against eq. 6.4 to the letter and against orix.

Tolerance: 3e-8 rad from the reference, whose arccosine is no better near 0 and π; 1e-12 from a float64 arctangent of
the same; 1e-6 in float32.
"""

import numpy as np
import pytest
import torch
from orix.quaternion import Misorientation, Orientation, Rotation, symmetry

from matscreen.kernels.backend import on_gpu
from matscreen.kernels.disorientation import (
    SYMMETRY,
    disorientation,
    disorientation_angle,
    disorientation_matrix,
    from_euler,
    from_matrix,
    gpu,
    nearest_orientations,
)
from matscreen.kernels.disorientation.differentiable import torch_angle
from matscreen.kernels.disorientation.reference import matrices
from matscreen.kernels.disorientation.symmetry import conjugate, multiply

ORIX = dict(
    zip(
        "1 2 222 4 422 3 32 6 622 23 432".split(),
        ("C1", "C2", "D2", "C4", "D4", "C3", "D3", "C6", "D6", "T", "O"),
        strict=True,
    )
)


def random(n: int, rng: np.random.Generator) -> np.ndarray:
    q = rng.normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def adversarial(group: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs: equal, opposite in sign, equivalent, all but equal, and on the border between two operations."""
    rotations = SYMMETRY[group]
    q = random(40, rng)
    equivalent = multiply(rotations[rng.integers(0, len(rotations), 40)], q)
    tiny = np.concatenate([np.ones((40, 1)), rng.normal(size=(40, 3)) * 10.0 ** -rng.integers(1, 12, (40, 1))], axis=1)
    near = multiply(tiny / np.linalg.norm(tiny, axis=1, keepdims=True), equivalent)
    half = rotations + rotations[rng.integers(0, len(rotations), len(rotations))]
    half = half[np.linalg.norm(half, axis=1) > 0.1]
    border = multiply(half / np.linalg.norm(half, axis=1, keepdims=True), q[: len(half)])
    return np.concatenate([q, q, q, q, q[: len(half)]]), np.concatenate([q, -q, equivalent, near, border])


def exact(q1: np.ndarray, q2: np.ndarray, group: str, group2: str) -> np.ndarray:
    """Every pair of operations, with the arctangent."""
    turns = multiply(q1, conjugate(q2))
    every = multiply(multiply(SYMMETRY[group][:, None, None], turns), conjugate(SYMMETRY[group2])[:, None])
    return (2 * np.arctan2(np.linalg.norm(every[..., 1:], axis=-1), np.abs(every[..., 0]))).min(axis=(0, 1))


@pytest.mark.parametrize("group", SYMMETRY)
def test_groups_are_those_of_orix(group: str) -> None:
    theirs = getattr(symmetry, ORIX[group]).data
    assert len(SYMMETRY[group]) == len(theirs)
    np.testing.assert_allclose(np.abs(SYMMETRY[group] @ theirs.T).max(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize(("group", "group2"), [*((g, g) for g in SYMMETRY), ("432", "622"), ("1", "23"), ("6", "2")])
def test_against_the_definition(group: str, group2: str, rng: np.random.Generator) -> None:
    few = [np.concatenate([random(4, rng), extreme[::16]]) for extreme in adversarial(group, rng)]
    n = min(map(len, few))
    literal = disorientation_angle(few[0][:n], few[1][:n], group, group2, backend="reference")
    np.testing.assert_allclose(exact(few[0][:n], few[1][:n], group, group2), literal, atol=3e-8)
    hard = adversarial(group, rng)
    q1, q2 = np.concatenate([random(2000, rng), hard[0]]), np.concatenate([random(2000, rng), hard[1]])
    expected = exact(q1, q2, group, group2)
    found = disorientation_angle(q1, q2, group, group2)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=2e-15, rtol=1e-12)
    single = disorientation_angle(q1.astype(np.float32), q2.astype(np.float32), group, group2)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-6)


@pytest.mark.parametrize(("group", "group2"), [("432", "432"), ("622", "622"), ("1", "1"), ("432", "622")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_triton_finds_the_same(group: str, group2: str, dtype: type, rng: np.random.Generator) -> None:
    hard = adversarial(group, rng)
    q1 = np.concatenate([random(300, rng), hard[0]]).astype(dtype)  # no whole number of blocks
    q2 = np.concatenate([random(300, rng), hard[1]]).astype(dtype)
    expected = disorientation_angle(q1.astype(float), q2.astype(float), group, group2, backend="cpu")
    tolerance = {"atol": 1e-6} if dtype == np.float32 else {"atol": 2e-15, "rtol": 1e-12}
    found = disorientation_angle(q1, q2, group, group2, backend="gpu")
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, **tolerance)
    whole = disorientation_matrix(q1[:37], q2[:140], group, group2, backend="gpu")
    np.testing.assert_allclose(
        whole, disorientation_matrix(q1[:37].astype(float), q2[:140].astype(float), group, group2), **tolerance
    )


def by_differences(q1: np.ndarray, q2: np.ndarray, group: str) -> np.ndarray:
    """(N, 4) gradient of the angle in q1 on the unit sphere, from central differences in float64."""
    step, slopes = 1e-6, np.empty_like(q1)
    for n in range(4):
        ends = [q1 + sign * step * np.eye(4)[n] for sign in (1, -1)]
        up, down = (exact(q / np.linalg.norm(q, axis=1, keepdims=True), q2, group, group) for q in ends)
        slopes[:, n] = (up - down) / (2 * step)
    return slopes


@pytest.mark.parametrize("group", ["432", "622", "1"])
@pytest.mark.parametrize("triton", [False, True])
def test_gradients_against_finite_differences(group: str, triton: bool, rng: np.random.Generator) -> None:
    q1, q2 = random(100, rng), random(100, rng)
    dots = np.sort(np.abs(multiply(q1, conjugate(q2)) @ SYMMETRY[group].T), axis=1)
    away = dots[:, -1] - (dots[:, -2] if len(SYMMETRY[group]) > 1 else 0) > 1e-3  # from ties, where there is a kink
    q1, q2 = q1[away], q2[away]
    a, b = (torch.tensor(q, requires_grad=True) for q in (q1, q2))
    if triton:
        (first, second, rotations), _ = on_gpu(q1, q2, np.array(SYMMETRY[group]))
        angle, nearest = gpu.angles(first, second, rotations)
        slopes = [g.cpu().numpy() for g in gpu.gradients(first, second, rotations, nearest, torch.ones_like(angle))]
    else:
        torch_angle(a, b, group).sum().backward()
        slopes = [a.grad.numpy(), b.grad.numpy()]
    np.testing.assert_allclose(slopes[0], by_differences(q1, q2, group), atol=1e-7)
    np.testing.assert_allclose(slopes[1], by_differences(q2, q1, group), atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(slopes[0], axis=1), 2, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_zero_and_where_operations_tie(dtype: torch.dtype, rng: np.random.Generator) -> None:
    for group in SYMMETRY:
        a, b = (torch.tensor(q, dtype=dtype, requires_grad=True) for q in adversarial(group, rng))
        angle = torch_angle(a, b, group)
        angle.sum().backward()
        expected = exact(a.detach().double().numpy(), b.detach().double().numpy(), group, group)
        np.testing.assert_allclose(angle.detach().numpy(), expected, atol=2e-6 if dtype == torch.float32 else 1e-12)
        for q in (a, b):
            assert torch.isfinite(q.grad).all()
            assert (q.grad.norm(dim=1) <= 2.01).all()
        same = torch.tensor(random(5, rng), dtype=dtype, requires_grad=True)
        torch_angle(same, same.detach().clone(), group).sum().backward()
        assert torch.isfinite(same.grad).all()


def test_lengths_within_the_tolerance_tell_no_angle(rng: np.random.Generator) -> None:
    q = random(50, rng)
    for group in SYMMETRY:
        for backend in ("cpu", "gpu"):
            assert (disorientation_angle(q * 1.0003, q, group, backend=backend) < 1e-7).all()


def test_gradients_of_tensors_that_lie_turned(rng: np.random.Generator) -> None:
    turned = torch.from_numpy(np.ascontiguousarray(random(33, rng).T)).T
    other, rotations = torch.from_numpy(random(33, rng)), torch.from_numpy(np.array(SYMMETRY["432"]))
    (a, b, r), _ = on_gpu(turned, other, rotations)
    slopes = []
    for q in (a, a.contiguous()):
        angle, nearest = gpu.angles(q, b, r)
        slopes.append(gpu.gradients(q, b, r, nearest, torch.ones_like(angle))[0].cpu().numpy())
    np.testing.assert_array_equal(slopes[0], slopes[1])


def test_autocast_changes_nothing(rng: np.random.Generator) -> None:
    a, b = (torch.from_numpy(random(2000, rng).astype(np.float32)) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = torch_angle(a, b)
    np.testing.assert_array_equal(within.numpy(), torch_angle(a, b).numpy())


@pytest.mark.parametrize("group", SYMMETRY)
def test_against_orix(group: str, rng: np.random.Generator) -> None:
    q1, q2 = random(200, rng), random(150, rng)
    a, b = (Orientation(q, symmetry=getattr(symmetry, ORIX[group])) for q in (q1, q2))
    np.testing.assert_allclose(disorientation_angle(q1[:150], q2, group), a[:150].angle_with(b), atol=1e-7)
    np.testing.assert_allclose(disorientation_matrix(q1, q2, group), a.angle_with_outer(b), atol=1e-7)


def test_two_crystals_against_orix(rng: np.random.Generator) -> None:
    q1, q2 = random(60, rng), random(60, rng)
    turns = Misorientation(multiply(q1, conjugate(q2)), symmetry=(symmetry.D6, symmetry.O))
    reduced = turns.reduce() if hasattr(turns, "reduce") else turns.map_into_symmetry_reduced_zone()
    np.testing.assert_allclose(disorientation_angle(q1, q2, "432", "622"), reduced.angle, atol=1e-7)


def test_small_angles_keep_their_digits() -> None:
    angles = np.geomspace(1e-12, 0.5, 200)
    turned = np.stack([np.cos(angles / 2), 0 * angles, np.sin(angles / 2), 0 * angles], axis=1)
    for group in SYMMETRY:
        np.testing.assert_allclose(disorientation_angle(np.array([1.0, 0, 0, 0]), turned, group), angles, rtol=1e-12)


@pytest.mark.parametrize(("group", "largest"), [("432", 62.7994), ("622", 93.8411), ("23", 90), ("1", 180)])
def test_largest_angles_are_the_known_ones(group: str, largest: float, rng: np.random.Generator) -> None:
    found = np.degrees(disorientation_angle(random(200_000, rng), random(200_000, rng), group))
    assert largest * 0.97 < found.max() <= largest + 1e-3


@pytest.mark.parametrize(("group", "group2"), [("432", "432"), ("622", "622"), ("432", "32")])
def test_axis_and_operations_make_the_angle(group: str, group2: str, rng: np.random.Generator) -> None:
    hard = adversarial(group, rng)
    q1, q2 = np.concatenate([random(300, rng), hard[0]]), np.concatenate([random(300, rng), hard[1]])
    angles, axes, operations = disorientation(q1, q2, group, group2)
    np.testing.assert_allclose(angles, disorientation_angle(q1, q2, group, group2), atol=1e-14, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, rtol=1e-12)
    first, second = multiply(SYMMETRY[group][operations[:, 0]], q1), multiply(SYMMETRY[group2][operations[:, 1]], q2)
    turn = np.concatenate([np.cos(angles / 2)[:, None], np.sin(angles / 2)[:, None] * axes], axis=1)
    overlap = np.abs((multiply(turn, second) * first).sum(axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-12)
    for ours, tensor in zip(
        (angles, axes, operations), disorientation(torch.from_numpy(q1), q2, group, group2), strict=True
    ):
        np.testing.assert_array_equal(tensor.numpy(), ours)  # type: ignore[attr-defined]


def test_nearest_of_a_dictionary_is_the_sorted_matrix(rng: np.random.Generator) -> None:
    q1, book = random(37, rng), random(1500, rng)
    book[700] = book[3]
    for group in ("432", "622", "222"):
        whole = disorientation_matrix(q1, book, group, threads=2)
        angles, rows = nearest_orientations(q1, book, 9, group, threads=3)
        order = np.argsort(whole, axis=1, kind="stable")[:, :9]
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(angles, np.take_along_axis(whole, order, axis=1))


def test_nearest_by_triton_and_by_definition(rng: np.random.Generator) -> None:
    q1, book = random(3, rng), random(40, rng)
    angles, rows = nearest_orientations(q1, book, 5, backend="cpu")
    for backend in ("gpu", "reference"):
        found = nearest_orientations(q1, book, 5, backend=backend)
        np.testing.assert_array_equal(found[1], rows)
        np.testing.assert_allclose(found[0], angles, atol=3e-8)
    tensors = nearest_orientations(torch.from_numpy(q1), torch.from_numpy(book), 5)
    np.testing.assert_array_equal(tensors[1].numpy(), rows)
    with pytest.raises(ValueError, match="count must be from 1 to the 40"):
        nearest_orientations(q1, book, 41)
    for backend in ("gpu", "reference", "cpu"):
        with pytest.raises(ValueError, match="count must be from 1 to the 1 "):
            nearest_orientations(q1, book[0], 2, backend=backend)


def test_same_bytes_for_any_number_of_threads(rng: np.random.Generator) -> None:
    q1, q2 = random(5003, rng), random(5003, rng)
    for group in ("432", "32"):
        expected = disorientation_angle(q1, q2, group)
        np.testing.assert_array_equal(disorientation_angle(q1, q2, group, threads=3), expected)
        np.testing.assert_array_equal(disorientation_angle(q1[77:], q2[77:], group), expected[77:])


def test_other_forms_are_those_of_orix(rng: np.random.Generator) -> None:
    euler = rng.uniform(0, [2 * np.pi, np.pi, 2 * np.pi], (300, 3))
    theirs = Rotation.from_euler(euler)
    ours = from_euler(euler)
    np.testing.assert_allclose(np.abs((ours * theirs.data).sum(axis=1)), 1, atol=1e-12)
    np.testing.assert_allclose(matrices(ours), theirs.to_matrix(), atol=1e-12)
    np.testing.assert_allclose(np.abs((from_matrix(theirs.to_matrix()) * ours).sum(axis=1)), 1, atol=1e-12)
    with pytest.raises(ValueError, match="not a rotation"):
        from_matrix(-np.eye(3))
    with pytest.raises(ValueError, match="Euler"):
        from_euler(np.zeros(4))


@pytest.mark.parametrize(
    ("q1", "q2", "group", "message"),
    [
        (np.eye(4), np.eye(4), "m-3m", "unknown symmetry 'm-3m': expected one of 1 2 222"),
        (np.eye(4) * 2, np.eye(4), "432", "q1 must be unit quaternions: row 0 has the squared length 4"),
        (np.eye(4), np.eye(4) * 1.01, "622", "q2 must be unit quaternions: row 0"),
        (np.eye(4), np.full((4, 4), np.nan), "432", "q2 must be unit quaternions: row 0"),
        (np.eye(3), np.eye(4), "432", r"q1 must be \(N, 4\)"),
        (np.eye(4)[:2], np.eye(4)[:3], "432", "2 orientations do not pair with 3"),
    ],
)
def test_bad_input(q1: np.ndarray, q2: np.ndarray, group: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        disorientation_angle(q1, q2, group)
