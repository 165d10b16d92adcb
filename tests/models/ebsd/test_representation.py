"""Orientations as numbers and back, against orix and against each other."""

import numpy as np
import pytest
import torch
from orix.quaternion import Orientation, Rotation, symmetry

from matscreen.kernels.disorientation import SYMMETRY, disorientation_angle, from_euler
from matscreen.kernels.disorientation.symmetry import multiply
from matscreen.models.ebsd.losses import LOSSES, losses, mseae
from matscreen.models.ebsd.representation import REPRESENTATIONS, cubic_of, euler_of, fundamental, of_cubic, of_euler


def random(n: int, rng: np.random.Generator) -> torch.Tensor:
    q = rng.normal(size=(n, 4))
    return torch.from_numpy(q / np.linalg.norm(q, axis=1, keepdims=True))


@pytest.mark.parametrize("group", list(SYMMETRY))
def test_the_fundamental_zone_turns_least(group: str, rng: np.random.Generator) -> None:
    q = random(300, rng)
    found = fundamental(q, group)
    assert disorientation_angle(found.numpy(), q.numpy(), group).max() < 1e-7
    every = np.abs(multiply(SYMMETRY[group][:, None], q.numpy()[None])[..., 0])
    np.testing.assert_allclose(found[:, 0], every.max(axis=0))
    again = fundamental(
        torch.from_numpy(multiply(SYMMETRY[group][rng.integers(len(SYMMETRY[group]))], q.numpy())), group
    )
    np.testing.assert_allclose(np.abs((again * found).sum(1)), 1)


def test_euler_angles_are_those_of_orix(rng: np.random.Generator) -> None:
    q = random(500, rng)
    angles = euler_of(q)
    theirs = Rotation(q.numpy()).to_euler()
    off = np.abs(angles.numpy() - theirs) % (2 * np.pi)
    assert np.minimum(off, 2 * np.pi - off).max() < 1e-8
    np.testing.assert_allclose(np.abs((of_euler(angles).numpy() * from_euler(angles.numpy())).sum(1)), 1)
    for degenerate in ([1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [np.sqrt(0.5), 0, 0, -np.sqrt(0.5)]):
        back = of_euler(euler_of(torch.tensor([degenerate]).double()))
        assert abs(float((back * torch.tensor([degenerate]).double()).sum())) > 1 - 1e-6


@pytest.mark.parametrize("name", list(REPRESENTATIONS))
def test_there_and_back(name: str, rng: np.random.Generator) -> None:
    plan = REPRESENTATIONS[name]
    q = fundamental(random(500, rng), "432")
    numbers = plan.encode(q)
    assert numbers.shape == (500, sum(plan.branches))
    assert disorientation_angle(plan.decode(numbers).numpy(), q.numpy(), "432").max() < 1e-6


def test_the_cubic_tensor_knows_nothing_of_the_operation(rng: np.random.Generator) -> None:
    q = random(50, rng)
    for operation in SYMMETRY["432"]:
        np.testing.assert_allclose(cubic_of(torch.from_numpy(multiply(operation, q.numpy()))), cubic_of(q), atol=1e-12)
    # It moves by as much wherever the orientation is: at the end of the fundamental zone too.
    tiny = np.concatenate([np.ones((50, 1)), rng.normal(size=(50, 3)) * 1e-4], axis=1)
    near = torch.from_numpy(multiply(tiny / np.linalg.norm(tiny, axis=1, keepdims=True), q.numpy()))
    assert (cubic_of(near) - cubic_of(q)).norm(dim=1).max() < 1e-2


def test_a_cubic_tensor_of_no_orientation_has_a_nearest_one(rng: np.random.Generator) -> None:
    q = random(200, rng)
    noisy = cubic_of(q) + 0.02 * torch.from_numpy(rng.normal(size=(200, 9)))
    found = of_cubic(noisy)
    off = np.degrees(disorientation_angle(found.numpy(), q.numpy(), "432"))
    assert 0.1 < off.mean() < 3
    lost = of_cubic(torch.zeros(3, 9).double())
    assert torch.isfinite(lost).all()
    np.testing.assert_allclose(lost.norm(dim=1), 1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["euler", "quaternion"])
def test_losses_are_0_at_the_truth_and_their_gradients_point_there(
    name: str, loss: str, rng: np.random.Generator
) -> None:
    plan = REPRESENTATIONS[name]
    q = fundamental(random(60, rng), "432")
    true = plan.encode(q)
    assert losses(true, q, loss, plan, "432").max() < 1e-6
    off = (true + 0.02 * torch.from_numpy(rng.normal(size=true.shape))).requires_grad_()
    value = losses(off, q, loss, plan, "432")
    value.sum().backward()
    assert off.grad is not None
    assert torch.isfinite(off.grad).all()
    step = off.detach() - 1e-4 * off.grad
    assert (losses(step, q, loss, plan, "432") <= value).float().mean() > 0.95


def test_mean_disorientation_and_mseae_against_orix(rng: np.random.Generator) -> None:
    a, b = random(40, rng), random(40, rng)
    plan = REPRESENTATIONS["euler"]
    angles = losses(plan.encode(a), b, "mde", plan, "432")
    theirs = Orientation(a.numpy(), symmetry=symmetry.O).angle_with(Orientation(b.numpy(), symmetry=symmetry.O))
    np.testing.assert_allclose(angles, theirs, atol=1e-6)
    turn = from_euler(np.array([[0.3, 0, 0]]))  # about z: the sum of φ1 and φ2 changes by it
    off = mseae(multiply(turn, a.numpy()), a.numpy(), "1")
    np.testing.assert_allclose(off.sum(), 0.3, atol=1e-6)
    equivalent = multiply(SYMMETRY["432"][rng.integers(0, 24, 40)], a.numpy())
    assert mseae(equivalent, a.numpy(), "432").max() < 1e-6
    tiny = np.concatenate([np.ones((40, 1)), rng.normal(size=(40, 3)) * 0.01], axis=1)
    near = multiply(tiny / np.linalg.norm(tiny, axis=1, keepdims=True), a.numpy())
    expected = mseae(near, a.numpy(), "432")
    for operations in rng.integers(0, 24, (5, 2, 40)):  # whichever equivalents one has of the same orientations
        changed = [multiply(SYMMETRY["432"][which], q) for which, q in zip(operations, (near, a.numpy()), strict=True)]
        np.testing.assert_allclose(mseae(*changed, "432"), expected, atol=1e-9)
