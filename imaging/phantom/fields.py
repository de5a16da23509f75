"""Signed distances on a coarse grid: how the smooth shapes of a chest are described.

A field holds the distance to a surface, negative inside, sampled every few millimetres. A smooth
surface read from it by linear interpolation lies within a tenth of a millimetre of its place, so
organs are described once on a small grid and drawn at any scanner's spacing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Grid", "capsules", "column", "ellipsoid", "fog", "joined", "normalised"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular grid with one step for all axes; arrays on it are indexed (plane, row, column)."""

    low_mm: tuple[float, float, float]  # (x, y, z) of the first point
    step_mm: float
    shape: tuple[int, int, int]

    @property
    def axes_mm(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Coordinates x, y, z, shaped to broadcast over the grid."""
        x, y, z = (
            np.asarray(low + self.step_mm * np.arange(n), np.float64)
            for low, n in zip(self.low_mm, self.shape[::-1], strict=True)
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def sample(self, field: FloatArray, points_mm: FloatArray) -> FloatArray:
        """Return a field at (N, 3) points (x, y, z), linearly interpolated, (N,)."""
        index = ((points_mm - np.asarray(self.low_mm)) / self.step_mm).T[::-1]
        return np.asarray(ndimage.map_coordinates(field, index, order=1, mode="nearest"))


def normalised(level: FloatArray, step_mm: float) -> FloatArray:
    """Turn a function that is zero on a surface into the distance to it, to first order (Taubin 1994)."""
    slope = np.sqrt(sum(g * g for g in np.gradient(level, step_mm)))
    return np.asarray(level / np.maximum(slope, 1e-3))


def ellipsoid(
    grid: Grid,
    centre_mm: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
    *,
    turn_deg: float = 0.0,
) -> FloatArray:
    """Return the distance to an ellipsoid, turned about z, to first order."""
    x, y, z = grid.axes_mm
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    u = c * (x - centre_mm[0]) + s * (y - centre_mm[1])
    v = -s * (x - centre_mm[0]) + c * (y - centre_mm[1])
    w = z - centre_mm[2]
    inside = np.sqrt((u / radii_mm[0]) ** 2 + (v / radii_mm[1]) ** 2 + (w / radii_mm[2]) ** 2)
    slope = np.sqrt((u / radii_mm[0] ** 2) ** 2 + (v / radii_mm[1] ** 2) ** 2 + (w / radii_mm[2] ** 2) ** 2)
    return np.asarray(inside * (inside - 1) / np.maximum(slope, 1e-6))


def column(
    grid: Grid,
    centre_mm: tuple[FloatArray, FloatArray],
    half_mm: tuple[FloatArray, FloatArray],
    *,
    power: float,
) -> FloatArray:
    """Return the distance to an upright column whose cross-section is a superellipse.

    Parameters
    ----------
    grid : Grid
    centre_mm, half_mm : pair of (planes,) ndarray
        Centre and half-width along x and y of each plane.
    power : float
        2 is an ellipse, more is squarer.
    """
    x, y, _ = grid.axes_mm
    u = np.abs(x - centre_mm[0][:, None, None]) / half_mm[0][:, None, None]
    v = np.abs(y - centre_mm[1][:, None, None]) / half_mm[1][:, None, None]
    level = (u**power + v**power) ** (1 / power) - 1
    return normalised(level, grid.step_mm)


def capsules(
    grid: Grid, points_mm: Sequence[tuple[float, float, float]], radii_mm: Sequence[float]
) -> FloatArray:
    """Return the distance to a tube through `points_mm` whose radius changes linearly between them."""
    field = np.full(grid.shape, 1e3)
    reach = 40.0  # mm: farther than this a tube is simply far away
    for a, b, ra, rb in zip(points_mm, points_mm[1:], radii_mm, radii_mm[1:], strict=False):
        start, end = np.array(a), np.array(b)
        low = np.minimum(start, end) - max(ra, rb) - reach
        high = np.maximum(start, end) + max(ra, rb) + reach
        first = np.clip(((low - grid.low_mm) / grid.step_mm).astype(int), 0, None)
        last = np.maximum(((high - grid.low_mm) / grid.step_mm).astype(int) + 1, 0)
        part = tuple(slice(f, t) for f, t in zip(first[::-1], last[::-1], strict=True))
        x, y, z = grid.axes_mm
        x, y, z = x[:, :, part[2]], y[:, part[1], :], z[part[0]]
        axis = end - start
        along = (x - a[0]) * axis[0] + (y - a[1]) * axis[1] + (z - a[2]) * axis[2]
        t = np.clip(along / np.sum(axis * axis), 0, 1)
        away = (x - a[0] - t * axis[0]) ** 2 + (y - a[1] - t * axis[1]) ** 2 + (z - a[2] - t * axis[2]) ** 2
        field[part] = np.minimum(field[part], np.sqrt(away) - (ra + t * (rb - ra)))
    return field


def joined(one: FloatArray, other: FloatArray, blend_mm: float) -> FloatArray:
    """Return the union of two shapes with their seam filled over `blend_mm`."""
    near = np.maximum(blend_mm - np.abs(one - other), 0.0)
    return np.minimum(one, other) - near * near / (4 * blend_mm)


def fog(grid: Grid, scale_mm: float, rng: np.random.Generator) -> FloatArray:
    """Return smooth noise of unit standard deviation whose grains are about `scale_mm` wide."""
    sigma = scale_mm / 2.355 / grid.step_mm
    grains = ndimage.gaussian_filter(rng.standard_normal(grid.shape), sigma, mode="wrap", truncate=3.0)
    return np.asarray(grains / np.sqrt(np.mean(grains**2)))
