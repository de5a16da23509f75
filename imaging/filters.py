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

__all__ = ["block_mean", "gaussian", "in_slabs", "load_compiler", "thread_count", "white_noise_passed"]

FloatVolume = NDArray[np.float32]

ROWS_AT_ONCE = 16  # of all planes: a few MB, which the processor keeps at hand
SLABS_A_THREAD = 4
REACH_SIGMAS = 3.5  # a Gaussian cut here has lost 0.05 % of its mass


def thread_count() -> int:
    """Return how many threads the filters use: `MIPC_THREADS`, or the cores this process may run on."""
    chosen = os.environ.get("MIPC_THREADS")
    return max(1, int(chosen)) if chosen else len(os.sched_getaffinity(0))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def in_slabs(kernel: Callable[[int, int], object], size: int) -> None:
    """Run `kernel(start, stop)` over `range(size)`, in a few slabs a thread, since some take longer."""
    threads = min(thread_count(), size)
    if threads <= 1:
        kernel(0, size)
        return
    edges = np.linspace(0, size, min(SLABS_A_THREAD * threads, size) + 1).astype(int)
    jobs = [_pool(threads).submit(kernel, int(a), int(b)) for a, b in itertools.pairwise(edges)]
    for job in jobs:
        job.result()


def load_compiler() -> None:
    """Make the first call of compiled code, which takes 0.4 s, and later ones milliseconds."""
    block_mean(np.zeros((1, 1, 1), np.int16), (1, 1, 1))


@njit(nogil=True, cache=True, fastmath=False)
def _add_pair(target, weight, one, other):  # type: ignore[no-untyped-def]
    """Add a weight times the sum of two lines."""
    for n in range(target.size):
        target[n] += weight * (np.float32(one[n]) + np.float32(other[n]))


@njit(nogil=True, cache=True, fastmath=False)
def _add_three_pairs(target, weights, a, b, c, d, e, f):  # type: ignore[no-untyped-def]
    """Add three pairs of lines in their order, while the sum is at hand: half the time of one by one."""
    first, second, third = weights[0], weights[1], weights[2]
    for n in range(target.size):
        total = target[n] + first * (np.float32(a[n]) + np.float32(b[n]))
        total = total + second * (np.float32(c[n]) + np.float32(d[n]))
        target[n] = total + third * (np.float32(e[n]) + np.float32(f[n]))


@njit(nogil=True, cache=True, fastmath=False)
def _smooth_lines(volume, at, row, half, target):  # type: ignore[no-untyped-def]
    """Write the weighted sum of a row of plane `at` and its neighbours in other planes; the last ones go on.

    `half` are the weights from the middle outward.
    """
    last = volume.shape[0] - 1
    target[:] = half[0] * volume[at, row]
    k = 1
    while k + 2 < half.size:
        _add_three_pairs(
            target,
            half[k:],
            volume[max(at - k, 0), row],
            volume[min(at + k, last), row],
            volume[max(at - k - 1, 0), row],
            volume[min(at + k + 1, last), row],
            volume[max(at - k - 2, 0), row],
            volume[min(at + k + 2, last), row],
        )
        k += 3
    while k < half.size:
        _add_pair(target, half[k], volume[max(at - k, 0), row], volume[min(at + k, last), row])
        k += 1


@njit(nogil=True, cache=True, fastmath=False)
def _smooth_row(lines, row, half_r, half_c, line, target):  # type: ignore[no-untyped-def]
    """Convolve one row of a plane along rows, then columns; edges repeat their last voxel."""
    columns = target.size
    reach = half_c.size - 1
    across = line[reach : reach + columns]
    _smooth_lines(lines, row, 0, half_r, across)
    line[:reach] = across[0]
    line[reach + columns :] = across[columns - 1]
    target[:] = half_c[0] * across
    k = 1
    while k + 2 <= reach:
        _add_three_pairs(
            target,
            half_c[k:],
            line[reach - k :],
            line[reach + k :],
            line[reach - k - 1 :],
            line[reach + k + 1 :],
            line[reach - k - 2 :],
            line[reach + k + 2 :],
        )
        k += 3
    while k <= reach:
        _add_pair(target, half_c[k], line[reach - k :], line[reach + k :])
        k += 1


@njit(nogil=True, cache=True, fastmath=False)
def _smooth(source, out, plane_weights, row_weights, column_weights, start, stop):  # type: ignore[no-untyped-def]
    """Convolve rows `start` to `stop` of all planes, a few at a time: what is half done stays near."""
    planes, rows, columns = source.shape
    half_p = plane_weights[plane_weights.size // 2 :]
    half_r = row_weights[row_weights.size // 2 :]
    half_c = column_weights[column_weights.size // 2 :]
    line = np.empty(columns + 2 * half_c.size - 2, np.float32)
    flat = np.empty((planes, ROWS_AT_ONCE, columns), np.float32)
    for first in range(start, stop, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, stop)
        for plane in range(planes):
            lines = source[plane].reshape(rows, 1, columns)
            for row in range(first, last):
                _smooth_row(lines, row, half_r, half_c, line, flat[plane, row - first])
        for plane in range(planes):
            for row in range(first, last):
                _smooth_lines(flat, plane, row - first, half_p, out[plane, row])


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
    volume = np.ascontiguousarray(volume)
    kernels = [_weights(sigma_mm / step) for step in spacing_mm]
    out = np.empty(volume.shape, np.float32)
    in_slabs(lambda a, b: _smooth(volume, out, *kernels, a, b), volume.shape[1])
    return out


def white_noise_passed(fine_mm: float, coarse_mm: float, spacing_mm: tuple[float, float, float]) -> float:
    """Return what the difference of two levels of `gaussian` leaves of white noise with a deviation of 1.

    Parameters
    ----------
    fine_mm, coarse_mm : float
        Standard deviations of the levels; the coarse one is the fine one smoothed again.
    spacing_mm : tuple of float
        Distance between voxels along each axis, mm.
    """
    fine, both, coarse = 1.0, 1.0, 1.0  # sums of products of weights part by axis
    for step in spacing_mm:
        once = _weights(fine_mm / step).astype(np.float64)
        again = _weights(float(np.sqrt(coarse_mm**2 - fine_mm**2)) / step).astype(np.float64)
        twice = np.convolve(once, again)
        once = np.pad(once, (twice.size - once.size) // 2)
        fine *= float(once @ once)
        both *= float(once @ twice)
        coarse *= float(twice @ twice)
    return float(np.sqrt(fine - 2 * both + coarse))


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


@njit(nogil=True, cache=True)
def _block_mean_of_whole_numbers(source, out, bp, br, bc, start, stop):  # type: ignore[no-untyped-def]
    """As `_block_mean`, but whole lines are added first: sums of whole numbers are exact in any order."""
    columns = out.shape[2]
    line = np.empty(columns * bc, np.int32)
    for p in range(start, stop):
        for r in range(out.shape[1]):
            line[:] = 0
            for i in range(p * bp, p * bp + bp):
                for j in range(r * br, r * br + br):
                    source_line = source[i, j]
                    for n in range(line.size):
                        line[n] += source_line[n]
            for c in range(columns):
                total = 0.0
                for k in range(c * bc, c * bc + bc):
                    total += line[k]
                out[p, r, c] = total / (bp * br * bc)


def block_mean(volume: NDArray[np.generic], block: tuple[int, int, int]) -> FloatVolume:
    """Shrink a volume by the mean over blocks of voxels; what does not fill a block at the far end is cut."""
    shape = tuple(max(1, n // b) for n, b in zip(volume.shape, block, strict=True))
    out = np.empty(shape, np.float32)
    kernel = _block_mean_of_whole_numbers if volume.dtype == np.int16 else _block_mean
    in_slabs(lambda a, b: kernel(volume, out, *block, a, b), shape[0])
    return out
