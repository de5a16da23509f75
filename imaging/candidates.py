"""Candidates: bright spots of any size from 1.5 to 10 mm, found in scale space.

A difference of Gaussians peaks at the centre of a ball when its scale matches
the ball (Lindeberg 1998, Int J Comput Vis 30:79). Scales are millimetres, so a
spot is found alike on thin and thick slices.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.filters import gaussian, in_slabs
from imaging.lungs import Lungs
from imaging.wall import without_wall
from records.model import Volume

__all__ = ["SCALES_MM", "Candidates", "ScaleSpace", "build_scale_space", "find_candidates", "smoothed"]

SCALES_MM = (0.6, 0.9, 1.35, 2.0, 3.0, 4.5)
TISSUE_HU = (
    -1000,
    100,
)  # brighter than soft tissue tells nothing about a nodule in the lung, but ribs shine in
MARGIN_MM = 12.0  # around the lungs, so that what is measured near the pleura has its surroundings
WALL_MM = 1.5  # a centre may lie this far outside the coarse lung surface
NOISE_FACTOR = 3.5
MIN_RESPONSE_HU = 12.0
APART_MM = 1.5  # of two responses nearer than this the stronger is kept


@dataclass(frozen=True, slots=True, eq=False)
class ScaleSpace:
    """The box of the scan that holds the lungs, smoothed at `SCALES_MM`.

    Attributes
    ----------
    hu : (p, r, c) int16 ndarray
        The scan as it is.
    lung : (p, r, c) float32 ndarray
        HU limited to `TISSUE_HU`, the chest wall taken out.
    levels : tuple of (p, r, c) float32 ndarray
        `lung`, smoothed.
    start : (3,) int ndarray
        Index in the scan of voxel (0, 0, 0) of the box.
    inside : (p, r, c) bool ndarray
        Where a centre may lie.
    spacing_mm : tuple of float
        Distance between voxels, mm.
    """

    hu: NDArray[np.int16]
    lung: NDArray[np.float32]
    levels: tuple[NDArray[np.float32], ...]
    start: NDArray[np.int64]
    inside: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Places where a nodule might be.

    Attributes
    ----------
    index : (N, 3) float ndarray
        (plane, row, column) in the box of the scale space, to a fraction of a voxel.
    level : (N,) int ndarray
        Of `SCALES_MM`, at which the response was strongest.
    response_hu : (N,) float ndarray
        Difference of Gaussians there.
    """

    index: NDArray[np.float64]
    level: NDArray[np.int64]
    response_hu: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.level)

    def __getitem__(self, chosen: NDArray[np.generic]) -> "Candidates":
        return Candidates(self.index[chosen], self.level[chosen], self.response_hu[chosen])


def smoothed(
    image: NDArray[np.float32], scales_mm: Sequence[float], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.float32], ...]:
    """Return an image, (p, r, c), smoothed at each scale, the finest first, each from the one before."""
    levels = [gaussian(image, scales_mm[0], spacing_mm)]
    for before, after in itertools.pairwise(scales_mm):
        levels.append(gaussian(levels[-1], float(np.sqrt(after**2 - before**2)), spacing_mm))
    return tuple(levels)


def build_scale_space(volume: Volume, lungs: Lungs) -> ScaleSpace:
    """Smooth the part of a scan that holds the lungs."""
    spacing_mm = volume.spacing_mm
    window = []
    for span, step, size in zip(lungs.box, spacing_mm, volume.hu.shape, strict=True):
        margin = int(np.ceil(MARGIN_MM / step))
        window.append(slice(max(span.start - margin, 0), min(span.stop + margin, size)))
    box = np.clip(volume.hu[tuple(window)], *TISSUE_HU)
    start = np.array([span.start for span in window], np.int64)
    lung = without_wall(box, lungs.depth_mm, lungs.block, start, spacing_mm)
    levels = smoothed(lung, SCALES_MM, spacing_mm)
    near = lungs.depth_mm > -WALL_MM
    for axis in (2, 1, 0):  # the last copies whole planes
        span = window[axis]
        index = np.minimum(np.arange(span.start, span.stop) // lungs.block[axis], near.shape[axis] - 1)
        near = np.take(near, index, axis=axis)
    return ScaleSpace(volume.hu[tuple(window)], lung, levels, start, near, spacing_mm)


@njit(nogil=True, cache=True)
def _peaks(fine, coarse, inside, threshold, places, responses, start, stop):  # type: ignore[no-untyped-def]
    """Write the local maxima of `fine - coarse` over 26 neighbours; return how many there were."""
    planes, rows, columns = fine.shape
    found = 0
    for p in range(max(start, 1), min(stop, planes - 1)):
        for r in range(1, rows - 1):
            for c in range(1, columns - 1):
                here = fine[p, r, c] - coarse[p, r, c]
                if here <= threshold or not inside[p, r, c]:
                    continue
                highest = True
                for i in range(-1, 2):
                    for j in range(-1, 2):
                        for k in range(-1, 2):
                            if i == 0 and j == 0 and k == 0:
                                continue
                            there = fine[p + i, r + j, c + k] - coarse[p + i, r + j, c + k]
                            # Ties go to the neighbour that comes later in the array.
                            later = i > 0 or (i == 0 and (j > 0 or (j == 0 and k > 0)))
                            if there > here or (there == here and later):
                                highest = False
                                break
                        if not highest:
                            break
                    if not highest:
                        break
                if highest and found < responses.size:
                    places[found, 0] = p
                    places[found, 1] = r
                    places[found, 2] = c
                    responses[found] = here
                    found += 1
    return found


def _peaks_of_band(
    space: ScaleSpace, band: int, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    fine, coarse = space.levels[band], space.levels[band + 1]
    planes = fine.shape[0]
    slabs: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def search(start: int, stop: int) -> None:
        room = 400_000
        places, responses = np.empty((room, 3), np.int64), np.empty(room)
        found = _peaks(fine, coarse, space.inside, threshold, places, responses, start, stop)
        slabs[start] = (places[:found].copy(), responses[:found].copy())

    in_slabs(search, planes)
    ordered = [slabs[start] for start in sorted(slabs)]
    return np.concatenate([p for p, _ in ordered]), np.concatenate([r for _, r in ordered])


@njit(nogil=True, cache=True)
def _strongest(order, points_mm, cells, shape, apart_mm, keep):  # type: ignore[no-untyped-def]
    """Keep, strongest first, the points that have no kept point within `apart_mm`."""
    heads = np.full(shape[0] * shape[1] * shape[2], -1, np.int64)
    following = np.full(order.size, -1, np.int64)
    for n in order:
        free = True
        for i in range(-1, 2):
            for j in range(-1, 2):
                for k in range(-1, 2):
                    p, r, c = cells[n, 0] + i, cells[n, 1] + j, cells[n, 2] + k
                    if p < 0 or r < 0 or c < 0 or p >= shape[0] or r >= shape[1] or c >= shape[2]:
                        continue
                    m = heads[(p * shape[1] + r) * shape[2] + c]
                    while m >= 0:
                        squared = 0.0
                        for axis in range(3):
                            squared += (points_mm[n, axis] - points_mm[m, axis]) ** 2
                        if squared < apart_mm * apart_mm:
                            free = False
                        m = following[m]
        if free:
            keep[n] = True
            home = (cells[n, 0] * shape[1] + cells[n, 1]) * shape[2] + cells[n, 2]
            following[n] = heads[home]
            heads[home] = n


def _refined(space: ScaleSpace, band: int, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Move each peak to the top of the parabola through it and its neighbours, axis by axis."""
    fine, coarse = space.levels[band], space.levels[band + 1]

    def at(shift: NDArray[np.int64]) -> NDArray[np.float64]:
        index = tuple((places + shift).T)
        return np.asarray(fine[index] - coarse[index], np.float64)

    here = at(np.zeros(3, np.int64))
    moved = places.astype(np.float64)
    for axis in range(3):
        step = np.zeros(3, np.int64)
        step[axis] = 1
        before, after = at(-step), at(step)
        bend = before - 2 * here + after
        shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1.0), 0.0)
        moved[:, axis] += np.clip(shift, -0.5, 0.5)
    return moved


def find_candidates(space: ScaleSpace, noise_hu: float) -> Candidates:
    """Find bright spots in the lungs.

    Parameters
    ----------
    space : ScaleSpace
        From `build_scale_space`.
    noise_hu : float
        Standard deviation of noise at the finest level; a response below `NOISE_FACTOR` times the
        noise of its band is grain.

    Returns
    -------
    Candidates
        Sorted by response, strongest first; ties by place.
    """
    index, level, response = [], [], []
    for band in range(len(SCALES_MM) - 1):
        # White noise smoothed in three dimensions falls with the scale to the power 1.5.
        grain_hu = noise_hu * (SCALES_MM[0] / SCALES_MM[band]) ** 1.5
        places, responses = _peaks_of_band(space, band, max(NOISE_FACTOR * grain_hu, MIN_RESPONSE_HU))
        index.append(_refined(space, band, places))
        level.append(np.full(len(places), band))
        response.append(responses)
    all_index, all_level = np.concatenate(index), np.concatenate(level)
    all_response = np.concatenate(response)
    order = np.lexsort((*all_index.T, -all_response))
    points = all_index * np.asarray(space.spacing_mm)
    cells = (points // APART_MM).astype(np.int64)
    keep = np.zeros(len(order), np.bool_)
    if len(order):
        _strongest(order, points, cells, tuple(int(n) + 1 for n in cells.max(axis=0)), APART_MM, keep)
    kept = order[keep[order]]
    return Candidates(all_index[kept], all_level[kept], all_response[kept])
