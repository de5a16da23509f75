"""The chest wall taken out of the lungs' image, so that what hangs on the pleura stands free.

Where lung meets wall the image is a step, blurred by the scanner:

    image = lung + (wall - lung) * share,    share = Phi(-depth / blur)

with Phi the normal distribution function and depth the distance into the lung. The depth is read off the
scan itself: the share of air in a Gaussian neighbourhood of a flat surface is Phi(depth / width), and a
nodule of a few millimetres hardly bends it. Subtracting (wall - lung) * share leaves lung up to and beyond
the surface, and on it whatever is no flat wall.
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.filters import gaussian, in_slabs

__all__ = ["LOST_HU", "without_wall"]

AIR_HU, TISSUE_HU = -700.0, -100.0  # all air, and no air; halfway is the surface (imaging.lungs.AIR_HU)
WIDTH_MM = 2.0  # of the neighbourhood: wider than a micronodule's bulge, narrower than a rib's
DEEP_MM = 3.5  # farther inside the coarse lungs everything is lung: vessels and nodules stay
BLUR_MM = 0.65  # in-plane blur of soft-tissue kernels
LEAST_AIR, ALL_AIR = 0.03, 0.95  # deep in the wall, and beyond its reach
LUNG_HU = (-950.0, -700.0)  # what a lung's median can be
LOST_HU = 100.0  # a voxel that lost so much with the wall was wall, and says nothing of a nodule
TABLE = 512


@cache
def _wall_shares() -> NDArray[np.float32]:
    """Return the wall's share, Phi(-depth / blur), at the depths that air shares of 0 to 1 tell."""
    from scipy.special import ndtr, ndtri  # scipy.stats takes 0.4 s to load

    width = np.hypot(WIDTH_MM, BLUR_MM)
    air = (np.arange(TABLE) + 0.5) / TABLE
    return np.asarray(ndtr(-ndtri(air) * width / BLUR_MM), np.float32)


@njit(nogil=True, cache=True)
def _air_and_tissue(hu, depth, blocks, starts, half, air, tissue, air_hu, tissue_hu, deep_mm, start, stop):  # type: ignore[no-untyped-def]
    """Write the share of air, and HU times the share that is not air: means over `half` by `half` voxels."""
    columns = hu.shape[2]
    coarse = np.empty(columns, np.int64)
    for c in range(columns):
        coarse[c] = min((c + starts[2]) // blocks[2], depth.shape[2] - 1)
    depths = np.empty(columns, np.float32)
    shares, values = np.empty((half, columns), np.float32), np.empty((half, columns), np.float32)
    for p in range(start, stop):
        i = min((p + starts[0]) // blocks[0], depth.shape[0] - 1)
        for r in range(air.shape[1]):
            for m in range(half):
                j = min((r * half + m + starts[1]) // blocks[1], depth.shape[1] - 1)
                for c in range(columns):
                    depths[c] = depth[i, j, coarse[c]]
                line, share_line, value_line = hu[p, r * half + m], shares[m], values[m]
                for c in range(columns):
                    value = np.float32(line[c])
                    share = (tissue_hu - value) / (tissue_hu - air_hu)
                    share = min(max(share, np.float32(0.0)), np.float32(1.0))
                    share = share if depths[c] < deep_mm else np.float32(1.0)
                    share_line[c] = share
                    value_line[c] = value * (np.float32(1.0) - share)
            for c in range(air.shape[2]):
                total_air, total_tissue = 0.0, 0.0
                for m in range(half):
                    for k in range(c * half, c * half + half):
                        total_air += shares[m, k]
                        total_tissue += values[m, k]
                air[p, r, c] = total_air / (half * half)
                tissue[p, r, c] = total_tissue / (half * half)


@njit(nogil=True, cache=True)
def _subtract(hu, air, tissue, half, table, lung, out, start, stop):  # type: ignore[no-untyped-def]
    """Write HU less the wall's part; the smooth fields lie on a grid `half` times coarser in the plane."""
    rows, columns = air.shape[1], air.shape[2]
    before, share = np.empty(hu.shape[2], np.int64), np.empty(hu.shape[2], np.float32)
    for c in range(hu.shape[2]):
        x = min(max((c + 0.5) / half - 0.5, 0.0), columns - 1.001)
        before[c] = int(x)
        share[c] = np.float32(x - before[c])
    for p in range(start, stop):
        for r in range(hu.shape[1]):
            y = min(max((r + 0.5) / half - 0.5, 0.0), rows - 1.001)
            j = int(y)
            v = np.float32(y - j)
            for c in range(hu.shape[2]):
                k, w = before[c], share[c]
                near = (1 - v) * (1 - w), (1 - v) * w, v * (1 - w), v * w
                a = near[0] * air[p, j, k] + near[1] * air[p, j, k + 1]
                a += near[2] * air[p, j + 1, k] + near[3] * air[p, j + 1, k + 1]
                value = np.float32(hu[p, r, c])
                if a < LEAST_AIR:
                    value = lung
                elif a < ALL_AIR:
                    t = near[0] * tissue[p, j, k] + near[1] * tissue[p, j, k + 1]
                    t += near[2] * tissue[p, j + 1, k] + near[3] * tissue[p, j + 1, k + 1]
                    wall = t / (np.float32(1.0) - a)
                    value -= table[int(a * table.size)] * max(wall - lung, np.float32(0.0))
                    value = max(value, np.float32(-1000.0))
                out[p, r, c] = value


def without_wall(
    hu: NDArray[np.int16],
    depth_mm: NDArray[np.float32],
    block: tuple[int, int, int],
    start: NDArray[np.int64],
    spacing_mm: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Take the chest wall and the mediastinum out of a box around the lungs.

    Parameters
    ----------
    hu : (p, r, c) int16 ndarray
        The box, limited to what tissue can have.
    depth_mm, block
        Of the coarse lungs (`imaging.lungs.Lungs`).
    start : (3,) int ndarray
        Index in the scan of the box's first voxel.
    spacing_mm : tuple of float
        Distance between voxels, mm.

    Returns
    -------
    (p, r, c) float32 ndarray
        HU; what lay outside the lungs is like lung.
    """
    half = max(1, int(WIDTH_MM / 1.2 / spacing_mm[1]))
    coarse = (hu.shape[0], max(1, hu.shape[1] // half), max(1, hu.shape[2] // half))
    air, tissue = np.empty(coarse, np.float32), np.empty(coarse, np.float32)
    blocks = np.asarray(block, np.int64)
    where = (depth_mm, blocks, start, half, air, tissue)
    numbers = (np.float32(AIR_HU), np.float32(TISSUE_HU), np.float32(DEEP_MM))
    in_slabs(lambda a, b: _air_and_tissue(hu, *where, *numbers, a, b), len(hu))
    coarse_mm = (spacing_mm[0], spacing_mm[1] * half, spacing_mm[2] * half)
    smooth = [gaussian(field, WIDTH_MM, coarse_mm) for field in (air, tissue)]
    lung_hu = np.float32(np.clip(_median_hu(hu, depth_mm, blocks, start), *LUNG_HU))
    out = np.empty(hu.shape, np.float32)
    in_slabs(lambda a, b: _subtract(hu, *smooth, half, _wall_shares(), lung_hu, out, a, b), len(hu))
    return out


def _median_hu(
    hu: NDArray[np.int16], depth_mm: NDArray[np.float32], block: NDArray[np.int64], start: NDArray[np.int64]
) -> float:
    """Return the median of what lies deep in the lungs, read at one voxel a coarse block."""
    deep = np.argwhere(depth_mm > 2 * DEEP_MM) * block + block // 2 - start
    inside = ((deep >= 0) & (deep < hu.shape)).all(axis=1)
    return float(np.median(hu[tuple(deep[inside].T)])) if inside.any() else sum(LUNG_HU) / 2
