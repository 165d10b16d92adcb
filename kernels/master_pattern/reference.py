"""The definition: the direction of each pixel, turned into crystal axes, looked up in the Lambert square."""

import numpy as np


def project(
    master: np.ndarray, orientations: np.ndarray, centres: np.ndarray, shape: tuple[int, int], axes: np.ndarray
) -> np.ndarray:
    """See the package."""
    from scipy.spatial.transform import Rotation

    across, down = directions(centres, shape)
    towards = np.stack(np.broadcast_arrays(across[:, None, :], down[:, :, None], 1.0), axis=-1)
    towards = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
    turns = Rotation.from_quat(orientations, scalar_first=True).as_matrix()  # v_crystal = turns @ v_specimen
    crystal = np.einsum("nij,jk,nrck->nrci", turns, axes, np.broadcast_to(towards, (len(turns), *towards.shape[1:])))
    x, y = lambert(crystal)
    return interpolated(master, x, y, crystal[..., 2] < 0).astype(np.float32)


def directions(centres: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Gnomonic x (N, columns) and y (N, rows) of the pixels' middles, of pattern centres (N, 3)."""
    rows, columns = shape
    x, y, distance = (centres[:, n, None].astype(np.float64) for n in range(3))
    across = ((np.arange(columns) + 0.5) / columns - x) / distance * (columns / rows)
    down = (y - (np.arange(rows) + 0.5) / rows) / distance
    return across, down


def lambert(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (…, 3) in the square from −1 to 1 of their hemisphere (Roşca 2010)."""
    x, y = v[..., 0], v[..., 1]
    radius = np.sqrt((x**2 + y**2) / (1 + np.abs(v[..., 2])))  # √(1 − |z|), without the cancellation at the poles
    steep = np.abs(y) > np.abs(x)
    long, short = np.where(steep, y, x), np.where(steep, x, y)
    slope = np.divide(short, long, out=np.zeros_like(x), where=long != 0)
    along, beside = np.copysign(radius, long), np.copysign(radius, long) * 4 / np.pi * np.arctan(slope)
    return np.where(steep, beside, along), np.where(steep, along, beside)


def interpolated(master: np.ndarray, x: np.ndarray, y: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Bilinear between the four nearest points of the hemisphere's square."""
    last = master.shape[1] - 1
    column, row = (x + 1) / 2 * last, (y + 1) / 2 * last
    j, i = (np.clip(np.floor(place), 0, last - 1).astype(int) for place in (column, row))
    right, down = column - j, row - i
    side = lower.astype(int)
    values = master.astype(np.float64)
    upper = values[side, i, j] * (1 - right) + values[side, i, j + 1] * right
    below = values[side, i + 1, j] * (1 - right) + values[side, i + 1, j + 1] * right
    return np.asarray(upper * (1 - down) + below * down)
