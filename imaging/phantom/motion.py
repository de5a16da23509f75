"""A known, smooth motion of the lungs between two scans: what an alignment has to find.

Real breathing differs from it where lobes and chest wall slide past each other; here nothing tears.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from imaging.filters import in_slabs
from imaging.geometry import index_of, points_mm
from records.model import Volume

__all__ = ["Motion", "draw_motion", "moved"]

FloatArray = NDArray[np.float64]

STEP_MM = 10.0
SCALE_MM = 40.0  # standard deviation of the smoothing: half a wave is about a lobe
SHARES = (0.4, 0.5, 0.7)  # of the irregular part along x, y, z
BREATH = 0.8  # of the part that grows from the apex to the floor, along z
SHIFT_BLOCK = 8  # voxels between the places where a shift is worked out


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Where each place of the follow-up lay in the baseline.

    Attributes
    ----------
    low_mm : (3,) ndarray
        First point of the grid, LPS.
    vectors_mm : (3, nx, ny, nz) ndarray
        Displacement along x, y, z on a grid of `STEP_MM`, cubic between its points.
    """

    low_mm: FloatArray
    vectors_mm: FloatArray

    def to_baseline(self, points: FloatArray) -> FloatArray:
        """Return where (N, 3) places of the follow-up lay before, LPS mm."""
        index = ((points - self.low_mm) / STEP_MM).T
        parts = [ndimage.map_coordinates(one, index, order=3, mode="nearest") for one in self.vectors_mm]
        return np.asarray(points + np.stack(parts, axis=1))

    def to_follow_up(self, points: FloatArray) -> FloatArray:
        """Return where (N, 3) places of the baseline lie now: `to_baseline` undone to a thousandth."""
        found = np.array(points, np.float64)
        for _ in range(60):
            off = self.to_baseline(found) - points
            found -= off
            if not off.size or np.abs(off).max() < 1e-3:
                break
        return found


def draw_motion(inside_mm: FloatArray, *, peak_mm: float, rng: np.random.Generator) -> Motion:
    """Draw a motion: irregular waves as wide as a lobe, and a breath that moves the floor most.

    Parameters
    ----------
    inside_mm : (N, 3) ndarray
        Places all through the lungs, LPS.
    peak_mm : float
        The largest displacement at any of them, seen from the follow-up.
    rng : Generator
    """
    low = inside_mm.min(axis=0) - SCALE_MM
    shape = np.ceil((inside_mm.max(axis=0) + SCALE_MM - low) / STEP_MM).astype(int) + 1
    waves = rng.standard_normal((3, *shape))
    waves = np.stack([ndimage.gaussian_filter(one, SCALE_MM / STEP_MM, mode="reflect") for one in waves])
    waves *= np.array(SHARES)[:, None, None, None] / np.abs(waves).max(axis=(1, 2, 3), keepdims=True)
    waves[2] += rng.choice([-1.0, 1.0]) * BREATH * np.linspace(1.0, 0.0, shape[2]) ** 1.5
    size = np.linalg.norm(Motion(low, waves).to_baseline(inside_mm) - inside_mm, axis=1).max()
    return Motion(low, waves * (peak_mm / size))


@njit(nogil=True, cache=True)
def _move(hu, shifts, block, out, start, stop):  # type: ignore[no-untyped-def]
    """Fetch each voxel from where its shift says, trilinear in the shift and in the image."""
    for p in range(start, stop):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                place = np.array([float(p), float(r), float(c)])
                i, j, k = p // block, r // block, c // block
                u, v, w = p / block - i, r / block - j, c / block - k
                for a in range(2):
                    for b in range(2):
                        for d in range(2):
                            share = (u if a else 1 - u) * (v if b else 1 - v) * (w if d else 1 - w)
                            for axis in range(3):
                                place[axis] += share * shifts[i + a, j + b, k + d, axis]
                for axis in range(3):
                    place[axis] = min(max(place[axis], 0.0), hu.shape[axis] - 1.0)
                i = min(int(place[0]), hu.shape[0] - 2)
                j = min(int(place[1]), hu.shape[1] - 2)
                k = min(int(place[2]), hu.shape[2] - 2)
                u, v, w = place[0] - i, place[1] - j, place[2] - k
                total = 0.0
                for a in range(2):
                    for b in range(2):
                        for d in range(2):
                            share = (u if a else 1 - u) * (v if b else 1 - v) * (w if d else 1 - w)
                            total += share * hu[i + a, j + b, k + d]
                out[p, r, c] = np.rint(total)


def moved(volume: Volume, motion: Motion) -> Volume:
    """Return the follow-up: the baseline on its own grid after the motion.

    Interpolation takes away up to half of the noise; a study of noise has to put it back.
    """
    shape = np.array(volume.hu.shape)
    if shape.min() < 2:
        raise ValueError("a volume to move has at least two voxels along each axis")
    counts = tuple(((shape - 1) // SHIFT_BLOCK + 2).tolist())
    index = SHIFT_BLOCK * np.indices(counts).reshape(3, -1).T.astype(np.float64)
    shifts = index_of(volume, motion.to_baseline(points_mm(volume, index))) - index
    out = np.empty_like(volume.hu)
    shifts = shifts.reshape(*counts, 3)
    in_slabs(lambda a, b: _move(volume.hu, shifts, SHIFT_BLOCK, out, a, b), len(out))
    return replace(volume, hu=out)
