"""The one place where an index becomes a place in the patient, and back."""

import numpy as np
from numpy.typing import NDArray

from records.model import Volume

__all__ = ["index_of", "point_mm", "points_mm", "voxel_mm3"]

FloatArray = NDArray[np.float64]


def points_mm(volume: Volume, indices: FloatArray) -> FloatArray:
    """Return where in the patient voxels lie.

    Parameters
    ----------
    volume : Volume
        The grid.
    indices : (N, 3) ndarray
        (plane, row, column), fractions allowed.

    Returns
    -------
    (N, 3) ndarray
        LPS, mm (DICOM PS3.3 C.7.6.2.1.1).
    """
    steps = np.asarray(indices, dtype=np.float64) * np.asarray(volume.spacing_mm)
    return np.asarray(np.asarray(volume.origin_mm) + steps @ volume.axes, np.float64)


def point_mm(volume: Volume, index: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return where in the patient one voxel lies (LPS, mm)."""
    x, y, z = points_mm(volume, np.array([index]))[0]
    return float(x), float(y), float(z)


def index_of(volume: Volume, points: FloatArray) -> FloatArray:
    """Return the (plane, row, column), as fractions, of (N, 3) places in LPS mm."""
    offsets = np.asarray(points, dtype=np.float64) - np.asarray(volume.origin_mm)
    return np.asarray(offsets @ np.linalg.inv(volume.axes) / np.asarray(volume.spacing_mm), np.float64)


def voxel_mm3(volume: Volume) -> float:
    """Return the volume of one voxel."""
    return float(np.prod(volume.spacing_mm))
