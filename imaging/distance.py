"""Distance maps: how far each voxel of a mask lies from the nearest voxel outside it.

Exact, axis by axis: the squared distance along the planes, the least sum of it and the squared step
over the rows, and again over the columns. A search stops where its step alone is farther than what was
found, so shallow masks, and maps that are followed only so far, cost little.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.filters import in_slabs

__all__ = ["closed", "distance_mm"]


@njit(nogil=True, cache=True)
def _across_planes(mask, step_mm, out, start, stop):  # type: ignore[no-untyped-def]
    """Write the squared distance to what lies outside along the planes, for rows `start` to `stop`."""
    planes, columns = mask.shape[0], mask.shape[2]
    for row in range(start, stop):
        gap = np.full(columns, np.inf)
        for plane in range(planes):
            for column in range(columns):
                gap[column] = gap[column] + 1.0 if mask[plane, row, column] else 0.0
                out[plane, row, column] = gap[column]
        gap[:] = np.inf
        for plane in range(planes - 1, -1, -1):
            for column in range(columns):
                gap[column] = gap[column] + 1.0 if mask[plane, row, column] else 0.0
                away_mm = min(gap[column], out[plane, row, column]) * step_mm
                out[plane, row, column] = away_mm * away_mm


@njit(nogil=True, cache=True)
def _in_plane(squared, step_row, step_column, reach_row, reach_column, start, stop):  # type: ignore[no-untyped-def]
    """Extend squared distances along the planes to distances in space, for planes `start` to `stop`."""
    rows, columns = squared.shape[1], squared.shape[2]
    nearest = np.empty((rows, columns))
    for plane in range(start, stop):
        here = squared[plane]
        for row in range(rows):
            for column in range(columns):
                best = here[row, column]
                for k in range(1, reach_row + 1):
                    away = (k * step_row) * (k * step_row)
                    if away >= best:
                        break
                    if row >= k:
                        best = min(best, here[row - k, column] + away)
                    if row + k < rows:
                        best = min(best, here[row + k, column] + away)
                nearest[row, column] = best
        for row in range(rows):
            for column in range(columns):
                best = nearest[row, column]
                for k in range(1, reach_column + 1):
                    away = (k * step_column) * (k * step_column)
                    if away >= best:
                        break
                    if column >= k:
                        best = min(best, nearest[row, column - k] + away)
                    if column + k < columns:
                        best = min(best, nearest[row, column + k] + away)
                here[row, column] = np.sqrt(best)


def distance_mm(
    mask: NDArray[np.bool_], step_mm: NDArray[np.float64], within_mm: float = np.inf
) -> NDArray[np.float64]:
    """Return how far each voxel of a mask lies from the nearest one outside it.

    Parameters
    ----------
    mask : (planes, rows, columns) bool ndarray
    step_mm : (3,) ndarray
        Distance between voxels along each axis, mm.
    within_mm : float
        Distances up to here are exact; beyond, they are only known to be larger.

    Returns
    -------
    (planes, rows, columns) float64 ndarray
        mm between centres of voxels; 0 outside the mask, infinite where nothing lies outside.
    """
    plane_mm, row_mm, column_mm = (float(step) for step in step_mm)
    out = np.empty(mask.shape)
    reaches = [int(min(within_mm / step + 1, size)) for step, size in zip(step_mm, mask.shape, strict=True)]
    in_slabs(lambda a, b: _across_planes(mask, plane_mm, out, a, b), mask.shape[1])
    in_slabs(lambda a, b: _in_plane(out, row_mm, column_mm, *reaches[1:], a, b), mask.shape[0])
    return out


def closed(mask: NDArray[np.bool_], step_mm: NDArray[np.float64], radius_mm: float) -> NDArray[np.bool_]:
    """Return a mask closed with a ball: gaps that the ball does not fit into are filled.

    Past the ends of the grid there is nothing.

    Parameters
    ----------
    mask : (planes, rows, columns) bool ndarray
    step_mm : (3,) ndarray
        Distance between voxels along each axis, mm.
    radius_mm : float
        Of the ball.
    """
    around = np.ceil(radius_mm / step_mm).astype(int) + 1
    framed = np.pad(mask, [(n, n) for n in around])
    grown = distance_mm(~framed, step_mm, radius_mm) <= radius_mm
    shrunken = distance_mm(grown, step_mm, radius_mm) > radius_mm
    return (shrunken | framed)[tuple(slice(n, -n) for n in around)]
