"""Orientations in other forms as unit quaternions (w, x, y, z)."""

import numpy as np


def from_euler(angles: np.ndarray) -> np.ndarray:
    """Unit quaternions (…, 4) float64, w >= 0, of Bunge Euler angles (φ1, Φ, φ2) in radians, (…, 3).

    Passive, specimen → crystal (the convention P = −1 of Rowenhorst et al. 2015), as orix has them.
    """
    angles = np.asarray(angles, np.float64)
    if angles.ndim == 0 or angles.shape[-1] != 3:
        raise ValueError(f"Euler angles are (…, 3), not {angles.shape}")
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_euler("ZXZ", angles.reshape(-1, 3)).inv()
    return np.asarray(turned.as_quat(canonical=True, scalar_first=True)).reshape(*angles.shape[:-1], 4)


def from_matrix(matrices: np.ndarray) -> np.ndarray:
    """Unit quaternions (…, 4) float64, w >= 0, of rotation matrices (…, 3, 3), specimen → crystal.

    ValueError for a matrix that is not a rotation.
    """
    matrices = np.asarray(matrices, np.float64)
    if matrices.shape[-2:] != (3, 3):
        raise ValueError(f"rotation matrices are (…, 3, 3), not {matrices.shape}")
    flat = matrices.reshape(-1, 3, 3)
    if not np.allclose(flat @ flat.swapaxes(1, 2), np.eye(3), atol=1e-4) or not (np.linalg.det(flat) > 0).all():
        raise ValueError("a matrix is not a rotation: its rows are not orthonormal, or it mirrors")
    from scipy.spatial.transform import Rotation

    quaternions = Rotation.from_matrix(flat).as_quat(canonical=True, scalar_first=True)
    return np.asarray(quaternions).reshape(*matrices.shape[:-2], 4)
