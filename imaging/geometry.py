"""The one place where an index becomes a place in the patient, and back."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from records.model import Point

__all__ = ["Grid", "directions", "index_of", "point_mm", "points_mm", "voxel_mm3"]

FloatArray = NDArray[np.float64]


class Grid(Protocol):
    """Where voxels lie: a `records.model.Volume`, or the headers of one."""

    @property
    def origin_mm(self) -> Point:
        """Centre of voxel (0, 0, 0), LPS."""
        ...

    @property
    def axes(self) -> FloatArray:
        """Unit vectors (LPS) along the array axes, one a row."""
        ...

    @property
    def spacing_mm(self) -> Point:
        """Distance between voxel centres along (plane, row, column)."""
        ...


def points_mm(grid: Grid, indices: FloatArray) -> FloatArray:
    """Return where in the patient voxels lie.

    Parameters
    ----------
    grid : Grid
        A volume, or what only knows where voxels lie.
    indices : (N, 3) ndarray
        (plane, row, column), fractions allowed.

    Returns
    -------
    (N, 3) ndarray
        LPS, mm (DICOM PS3.3 C.7.6.2.1.1).
    """
    steps = np.asarray(indices, dtype=np.float64) * np.asarray(grid.spacing_mm)
    return np.asarray(np.asarray(grid.origin_mm) + steps @ grid.axes, np.float64)


def point_mm(grid: Grid, index: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return where in the patient one voxel lies (LPS, mm)."""
    x, y, z = points_mm(grid, np.array([index]))[0]
    return float(x), float(y), float(z)


def index_of(grid: Grid, points: FloatArray) -> FloatArray:
    """Return the (plane, row, column), as fractions, of (N, 3) places in LPS mm."""
    offsets = np.asarray(points, dtype=np.float64) - np.asarray(grid.origin_mm)
    return np.asarray(offsets @ np.linalg.inv(grid.axes) / np.asarray(grid.spacing_mm), np.float64)


def directions(count: int) -> FloatArray:
    """Return (N, 3) unit vectors spread evenly over the sphere, on a spiral by the golden angle."""
    k = np.arange(count)
    height = 1 - (2 * k + 1) / count
    turn = np.pi * (1 + 5**0.5) * k
    width = np.sqrt(1 - height**2)
    return np.stack([height, width * np.sin(turn), width * np.cos(turn)], axis=1)


def voxel_mm3(grid: Grid) -> float:
    """Return the volume of one voxel."""
    return float(np.prod(grid.spacing_mm))
