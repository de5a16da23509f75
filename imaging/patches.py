"""What the network looks at: three small cubes around a candidate, in millimetres, not in voxels.

A fine cube of the scan as it is, the same cube with the chest wall taken out, and a coarse one of the
surroundings, where vessels come from somewhere and lead somewhere.

The network knows grey values up to `TISSUE_HU`. A calcified nodule cut off there has a flat top and an edge
that no scanner makes. But what a scanner shows is linear: with its contrast and that of all around it
made less in one ratio, it is what a solid nodule would be there. So it is shown.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.candidates import SCALES_MM, TISSUE_HU, Candidates, ScaleSpace, smoothed
from imaging.filters import in_slabs
from imaging.wall import LOST_HU

__all__ = ["COARSE_MM", "CUBES", "FINE_MM", "SIDE", "cut_cubes"]

SIDE = 16  # samples along each edge
FINE_MM, COARSE_MM = 0.6, 1.4  # between samples: cubes of 9 and 21 mm
CUBES = 3
COARSE_LEVEL = 1  # of the scale space: 0.9 mm, which a step of 1.4 mm can just sample
AROUND_MM = 14.0  # half of the coarse cube, and what its smoothing takes in
BRIGHTEST = 3  # of the 27 voxels at a candidate: their mean is its peak, less a prey to noise than one
DARKER = 30  # percentile of the surroundings: lung


@njit(nogil=True, cache=True)
def _along(size, centre, step_mm, spacing_mm, before, share):  # type: ignore[no-untyped-def]
    """Write between which two voxels of an axis each sample lies, and how far; outside, the edge goes on."""
    middle = (before.size - 1) / 2
    for n in range(before.size):
        place = min(max(centre + (n - middle) * step_mm / spacing_mm, 0.0), size - 1.001)
        before[n] = int(place)
        share[n] = place - before[n]


@njit(nogil=True, cache=True)
def _cut(image, place, step_mm, spacing_mm, low, span, before, share, out):  # type: ignore[no-untyped-def]
    """Sample a cube linearly, as `imaging.probes.at` does."""
    for axis in range(3):
        _along(image.shape[axis], place[axis], step_mm, spacing_mm[axis], before[axis], share[axis])
    for i in range(out.shape[0]):
        p, u = before[0, i], share[0, i]
        for j in range(out.shape[1]):
            r, v = before[1, j], share[1, j]
            one, two = image[p, r], image[p, r + 1]
            three, four = image[p + 1, r], image[p + 1, r + 1]
            for k in range(out.shape[2]):
                c, w = before[2, k], share[2, k]
                value = (1 - u) * (
                    (1 - v) * ((1 - w) * one[c] + w * one[c + 1]) + v * ((1 - w) * two[c] + w * two[c + 1])
                ) + u * (
                    (1 - v) * ((1 - w) * three[c] + w * three[c + 1])
                    + v * ((1 - w) * four[c] + w * four[c + 1])
                )
                grey = (value - low) / span * 255.0
                out[i, j, k] = np.uint8(min(max(grey, 0.0), 255.0) + 0.5)


@njit(nogil=True, cache=True)
def _cut_all(hu, fine, coarse, index, steps_mm, spacing_mm, low, span, out, start, stop):  # type: ignore[no-untyped-def]
    before, share = np.empty((3, out.shape[2]), np.int64), np.empty((3, out.shape[2]))
    for n in range(start, stop):
        _cut(hu, index[n], steps_mm[0], spacing_mm, low, span, before, share, out[n, 0])
        _cut(fine, index[n], steps_mm[0], spacing_mm, low, span, before, share, out[n, 1])
        _cut(coarse, index[n], steps_mm[1], spacing_mm, low, span, before, share, out[n, 2])


def cut_cubes(space: ScaleSpace, candidates: Candidates) -> NDArray[np.uint8]:
    """Sample the surroundings of each candidate.

    Returns
    -------
    (N, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
        Scan, lung without its wall, coarse surroundings; 0 to 255 for `TISSUE_HU`. Of what is brighter the
        contrast is less, so that its peak is 255.
    """
    out = np.empty((len(candidates), CUBES, SIDE, SIDE, SIDE), np.uint8)
    low, high = TISSUE_HU
    images = (space.hu, space.levels[0], space.levels[COARSE_LEVEL])
    numbers = (np.array([FINE_MM, COARSE_MM]), np.asarray(space.spacing_mm), float(low), float(high - low))
    if len(candidates):
        in_slabs(lambda a, b: _cut_all(*images, candidates.index, *numbers, out, a, b), len(candidates))
    peaks_hu = _peaks_hu(space, candidates)
    for n in np.flatnonzero(peaks_hu > high):
        _cut_dimmed(space, candidates.index[n], float(peaks_hu[n]), out[n])
    return out


def _peaks_hu(space: ScaleSpace, candidates: Candidates) -> NDArray[np.float64]:
    around = np.indices((3, 3, 3)).reshape(3, -1) - 1
    index = np.rint(candidates.index).astype(np.int64)[:, :, None] + around
    inside = np.clip(index, 0, np.array(space.hu.shape)[:, None] - 1)
    near = np.sort(space.hu[inside[:, 0], inside[:, 1], inside[:, 2]], axis=1)
    return np.asarray(near[:, -BRIGHTEST:].mean(axis=1), np.float64)


def _cut_dimmed(
    space: ScaleSpace, index: NDArray[np.float64], peak_hu: float, out: NDArray[np.uint8]
) -> None:
    """Cut the cubes of one candidate from a picture in which its peak is the brightest that is known."""
    spacing_mm, (low, high) = np.asarray(space.spacing_mm), TISSUE_HU
    reach = np.ceil(AROUND_MM / spacing_mm).astype(np.int64)
    middle = np.rint(index).astype(np.int64)
    first = np.maximum(middle - reach, 0)
    window = tuple(slice(a, b) for a, b in zip(first, middle + reach + 1, strict=True))
    hu, lung = space.hu[window].astype(np.float32), space.lung[window]
    background_hu = min(float(np.percentile(lung, DARKER)), float(high))
    ratio = (high - background_hu) / (peak_hu - background_hu)

    def dimmed(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(background_hu + ratio * (picture - background_hu), np.float32)

    is_wall = np.clip(hu, *TISSUE_HU) - lung > LOST_HU
    free = np.clip(dimmed(np.where(is_wall, lung, hu)), low, high)
    levels = smoothed(free, (SCALES_MM[0], SCALES_MM[COARSE_LEVEL]), space.spacing_mm)
    before, share = np.empty((3, SIDE), np.int64), np.empty((3, SIDE))
    for n, (picture, step_mm) in enumerate(
        zip((dimmed(hu), *levels), (FINE_MM, FINE_MM, COARSE_MM), strict=True)
    ):
        _cut(
            picture, index - first, step_mm, spacing_mm, float(low), float(high - low), before, share, out[n]
        )
