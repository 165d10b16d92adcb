"""Projection of Kikuchi patterns against its definition and against kikuchipy.

Tolerance: a thousandth of the master pattern's range. In 32 bits a direction is known to some 1e-7 of the square, so
that a pixel is off by no more than that times the steepest slope between two points.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from matscreen.kernels.backend import Backend
from matscreen.kernels.master_pattern import project_patterns, reference

CENTRE = np.array([0.42, 0.21, 0.5])


def axes(*tilts: float) -> np.ndarray:
    return Rotation.from_euler("XYZ", tilts or (70, 10, -5), degrees=True).as_matrix()


def random(n: int, rng: np.random.Generator) -> np.ndarray:
    q = rng.normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def adversarial() -> np.ndarray:
    """Orientations that look along axes, diagonals and edges of the Lambert square."""
    half, root = 0.5, np.sqrt(0.5)
    q = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [half] * 4, [half, -half, half, -half]]
    return np.array([*q, [root, root, 0, 0], [root, 0, root, 0], [root, 0, 0, -root], [0, root, root, 0]], float)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("side", [2, 41, 402])
def test_as_defined(backend: Backend, side: int, rng: np.random.Generator) -> None:
    master = rng.normal(3, 5, (2, side, side)).astype(np.float32)
    q = np.concatenate([random(4, rng), adversarial()])
    for frame in (np.eye(3), axes()):
        given = master, q, CENTRE, (7, 6), frame
        expected = project_patterns(*given, backend="reference")
        found = project_patterns(*given, backend=backend)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-3 * np.ptp(master))


@pytest.mark.parametrize("backend", ["cpu", "gpu", "reference"])
def test_a_centre_for_each_pattern(backend: Backend, rng: np.random.Generator) -> None:
    master, q = rng.random((2, 51, 51)).astype(np.float32), random(5, rng)
    centres = CENTRE + rng.uniform(-0.1, 0.1, (5, 3))
    together = project_patterns(master, q, centres, (6, 9), axes(), backend=backend)
    for n in range(5):
        alone = project_patterns(master, q[n : n + 1], centres[n], (6, 9), axes(), backend=backend)
        np.testing.assert_array_equal(alone[0], together[n])


def test_what_the_square_means(rng: np.random.Generator) -> None:
    """Equal areas on the sphere are equal areas in the square, and directions come back where they should."""
    v = rng.normal(size=(200_000, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    x, y = reference.lambert(v)
    counts, _, _ = np.histogram2d(x, y, bins=10, range=[[-1, 1], [-1, 1]])
    assert (np.abs(counts - 2000) < 6 * np.sqrt(2000)).all()
    np.testing.assert_allclose(
        reference.lambert(np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]])), [[0, 1, 0], [0, 0, -1]]
    )
    # A master pattern that tells z itself: (1 − |z|) is the greater of x² and y² in the square.
    line = np.linspace(-1, 1, 801)
    height = 1 - np.maximum(line[:, None] ** 2, line[None] ** 2)
    q = random(20, rng)
    found = project_patterns(np.stack([height, -height]).astype(np.float32), q, CENTRE, (20, 20), axes())
    across, down = reference.directions(CENTRE[None], (20, 20))
    towards = np.stack(np.broadcast_arrays(across[0][None], down[0][:, None], 1.0), -1)
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    z = np.einsum("nj,rcj->nrc", Rotation.from_quat(q, scalar_first=True).as_matrix()[:, 2] @ axes(), towards)
    far = np.abs(z) > 0.02  # where the hemispheres meet their values differ in sign
    np.testing.assert_allclose(found[far], z[far], atol=5e-3)


def test_equals_kikuchipy(rng: np.random.Generator) -> None:
    kp = pytest.importorskip("kikuchipy")
    orix = pytest.importorskip("orix.quaternion")
    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    master.data = master.data.astype(np.float32)
    detector = kp.detectors.EBSDDetector(shape=(60, 60), pc=CENTRE, sample_tilt=70, tilt=5, azimuthal=3, twist=-2)
    frame = (~detector.sample_to_detector).to_matrix()[0]
    q = np.concatenate([random(200, rng), adversarial()])
    theirs = master.get_patterns(
        orix.Rotation(q), detector, energy=20, dtype_out="float32", compute=True, show_progressbar=False
    ).data
    given = master.data, q, CENTRE, (60, 60), frame
    np.testing.assert_allclose(project_patterns(*given, backend="reference"), theirs, atol=1e-3)
    np.testing.assert_allclose(project_patterns(*given, backend="cpu"), theirs, atol=0.05)  # of 0…255


def test_threads_change_nothing(rng: np.random.Generator) -> None:
    master, q = rng.random((2, 31, 31)).astype(np.float32), random(11, rng)
    given = master, q, CENTRE, (10, 12), axes()
    np.testing.assert_array_equal(project_patterns(*given, threads=3), project_patterns(*given))
    assert project_patterns(master, q[:0], *given[2:]).shape == (0, 10, 12)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"master": np.zeros((2, 5, 6), np.float32)}, "a master pattern"),
        ({"orientations": np.zeros((3, 4))}, "unit quaternions"),
        ({"orientations": np.full((3, 4), np.nan)}, "unit quaternions"),
        ({"orientations": np.ones((3, 3))}, "unit quaternions"),
        ({"centres": np.array([0.5, 0.5, -1])}, "in front"),
        ({"centres": np.array([np.nan, 0.5, 1])}, "in front"),
        ({"centres": np.ones((2, 3))}, "centres must be"),
        ({"shape": (0, 4)}, "a detector has"),
        ({"axes": np.ones((3, 3))}, "perpendicular"),
    ],
)
def test_what_cannot_be_is_refused(backend: Backend, change: dict[str, np.ndarray], told: str) -> None:
    given = {
        "master": np.zeros((2, 5, 5), np.float32),
        "orientations": np.tile([1.0, 0, 0, 0], (3, 1)),
        "centres": CENTRE,
        "shape": (4, 4),
        "axes": np.eye(3),
    }
    with pytest.raises(ValueError, match=told):
        project_patterns(**{**given, **change}, backend=backend)
