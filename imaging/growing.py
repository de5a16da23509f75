"""Regions grown from a place: what hangs together through faces."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.filters import in_slabs

__all__ = ["grow_below", "reaches_border"]


@njit(nogil=True, cache=True)
def _grow(values, allowed, below, place, most, region):  # type: ignore[no-untyped-def]
    planes, rows, columns = values.shape
    stack = np.empty((most + 1, 3), np.int64)
    stack[0] = place
    region[place[0], place[1], place[2]] = True
    size, top = 1, 1
    while top > 0:
        top -= 1
        p, r, c = stack[top]
        for axis in range(3):
            for step in (-1, 1):
                i = p + step if axis == 0 else p
                j = r + step if axis == 1 else r
                k = c + step if axis == 2 else c
                if i < 0 or j < 0 or k < 0 or i >= planes or j >= rows or k >= columns:
                    continue
                if region[i, j, k] or not allowed[i, j, k] or values[i, j, k] >= below:
                    continue
                if size > most:
                    return size
                region[i, j, k] = True
                stack[top, 0], stack[top, 1], stack[top, 2] = i, j, k
                size += 1
                top += 1
    return size


def grow_below(
    values: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    below: float,
    place: tuple[int, int, int],
    most: int,
) -> tuple[NDArray[np.bool_], int]:
    """Return what hangs together with a place and lies below a value, and how many voxels that is.

    Parameters
    ----------
    values : (p, r, c) float32 ndarray
    allowed : (p, r, c) bool ndarray
        Where the region may go; the place lies in it and below the value.
    below : float
    place : tuple of int
    most : int
        A region of more voxels is given up half grown, its size one more than this.
    """
    region = np.zeros(values.shape, np.bool_)
    size = _grow(values, allowed, np.float32(below), np.array(place, np.int64), most, region)
    return region, int(size)


@njit(nogil=True, cache=True)
def _from_border(mask, out, start, stop):  # type: ignore[no-untyped-def]
    rows, columns = mask.shape[1], mask.shape[2]
    stack = np.empty((rows * columns, 2), np.int64)
    for plane in range(start, stop):
        here, reached = mask[plane], out[plane]
        top = 0
        for row in range(rows):
            for column in range(columns):
                at_border = row == 0 or column == 0 or row == rows - 1 or column == columns - 1
                reached[row, column] = at_border and here[row, column]
                if reached[row, column]:
                    stack[top, 0], stack[top, 1] = row, column
                    top += 1
        while top > 0:
            top -= 1
            row, column = stack[top]
            for i, j in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if i < 0 or j < 0 or i >= rows or j >= columns or reached[i, j] or not here[i, j]:
                    continue
                reached[i, j] = True
                stack[top, 0], stack[top, 1] = i, j
                top += 1


def reaches_border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the part of a mask that hangs together, plane by plane, with the border of its plane."""
    out = np.empty(mask.shape, np.bool_)
    in_slabs(lambda a, b: _from_border(mask, out, a, b), len(mask))
    return out
