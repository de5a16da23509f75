"""Distinct places in the lungs, found again in the other scan: what an alignment is refined and judged by.

Where vessels branch or end, the image changes in every direction, so that a place can be recognised
(Förstner 1987). Around each, a cube of the baseline is compared with the aligned follow-up at every offset
within reach, by normalised correlation, which does not mind that a deeper breath makes lung darker.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from imaging.alignment import Warp
from imaging.filters import block_mean, gaussian, in_slabs
from imaging.geometry import Grid, index_of
from records.model import Volume

__all__ = ["STEP_MM", "Offsets", "Raster", "find_again", "find_distinct", "sample"]

FloatArray = NDArray[np.float64]
FloatVolume = NDArray[np.float32]

STEP_MM = 1.5
SMOOTH_MM = 1.0
SHOWN_HU = (-1000.0, 0.0)  # parenchyma to soft tissue: bone and contrast in a vessel must not outweigh it
WINDOW_MM = 2.5  # over which a place has to change in every direction
APART_MM = 7.0
DEPTH_MM = 5.0  # nearer to the pleura the chest wall is part of the cube, and slides
MOST_POINTS = 2400
LEAST_CONTRAST = 20.0  # mean squared slope, (HU a step)^2, in the weakest direction; noise stays below
CUBE, REACH = 4, 4  # steps to each side
ALIKE = 0.65  # correlation from which two cubes show the same thing; one lung scanned twice: 0.94 and more


@dataclass(frozen=True, slots=True)
class Raster:
    """A box along the patient's axes with one step; arrays on it are (plane, row, column) along z, y, x."""

    low_mm: tuple[float, float, float]
    step_mm: float
    shape: tuple[int, int, int]

    def points_mm(self, index: NDArray[np.generic]) -> FloatArray:
        """Return (N, 3) places (LPS) of (N, 3) indices."""
        return np.asarray(np.array(self.low_mm) + self.step_mm * np.asarray(index, float)[:, ::-1])


@dataclass(frozen=True, slots=True, eq=False)
class Offsets:
    """How far off places were found.

    Attributes
    ----------
    offset_mm : (N, 3) ndarray
        From each place to where the other image shows it, LPS.
    likeness : (N,) ndarray
        Correlation of the two cubes.
    within : (N,) bool ndarray
        The best offset lies inside the range that was searched, not at its border.
    """

    offset_mm: FloatArray
    likeness: FloatArray
    within: NDArray[np.bool_]

    @property
    def is_found(self) -> NDArray[np.bool_]:
        """Which places look alike somewhere within the range; at its border the likeness may go on rising."""
        return np.asarray((self.likeness >= ALIKE) & self.within)


@njit(nogil=True, cache=True)
def _sample(hu, to_index, start_index, vectors, warp_index, out, start, stop):  # type: ignore[no-untyped-def]
    """Trilinear sampling; the displacement is looked up on its own grid, trilinear too."""
    for p in range(start, stop):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                shift = np.zeros(3)
                if vectors.shape[0] > 1:
                    u = warp_index[0, 0] + warp_index[0, 1] * p
                    v = warp_index[1, 0] + warp_index[1, 1] * r
                    w = warp_index[2, 0] + warp_index[2, 1] * c
                    u = min(max(u, 0.0), vectors.shape[0] - 1.0)
                    v = min(max(v, 0.0), vectors.shape[1] - 1.0)
                    w = min(max(w, 0.0), vectors.shape[2] - 1.0)
                    i, j, k = (
                        min(int(u), vectors.shape[0] - 2),
                        min(int(v), vectors.shape[1] - 2),
                        min(int(w), vectors.shape[2] - 2),
                    )
                    u, v, w = u - i, v - j, w - k
                    for a in range(2):
                        for b in range(2):
                            for d in range(2):
                                share = (u if a else 1 - u) * (v if b else 1 - v) * (w if d else 1 - w)
                                for axis in range(3):
                                    shift[axis] += share * vectors[i + a, j + b, k + d, axis]
                index = np.empty(3)
                for axis in range(3):
                    value = start_index[axis]
                    value += to_index[axis, 0] * (c + shift[0])
                    value += to_index[axis, 1] * (r + shift[1])
                    value += to_index[axis, 2] * (p + shift[2])
                    index[axis] = min(max(value, 0.0), hu.shape[axis] - 1.0)
                i = min(int(index[0]), hu.shape[0] - 2)
                j = min(int(index[1]), hu.shape[1] - 2)
                k = min(int(index[2]), hu.shape[2] - 2)
                u, v, w = index[0] - i, index[1] - j, index[2] - k
                low = (1 - v) * ((1 - w) * hu[i, j, k] + w * hu[i, j, k + 1])
                low += v * ((1 - w) * hu[i, j + 1, k] + w * hu[i, j + 1, k + 1])
                high = (1 - v) * ((1 - w) * hu[i + 1, j, k] + w * hu[i + 1, j, k + 1])
                high += v * ((1 - w) * hu[i + 1, j + 1, k] + w * hu[i + 1, j + 1, k + 1])
                out[p, r, c] = (1 - u) * low + u * high


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The grid of a volume averaged over blocks of voxels."""

    origin_mm: tuple[float, float, float]
    axes: FloatArray
    spacing_mm: tuple[float, float, float]


def sample(
    volume: Volume,
    raster: Raster,
    matrix: FloatArray | None = None,
    offset_mm: FloatArray | None = None,
    warp: Warp | None = None,
) -> FloatVolume:
    """Return a volume on a raster, smoothed to the raster's step, in the range of lung and vessels.

    Parameters
    ----------
    volume : Volume
    raster : Raster
    matrix, offset_mm, warp
        Where each place of the raster lies in the volume, as in `imaging.alignment.Alignment`; without them,
        where it is.

    Returns
    -------
    (planes, rows, columns) float32 ndarray
        HU; beyond the volume as at its edge.
    """
    block = tuple(max(1, int(raster.step_mm / step)) for step in volume.spacing_mm)
    p, r, c = block
    hu = block_mean(volume.hu, (p, r, c))
    if min(hu.shape) < 2:
        raise ValueError("a volume to align has at least two voxels along each axis")
    middle = (np.array(block) - 1) / 2 * np.array(volume.spacing_mm)
    x, y, z = (np.asarray(volume.origin_mm) + middle @ volume.axes).tolist()
    steps = [b * s for b, s in zip(block, volume.spacing_mm, strict=True)]
    grid: Grid = _Blocks((x, y, z), volume.axes, (steps[0], steps[1], steps[2]))
    linear = np.eye(3) if matrix is None else matrix
    shift = np.zeros(3) if offset_mm is None else offset_mm
    corners = np.vstack([np.zeros(3), np.eye(3)]) * raster.step_mm + np.array(raster.low_mm)
    index = index_of(grid, corners @ linear.T + shift)
    to_index = (index[1:] - index[0]).T  # a column for a step along x, y, z
    vectors = np.zeros((1, 1, 1, 3), np.float32)
    warp_index = np.zeros((3, 2))
    if warp is not None:
        vectors = warp.vectors_mm / np.float32(raster.step_mm)
        ratio = raster.step_mm / warp.step_mm
        first = (np.array(raster.low_mm) - warp.low_mm) / warp.step_mm
        warp_index = np.array([[first[2], ratio], [first[1], ratio], [first[0], ratio]])
    out = np.empty(raster.shape, np.float32)
    in_slabs(lambda a, b: _sample(hu, to_index, index[0], vectors, warp_index, out, a, b), raster.shape[0])
    return gaussian(np.clip(out, *SHOWN_HU), SMOOTH_MM, (raster.step_mm,) * 3)


def find_distinct(image: FloatVolume, depth_mm: FloatVolume, raster: Raster) -> NDArray[np.intp]:
    """Return distinct places well inside the lungs, the most distinct first.

    Parameters
    ----------
    image : (planes, rows, columns) float32 ndarray
        From `sample`.
    depth_mm : (planes, rows, columns) float32 ndarray
        Distance to the lungs' surface, positive inside.
    raster : Raster

    Returns
    -------
    (N, 3) ndarray
        Indices; at least `APART_MM` apart along some axis.
    """
    inside = depth_mm >= DEPTH_MM
    edge = CUBE + REACH
    inside[:edge], inside[-edge:] = False, False
    inside[:, :edge], inside[:, -edge:] = False, False
    inside[:, :, :edge], inside[:, :, -edge:] = False, False
    slopes = [np.gradient(image, axis=axis) for axis in range(3)]
    spacing = (raster.step_mm,) * 3

    def product(a: int, b: int) -> FloatVolume:
        return gaussian((slopes[a] * slopes[b]).astype(np.float32), WINDOW_MM, spacing)

    xx, yy, zz = product(0, 0), product(1, 1), product(2, 2)
    xy, xz, yz = product(0, 1), product(0, 2), product(1, 2)
    minors = (yy * zz - yz * yz) + (xx * zz - xz * xz) + (xx * yy - xy * xy)
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - xz * yz) + xz * (xy * yz - xz * yy)
    # 1 / trace of the inverse: about the smallest eigenvalue where one direction is weak.
    distinct = np.where(inside, determinant / np.maximum(minors, 1e-6), 0.0)
    width = 2 * round(APART_MM / raster.step_mm / 2) + 1
    peak = (distinct == ndimage.maximum_filter(distinct, width)) & (distinct >= LEAST_CONTRAST)
    places = np.argwhere(peak)
    order = np.argsort(-distinct[peak], kind="stable")[:MOST_POINTS]
    return places[order]


@njit(nogil=True, cache=True)
def _correlate(image, other, places, cube, reach, scores, start, stop):  # type: ignore[no-untyped-def]
    width = 2 * cube + 1
    own = np.empty(width**3, np.float32)
    for n in range(start, stop):
        p, r, c = places[n]
        total = 0.0
        m = 0
        for i in range(p - cube, p + cube + 1):
            for j in range(r - cube, r + cube + 1):
                for k in range(c - cube, c + cube + 1):
                    own[m] = image[i, j, k]
                    total += own[m]
                    m += 1
        own -= np.float32(total / own.size)
        power = 0.0
        for m in range(own.size):
            power += own[m] * own[m]
        for dp in range(-reach, reach + 1):
            for dr in range(-reach, reach + 1):
                for dc in range(-reach, reach + 1):
                    both = np.float32(0.0)
                    sum_other = np.float32(0.0)
                    square = np.float32(0.0)
                    # Counted from the cube's middle, single precision holds what is left of the sums.
                    middle = other[p + dp, r + dr, c + dc]
                    m = 0
                    for i in range(p + dp - cube, p + dp + cube + 1):
                        for j in range(r + dr - cube, r + dr + cube + 1):
                            line = other[i, j, c + dc - cube : c + dc + cube + 1]
                            for k in range(width):
                                value = line[k] - middle
                                both += own[m + k] * value
                                sum_other += value
                                square += value * value
                            m += width
                    spread = square - sum_other * sum_other / own.size
                    scores[n, dp + reach, dr + reach, dc + reach] = both / np.sqrt(
                        np.maximum(power * spread, 1e-3)
                    )


def find_again(image: FloatVolume, other: FloatVolume, places: NDArray[np.intp], raster: Raster) -> Offsets:
    """Look for each place of one image in another on the same raster.

    Parameters
    ----------
    image, other : (planes, rows, columns) float32 ndarray
        From `sample`.
    places : (N, 3) ndarray
        From `find_distinct`.
    raster : Raster
    """
    size = 2 * REACH + 1
    scores = np.zeros((len(places), size, size, size), np.float32)
    if len(places):
        in_slabs(lambda a, b: _correlate(image, other, places, CUBE, REACH, scores, a, b), len(places))
    flat = np.asarray(scores.reshape(len(places), size**3).argmax(axis=1), np.intp)
    best = np.stack(np.unravel_index(flat, (size, size, size)), axis=1)
    rows = np.arange(len(places))
    within = np.all((best > 0) & (best < size - 1), axis=1)
    top = scores[rows, best[:, 0], best[:, 1], best[:, 2]].astype(np.float64)
    offset = best - float(REACH)
    for axis in range(3):
        step = np.zeros(3, np.intp)
        step[axis] = 1
        low, high = np.clip(best - step, 0, size - 1), np.clip(best + step, 0, size - 1)
        before = scores[rows, low[:, 0], low[:, 1], low[:, 2]]
        after = scores[rows, high[:, 0], high[:, 1], high[:, 2]]
        bend = before + after - 2 * top
        # The top of the parabola through three scores.
        finer = np.where(bend < -1e-6, 0.5 * (before - after) / np.minimum(bend, -1e-6), 0.0)
        offset[:, axis] += np.where(within, np.clip(finer, -0.5, 0.5), 0.0)
    return Offsets(np.asarray(offset[:, ::-1] * raster.step_mm, np.float64), top, within)
