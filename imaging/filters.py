"""Arithmetic on whole volumes: smoothing and shrinking, in compiled loops over planes.

Every kernel works on a range of planes (or rows) and releases the interpreter
lock, so `in_slabs` can run it on all cores; each voxel's sum is made in the same
order whatever the split, so results do not depend on the number of threads.
"""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["block_mean", "gaussian", "in_slabs", "thread_count"]

FloatVolume = NDArray[np.float32]

REACH_SIGMAS = 3.5  # a Gaussian cut here has lost 0.05 % of its mass


def thread_count() -> int:
    """Return how many threads the filters use: `MIPC_THREADS`, or the cores this process may run on."""
    chosen = os.environ.get("MIPC_THREADS")
    return max(1, int(chosen)) if chosen else len(os.sched_getaffinity(0))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def in_slabs(kernel: Callable[[int, int], object], size: int) -> None:
    """Run `kernel(start, stop)` over `range(size)`, split evenly over the threads."""
    threads = min(thread_count(), size)
    if threads <= 1:
        kernel(0, size)
        return
    edges = np.linspace(0, size, threads + 1).astype(int)
    jobs = [_pool(threads).submit(kernel, int(a), int(b)) for a, b in itertools.pairwise(edges)]
    for job in jobs:
        job.result()


@njit(nogil=True, cache=True, fastmath=False)
def _smooth_planes(source, out, row_weights, column_weights, start, stop):  # type: ignore[no-untyped-def]
    """Convolve each plane along rows, then columns; edges repeat their last voxel."""
    rows, columns = source.shape[1], source.shape[2]
    reach_r = row_weights.size // 2
    reach_c = column_weights.size // 2
    line = np.empty(columns + 2 * reach_c, np.float32)
    across = np.empty(columns, np.float32)
    for plane in range(start, stop):
        for row in range(rows):
            across[:] = row_weights[reach_r] * source[plane, row]
            for k in range(1, reach_r + 1):
                above = source[plane, max(row - k, 0)]
                below = source[plane, min(row + k, rows - 1)]
                weight = row_weights[reach_r + k]
                for column in range(columns):
                    across[column] += weight * (np.float32(above[column]) + np.float32(below[column]))
            line[:reach_c] = across[0]
            line[reach_c : reach_c + columns] = across
            line[reach_c + columns :] = across[columns - 1]
            target = out[plane, row]
            for column in range(columns):
                target[column] = column_weights[reach_c] * line[reach_c + column]
            for k in range(1, reach_c + 1):
                weight = column_weights[reach_c + k]
                for column in range(columns):
                    target[column] += weight * (line[reach_c + column - k] + line[reach_c + column + k])


@njit(nogil=True, cache=True, fastmath=False)
def _smooth_across_planes(source, out, weights, start, stop):  # type: ignore[no-untyped-def]
    """Convolve along the plane axis for rows `start` to `stop`."""
    planes, columns = source.shape[0], source.shape[2]
    reach = weights.size // 2
    for plane in range(planes):
        for row in range(start, stop):
            target = out[plane, row]
            centre = source[plane, row]
            for column in range(columns):
                target[column] = weights[reach] * centre[column]
            for k in range(1, reach + 1):
                before = source[max(plane - k, 0), row]
                after = source[min(plane + k, planes - 1), row]
                weight = weights[reach + k]
                for column in range(columns):
                    target[column] += weight * (before[column] + after[column])


def _weights(sigma_voxels: float) -> NDArray[np.float32]:
    """Return a Gaussian integrated over each voxel, which stays true when it is narrower than a voxel."""
    from math import erf, sqrt

    if sigma_voxels < 1e-3:
        return np.ones(1, np.float32)
    reach = max(1, int(np.ceil(REACH_SIGMAS * sigma_voxels)))
    edges = np.arange(-reach, reach + 2) - 0.5
    steps = np.diff([erf(edge / (sigma_voxels * sqrt(2.0))) for edge in edges])
    return np.asarray(steps / steps.sum(), np.float32)


def gaussian(
    volume: NDArray[np.generic], sigma_mm: float, spacing_mm: tuple[float, float, float]
) -> FloatVolume:
    """Smooth a volume with an isotropic Gaussian.

    Parameters
    ----------
    volume : (planes, rows, columns) ndarray
        int16 or float32.
    sigma_mm : float
        Standard deviation of the Gaussian, mm.
    spacing_mm : tuple of float
        Distance between voxels along each axis, mm.

    Returns
    -------
    (planes, rows, columns) float32 ndarray
    """
    in_plane = np.empty(volume.shape, np.float32)
    kernels = [_weights(sigma_mm / step) for step in spacing_mm]
    in_slabs(lambda a, b: _smooth_planes(volume, in_plane, kernels[1], kernels[2], a, b), volume.shape[0])
    if kernels[0].size == 1:
        return in_plane
    out = np.empty(volume.shape, np.float32)
    in_slabs(lambda a, b: _smooth_across_planes(in_plane, out, kernels[0], a, b), volume.shape[1])
    return out


@njit(nogil=True, cache=True)
def _block_mean(source, out, bp, br, bc, start, stop):  # type: ignore[no-untyped-def]
    for p in range(start, stop):
        for r in range(out.shape[1]):
            for c in range(out.shape[2]):
                total = 0.0
                for i in range(p * bp, p * bp + bp):
                    for j in range(r * br, r * br + br):
                        for k in range(c * bc, c * bc + bc):
                            total += source[i, j, k]
                out[p, r, c] = total / (bp * br * bc)


def block_mean(volume: NDArray[np.generic], block: tuple[int, int, int]) -> FloatVolume:
    """Shrink a volume by the mean over blocks of voxels; what does not fill a block at the far end is cut."""
    shape = tuple(max(1, n // b) for n, b in zip(volume.shape, block, strict=True))
    out = np.empty(shape, np.float32)
    in_slabs(lambda a, b: _block_mean(volume, out, *block, a, b), shape[0])
    return out
