"""How much of a nodule is still there, measured on both images at once.

At a nodule's place the follow-up is compared with the baseline itself: what differs is the nodule, and what
stays (the vessel it touches, the chest wall) takes itself away. Both images are brought to one blur, then

    follow-up(x + shift) = baseline(x) + (share - 1) contrast ball(x) + level + drift . gradient(x)

is solved by least squares at every shift within reach, and the shift that leaves least is believed. A share
of 1 is a nodule as it was, 0 one that is gone. Marks of a detector are not asked, so that its misses and its
taste for vessels do not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from imaging.filters import in_slabs
from imaging.geometry import index_of
from imaging.resolution import Resolution
from records.model import Volume

__all__ = ["MOST_RADIUS_MM", "MOST_RATIO", "Shares", "measure_shares"]

FloatArray = NDArray[np.float64]
FloatVolume = NDArray[np.float32]

STEP_MM = 1.0
HALF = 6  # steps from the middle of a patch to its side
REACH = 2  # steps a patch may be moved to each side, besides what the gradient takes up
FLANK_MM = 3.0  # of surroundings that are compared
MOST_RADIUS_MM = 5.0  # what is larger does not fit a patch
ADDED_MM = 0.6  # smoothing beyond the blunter image: a misfit of a fraction of a step must not count
DRIFT_MM = 0.6  # how far the gradient may carry, standard deviation
SHIFTS = (2 * REACH + 1) ** 3
LUNG_HU = (-1000.0, 100.0)  # bone and contrast in a vessel must not outweigh a nodule
LEAST_CONTRAST_HU = 100.0
SOLID_HU = -40.0  # of a solid nodule, as `imaging.sizing` takes it
FLAT_HU = 5.0  # a step: where the image is no steeper, the drift is not believed
CHUNK = 16  # places worked on together: what a processor keeps near
SUPERSAMPLING = 3
RADII_MM = np.linspace(0.0, 8.0, 161)
MOST_RATIO = 4.0  # in volume; what grew more reaches out of the patch


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What is left of N nodules.

    Attributes
    ----------
    share : (N,) ndarray
        Of the nodule's contrast: 1 as it was, 0 gone, more than 1 grown.
    volume_ratio : (N,) ndarray
        Volume of the ball whose image has this share, over the nodule's own; `MOST_RATIO` at most.
    """

    share: FloatArray
    volume_ratio: FloatArray


def measure_shares(
    first: Volume,
    second: Volume,
    centres_mm: FloatArray,
    radii_mm: FloatArray,
    to_second: Callable[[FloatArray], FloatArray],
    resolutions: tuple[Resolution, Resolution],
) -> Shares:
    """Measure how much of each nodule of the first image the second one shows.

    Parameters
    ----------
    first, second : Volume
        The nodules were marked on the first.
    centres_mm : (N, 3) ndarray
        LPS, in the first.
    radii_mm : (N,) ndarray
    to_second : callable
        Where (M, 3) places of the first lie in the second.
    resolutions : pair of Resolution
        Of the two images.
    """
    count = len(centres_mm)
    found = np.ones((count, 2))
    if not count:
        return Shares(*found.T)
    own = [_variances(volume, found) for volume, found in zip((first, second), resolutions, strict=True)]
    goal = np.maximum(own[0], own[1]) + ADDED_MM**2
    smooth = [np.sqrt(goal - one) / STEP_MM for one in own]
    table = _balls(np.sqrt(goal))

    def measure(start: int, stop: int) -> None:
        for begin in range(start, stop, CHUNK):
            rows = slice(begin, min(begin + CHUNK, stop))
            here = _patches(first, centres_mm[rows], lambda points: points, HALF)
            there = _patches(second, centres_mm[rows], to_second, HALF + REACH)
            here, there = (_smoothed(some, sigma) for some, sigma in zip((here, there), smooth, strict=True))
            radii = np.minimum(radii_mm[rows], MOST_RADIUS_MM)
            found[rows] = _solve(here, there, radii, table)

    in_slabs(measure, count)
    return Shares(*found.T)


def _variances(volume: Volume, resolution: Resolution) -> FloatArray:
    """Return the variance of an image's blur along x, y and z, mm2: scanner, slice, interpolation."""
    spacing = np.asarray(volume.spacing_mm)
    along = resolution.in_plane_sigma_mm**2 + spacing**2 / 6  # linear interpolation is a triangle
    along[0] += resolution.slice_thickness_mm**2 / 12 - resolution.in_plane_sigma_mm**2
    along[0] = max(along[0], 0.05)
    return np.asarray((volume.axes**2).T @ along)


def _patches(
    volume: Volume, centres_mm: FloatArray, to_image: Callable[[FloatArray], FloatArray], half: int
) -> FloatVolume:
    """Return cubes around places, (N, z, y, x) along the first image's axes; the map is affine in each."""
    count = len(centres_mm)
    ends = np.vstack([np.zeros(3), np.eye(3), -np.eye(3)]) * half * STEP_MM
    moved = to_image((centres_mm[:, None] + ends).reshape(-1, 3)).reshape(count, 7, 3)
    columns = (moved[:, 1:4] - moved[:, 4:7]) / (2 * half * STEP_MM)  # what a step along x, y, z does
    line = np.arange(-half, half + 1) * STEP_MM
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    offsets = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    places = moved[:, :1] + np.einsum("mk,nkl->nml", offsets, columns)
    index = index_of(volume, places.reshape(-1, 3))
    hu = ndimage.map_coordinates(volume.hu, index.T, output=np.float32, order=1, mode="nearest")
    cubes: FloatVolume = np.clip(hu, *LUNG_HU).reshape(count, len(line), len(line), len(line))
    return cubes


def _smoothed(patches: FloatVolume, sigma_xyz: FloatArray) -> FloatVolume:
    for axis, sigma in zip((3, 2, 1), sigma_xyz, strict=True):
        patches = ndimage.gaussian_filter1d(patches, float(sigma), axis=axis, mode="nearest", truncate=3.0)
    return patches


def _balls(sigma_mm: FloatArray) -> FloatVolume:
    """Return the images of balls of `RADII_MM` in the middle of a patch, (N, points), 1 where filled."""
    fine = STEP_MM / SUPERSAMPLING
    line = (np.arange((2 * HALF + 1) * SUPERSAMPLING) - (HALF * SUPERSAMPLING + 1)) * fine
    z, y, x = np.meshgrid(line, line, line, indexing="ij", sparse=True)
    distance = np.sqrt(x * x + y * y + z * z).astype(np.float32)
    balls = np.empty((len(RADII_MM),) + (2 * HALF + 1,) * 3, np.float32)
    shape = tuple(n for _ in range(3) for n in (2 * HALF + 1, SUPERSAMPLING))
    for n, radius in enumerate(RADII_MM):
        filled = np.clip((radius - distance) / fine + 0.5, 0, 1)
        balls[n] = filled.reshape(shape).mean(axis=(1, 3, 5))
    blurred = _smoothed(balls, np.sqrt(np.maximum(sigma_mm**2 - STEP_MM**2 / 12, 0)) / STEP_MM)
    return blurred.reshape(len(RADII_MM), -1)


@njit(nogil=True, cache=True)
def _compare(here, there, design, weight, pull, power):  # type: ignore[no-untyped-def]
    """Project the difference at every shift on the design, and take its square."""
    count, side = here.shape[0], here.shape[1]
    reach = (there.shape[1] - side) // 2
    width = 2 * reach + 1
    for n in range(count):
        pull[n] = 0.0
        power[n] = 0.0
        for i in range(side):
            for j in range(side):
                for k in range(side):
                    if weight[n, i, j, k] == 0:
                        continue
                    own = here[n, i, j, k]
                    s = 0
                    for a in range(width):
                        for b in range(width):
                            for c in range(width):
                                off = there[n, i + a, j + b, k + c] - own
                                power[n, s] += off * off
                                for q in range(5):
                                    pull[n, s, q] += design[n, q, i, j, k] * off
                                s += 1


def _solve(here: FloatVolume, there: FloatVolume, radii_mm: FloatArray, table: FloatVolume) -> FloatArray:
    """Return share and volume ratio, (N, 2), of the shift that leaves least unexplained."""
    count, side = len(here), 2 * HALF + 1
    line = np.arange(-HALF, HALF + 1) * STEP_MM
    z, y, x = np.meshgrid(line, line, line, indexing="ij", sparse=True)
    distance = np.sqrt(x * x + y * y + z * z).ravel()
    weight = (distance <= (radii_mm + FLANK_MM)[:, None]).astype(np.float32)
    nearest = np.abs(RADII_MM - radii_mm[:, None]).argmin(axis=1)
    balls = table[nearest]
    slopes = [np.gradient(here, STEP_MM, axis=axis).reshape(count, -1) for axis in (3, 2, 1)]
    design = np.stack([balls, np.ones_like(balls), *slopes], axis=1) * weight[:, None]
    flat = here.reshape(count, -1)
    # Vessels and chest wall are the brighter part of what is around.
    parenchyma_hu = np.nanquantile(np.where(weight > 0, flat, np.nan), 0.25, axis=1)
    contrast_hu = np.maximum(SOLID_HU - parenchyma_hu, LEAST_CONTRAST_HU)
    points = weight.sum(axis=1, dtype=np.float64)
    normal = np.einsum("nam,nbm->nab", design, design).astype(np.float64)
    normal[:, range(2, 5), range(2, 5)] += (points * (FLAT_HU / DRIFT_MM) ** 2)[:, None]
    inverse = np.linalg.inv(normal)
    pull, power = np.empty((count, SHIFTS, 5)), np.empty((count, SHIFTS))
    _compare(here, there, design.reshape(count, 5, side, side, side), weight.reshape(here.shape), pull, power)
    solved = np.einsum("nsa,nab->nsb", pull, inverse)
    left = power - np.einsum("nsa,nsa->ns", solved, pull)
    rows, best = np.arange(count), left.argmin(axis=1)
    share = 1 + solved[rows, best, 0] / contrast_hu
    # What the same equations would say of a ball of every other size in its place.
    row = np.einsum("na,nam->nm", inverse[:, 0], design)
    curve = 1 + np.einsum("nm,rm->nr", row, table) - np.einsum("nm,nm->n", row, balls)[:, None]
    curve = np.maximum.accumulate(curve, axis=1)
    radius = [np.interp(one, its, RADII_MM) for one, its in zip(share, curve, strict=True)]
    ratio = (np.array(radius) / np.maximum(RADII_MM[nearest], 0.1)) ** 3
    return np.stack([share, np.minimum(ratio, MOST_RATIO)], axis=1)
