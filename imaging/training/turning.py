"""Cubes of candidates as other patients would show them: turned about the table, larger, smaller, mirrored.

A scan has a few thousand vessels, and a network soon knows each of them by heart. Sampled anew at a random
angle and size, straight from the scan, none comes twice alike, and nothing is smoothed by sampling twice.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.candidates import TISSUE_HU, Candidates, ScaleSpace
from imaging.patches import COARSE_LEVEL, COARSE_MM, CUBES, FINE_MM, SIDE

__all__ = ["cut_turned_cubes"]

STRETCH = 0.1  # natural logarithm of the largest change of size, in the plane and across it
OFF_CENTRE_MM = 0.15  # a candidate's place is no surer than that


@njit(nogil=True, cache=True)
def _cut(image, index, step_mm, spacing_mm, low, span, angle, stretch, side, out):  # type: ignore[no-untyped-def]
    """Sample linearly on grids turned by `angle`; outside, the edge goes on."""
    middle = (out.shape[2] - 1) / 2
    planes, rows, columns = image.shape
    for n in range(out.shape[0]):
        cosine, sine = np.cos(angle[n]), np.sin(angle[n])
        for i in range(out.shape[1]):
            p = index[n, 0] + (i - middle) * step_mm * stretch[n, 0] / spacing_mm[0]
            p = min(max(p, 0.0), planes - 1.001)
            a, u = int(p), p - int(p)
            for j in range(out.shape[2]):
                for k in range(out.shape[3]):
                    down_mm = (j - middle) * step_mm * stretch[n, 1]
                    across_mm = (k - middle) * step_mm * stretch[n, 1] * side[n]
                    r = index[n, 1] + (cosine * down_mm - sine * across_mm) / spacing_mm[1]
                    c = index[n, 2] + (sine * down_mm + cosine * across_mm) / spacing_mm[2]
                    r, c = min(max(r, 0.0), rows - 1.001), min(max(c, 0.0), columns - 1.001)
                    b, v, d, w = int(r), r - int(r), int(c), c - int(c)
                    near = (1 - v) * ((1 - w) * image[a, b, d] + w * image[a, b, d + 1])
                    near += v * ((1 - w) * image[a, b + 1, d] + w * image[a, b + 1, d + 1])
                    far = (1 - v) * ((1 - w) * image[a + 1, b, d] + w * image[a + 1, b, d + 1])
                    far += v * ((1 - w) * image[a + 1, b + 1, d] + w * image[a + 1, b + 1, d + 1])
                    grey = ((1 - u) * near + u * far - low) / span * 255.0
                    out[n, i, j, k] = np.uint8(min(max(grey, 0.0), 255.0) + 0.5)


def cut_turned_cubes(
    space: ScaleSpace, candidates: Candidates, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Sample the surroundings of each candidate, each turned at random.

    Returns
    -------
    (N, CUBES, SIDE, SIDE, SIDE) uint8 ndarray
        As `imaging.patches.cut_cubes`.
    """
    count = len(candidates)
    out = np.empty((count, CUBES, SIDE, SIDE, SIDE), np.uint8)
    spacing_mm = np.asarray(space.spacing_mm)
    index = candidates.index + rng.normal(0.0, OFF_CENTRE_MM, (count, 3)) / spacing_mm
    stretch = np.exp(rng.uniform(-STRETCH, STRETCH, (count, 2)))
    angle, side = rng.uniform(0.0, 2 * np.pi, count), rng.choice([-1.0, 1.0], count)
    low, high = TISSUE_HU
    images = (np.ascontiguousarray(space.hu), space.levels[0], space.levels[COARSE_LEVEL])
    for n, (image, step_mm) in enumerate(zip(images, (FINE_MM, FINE_MM, COARSE_MM), strict=True)):
        grey = (float(low), float(high - low))
        _cut(image, index, step_mm, spacing_mm, *grey, angle, stretch, side, out[:, n])
    return out
