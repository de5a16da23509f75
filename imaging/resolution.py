"""How sharp and how noisy a scan is, measured on the scan itself.

The in-plane blur is read off the skin and the pleura, where air meets soft
tissue in a step: the distance over which the step rises from 16 to 84 % is two
standard deviations of a Gaussian (task: edge-spread function, AAPM TG-233). A
sharp kernel swings beyond the step on either side; how far is read off the pleura.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from imaging.filters import white_noise_passed
from records.model import Volume

__all__ = [
    "Resolution",
    "SharpKernel",
    "grain_by_band_hu",
    "measure_resolution",
    "noise_of",
    "voxel_noise_hu",
]

PLANE_STEP_MM = 20.0
EDGES_A_PLANE = 1500
LEAST_EDGES = 100
ALONG_MM = np.arange(-6.0, 6.01, 0.25)  # where a step is read, from air to tissue
FLANK_MM = 3.5  # a step is read where 2.5 mm of plain air and plain tissue lie on its sides
SHARP_SHARE = 25  # percentile: edges cut obliquely by the plane look softer than the scanner is
USUAL_SIGMA_MM = 0.6
SIGMA_LIMITS_MM = (0.3, 1.2)
# Noise by the voxel over what white noise with the same band has: 0.21 to 0.29, five lungs.
GRAIN_IN_BAND = 0.25
# By how much of a step the pleura swings beyond it, dark and bright side together: 0.06 to 0.10 in five scans
# of soft-tissue kernels, where it is anatomy, and 0.18 to 0.30 in those sharpened by 1.5 times their detail.
SHARP_SWING = 0.14
LUNG_HU = -950.0  # air outside the body is cut off at -1024 HU, and shows no swing
DARK_MM, BRIGHT_MM = np.arange(-3.0, 0.01, 0.25), np.arange(0.25, 2.51, 0.25)  # from half the step
CORES_MM, RINGS = np.arange(0.2, 1.21, 0.02), np.arange(1.2, 3.01, 0.1)  # blurs tried, and their ratios
MOST_OVERSHOOT = 3.0
DETAIL_WINDOW, LUNG_WINDOW = 3, 9  # pixels; at the mean of the latter vessels are no air
AIR_HU = (-960.0, -700.0)
_NO_EDGES = np.zeros((0, len(ALONG_MM))), np.zeros(0, bool)


@dataclass(frozen=True, slots=True)
class SharpKernel:
    """The image of a point by a kernel that overshoots at edges, in the plane.

    It is `1 + overshoot` times a Gaussian, the core, less `overshoot` times a wider one, the ring.
    """

    overshoot: float
    core_sigma_mm: float
    ring_sigma_mm: float


@dataclass(frozen=True, slots=True)
class Resolution:
    """Blur of the image of a point: in the plane a Gaussian, unless the kernel is sharp."""

    in_plane_sigma_mm: float  # half of the distance over which a step rises from 16 to 84 %
    slice_thickness_mm: float
    sharp: SharpKernel | None = None  # None of a soft-tissue kernel


def measure_resolution(volume: Volume) -> Resolution:
    """Measure the in-plane blur on the steps between air and soft tissue.

    A scan without enough clean steps gets `USUAL_SIGMA_MM`, the middle of soft-tissue kernels.
    """
    planes = len(volume.hu)
    step = max(1, round(PLANE_STEP_MM / volume.spacing_mm[0]))
    rng = np.random.default_rng(0)
    edges = [_edges(volume.hu[k], volume.spacing_mm[1:], rng) for k in range(step // 2, planes, step)]
    rise, is_lung = (np.concatenate(part) for part in zip(*edges, strict=True)) if edges else _NO_EDGES
    thickness_mm = volume.slice_thickness_mm or volume.spacing_mm[0]
    if len(rise) < LEAST_EDGES:
        return Resolution(USUAL_SIGMA_MM, thickness_mm)
    widths_mm = (_first_crossing(rise, 0.841) - _first_crossing(rise, 0.159)) / 2
    sigma_mm = float(np.clip(np.percentile(widths_mm, SHARP_SHARE), *SIGMA_LIMITS_MM))
    chosen = is_lung & (widths_mm <= np.percentile(widths_mm, 2 * SHARP_SHARE))
    return Resolution(sigma_mm, thickness_mm, _sharp_kernel(rise[chosen]))


def _sharp_kernel(rise: NDArray[np.float64]) -> SharpKernel | None:
    """Return the sharp kernel that shows a step like these, or None if they do not swing beyond it.

    It is fitted to the dark side alone: at the bright one lie muscle and fat.
    """
    if len(rise) < LEAST_EDGES:
        return None
    around_mm = np.concatenate([DARK_MM, BRIGHT_MM])
    half_mm = _first_crossing(rise, 0.5)
    steps = [np.interp(around_mm + at, ALONG_MM, one) for at, one in zip(half_mm, rise, strict=True)]
    step = np.median(steps, axis=0)
    if step.max() - step.min() - 1.0 < SHARP_SWING:
        return None
    dark = step[: len(DARK_MM)]
    best = (np.inf, 0.0, 0.0, 0.0)
    for core_mm in CORES_MM.tolist():
        core = ndtr(DARK_MM / core_mm)
        for ring in RINGS.tolist():
            detail = core - ndtr(DARK_MM / (ring * core_mm))
            share = float(np.clip(detail @ (dark - core) / (detail @ detail), 0.0, MOST_OVERSHOOT))
            misfit = float(np.sum((core + share * detail - dark) ** 2))
            best = min(best, (misfit, share, core_mm, ring * core_mm))
    return SharpKernel(*best[1:])


def _edges(
    plane: NDArray[np.int16], pixel_mm: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the profiles of a plane's clean steps, from 0 to 1 along `ALONG_MM`, and which start in lung."""
    image = np.clip(plane, -1024, 300).astype(np.float32)
    smooth = ndimage.uniform_filter(image, 3)
    rows, columns = np.gradient(smooth)
    steepness = np.hypot(rows, columns)
    at_r, at_c = np.nonzero(steepness > 80)
    if at_r.size == 0:
        return _NO_EDGES
    chosen = rng.permutation(at_r.size)[:EDGES_A_PLANE]
    at_r, at_c = at_r[chosen], at_c[chosen]
    along_r = rows[at_r, at_c] / steepness[at_r, at_c]
    along_c = columns[at_r, at_c] / steepness[at_r, at_c]
    profiles = ndimage.map_coordinates(
        image,
        [
            at_r[:, None] + ALONG_MM * along_r[:, None] / pixel_mm[0],
            at_c[:, None] + ALONG_MM * along_c[:, None] / pixel_mm[1],
        ],
        order=1,
        mode="nearest",
    )
    dark, bright = profiles[:, ALONG_MM < -FLANK_MM], profiles[:, ALONG_MM > FLANK_MM]
    low, high = dark.mean(axis=1), bright.mean(axis=1)
    clean = (dark.std(axis=1) < 60) & (bright.std(axis=1) < 60)
    clean &= (low < -750) & (high > -200) & (high < 150)
    rise = (profiles[clean] - low[clean, None]) / (high - low)[clean, None]
    return rise, low[clean] > LUNG_HU


def _first_crossing(rise: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return where each rising profile first passes a level."""
    if len(rise) == 0:
        return np.zeros(0)
    after = np.clip((rise > level).argmax(axis=1), 1, len(ALONG_MM) - 1)
    rows = np.arange(len(rise))
    below, above = rise[rows, after - 1], rise[rows, after]
    share = (level - below) / np.where(above > below, above - below, 1.0)
    crossing: NDArray[np.float64] = ALONG_MM[after - 1] + np.clip(share, 0, 1) * (ALONG_MM[1] - ALONG_MM[0])
    return crossing


def noise_of(detail: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Return the standard deviation of fine detail in the lungs, by the median absolute deviation.

    Vessels and walls are a small share of the voxels, so the median does not see them.
    """
    values = detail[inside]
    if values.size == 0:
        return 1.0
    return max(1.0, float(1.4826 * _median(np.abs(values - _median(values)))))


def grain_by_band_hu(
    noise_hu: float, fine_mm: float, coarse_mm: float, spacing_mm: tuple[float, float, float]
) -> float:
    """Return the noise of single voxels of a soft-tissue kernel with so much detail in a band of sizes.

    Sharp kernels have several times the noise of soft ones, but finer than nodules; the grain of a low dose
    is as coarse as they are. So noise is asked for at their size. Half of the nodules are found at a diameter
    that goes with the cube root of it to 5 %, in five lungs as they are, sharpened with noise of 50 to 90 HU,
    and blurred with 40 to 60 HU; with that of the noise by the voxel to 13 %.

    Parameters
    ----------
    noise_hu : float
        Standard deviation of the difference of two levels of `imaging.filters.gaussian`.
    fine_mm, coarse_mm : float
        The levels.
    spacing_mm : tuple of float
        Distance between voxels, mm.
    """
    return GRAIN_IN_BAND * noise_hu / white_noise_passed(fine_mm, coarse_mm, spacing_mm)


def voxel_noise_hu(planes: NDArray[np.generic]) -> float:
    """Return the noise of single voxels in air-filled lung, HU, by how far they are off the mean of 3 by 3.

    Parameters
    ----------
    planes : (planes, rows, columns) ndarray
        HU. Where there is no air-filled lung the noise is 0.
    """
    image = planes.astype(np.float32)
    detail = image - ndimage.uniform_filter(image, (0, DETAIL_WINDOW, DETAIL_WINDOW))
    around = ndimage.uniform_filter(image, (0, LUNG_WINDOW, LUNG_WINDOW))
    in_air = np.abs(detail[(around > AIR_HU[0]) & (around < AIR_HU[1])])
    return 1.4826 * float(np.median(in_air)) if in_air.size else 0.0


def _median(values: NDArray[np.float32]) -> np.float32:
    """Return the median as numpy does, in a fifth of the time: selection is fast for one rank at a time."""
    half = values.size // 2
    parted = np.partition(values, half)
    if values.size % 2:
        return np.float32(parted[half])
    return np.float32(np.mean(np.array([parted[:half].max(), parted[half]])))
