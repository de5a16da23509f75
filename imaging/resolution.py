"""How sharp and how noisy a scan is, measured on the scan itself.

The in-plane blur is read off the skin and the pleura, where air meets soft
tissue in a step: the distance over which the step rises from 16 to 84 % is two
standard deviations of a Gaussian (task: edge-spread function, AAPM TG-233).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.filters import white_noise_passed
from records.model import Volume

__all__ = ["Resolution", "grain_by_band_hu", "measure_resolution", "noise_of", "voxel_noise_hu"]

PLANE_STEP_MM = 20.0
EDGES_A_PLANE = 1500
FLANK_MM = 3.5  # a step is read where 2.5 mm of plain air and plain tissue lie on its sides
SHARP_SHARE = 25  # percentile: edges cut obliquely by the plane look softer than the scanner is
USUAL_SIGMA_MM = 0.6
SIGMA_LIMITS_MM = (0.3, 1.2)
# Noise by the voxel over what white noise with the same band has: 0.21 to 0.29, five lungs.
GRAIN_IN_BAND = 0.25
DETAIL_WINDOW, LUNG_WINDOW = 3, 9  # pixels; at the mean of the latter vessels are no air
AIR_HU = (-960.0, -700.0)


@dataclass(frozen=True, slots=True)
class Resolution:
    """Blur of the image of a point."""

    in_plane_sigma_mm: float
    slice_thickness_mm: float


def measure_resolution(volume: Volume) -> Resolution:
    """Measure the in-plane blur on the steps between air and soft tissue.

    A scan without enough clean steps gets `USUAL_SIGMA_MM`, the middle of soft-tissue kernels.
    """
    planes = len(volume.hu)
    step = max(1, round(PLANE_STEP_MM / volume.spacing_mm[0]))
    rng = np.random.default_rng(0)
    widths = [
        _edge_sigmas_mm(volume.hu[k], volume.spacing_mm[1:], rng) for k in range(step // 2, planes, step)
    ]
    found = np.concatenate(widths) if widths else np.zeros(0)
    sigma_mm = USUAL_SIGMA_MM if found.size < 100 else float(np.percentile(found, SHARP_SHARE))
    thickness_mm = volume.slice_thickness_mm or volume.spacing_mm[0]
    return Resolution(float(np.clip(sigma_mm, *SIGMA_LIMITS_MM)), thickness_mm)


def _edge_sigmas_mm(
    plane: NDArray[np.int16], pixel_mm: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the standard deviation of the blur across each clean step of one plane."""
    image = np.clip(plane, -1024, 300).astype(np.float32)
    smooth = ndimage.uniform_filter(image, 3)
    rows, columns = np.gradient(smooth)
    steepness = np.hypot(rows, columns)
    at_r, at_c = np.nonzero(steepness > 80)
    if at_r.size == 0:
        return np.zeros(0)
    chosen = rng.permutation(at_r.size)[:EDGES_A_PLANE]
    at_r, at_c = at_r[chosen], at_c[chosen]
    along_r = rows[at_r, at_c] / steepness[at_r, at_c]
    along_c = columns[at_r, at_c] / steepness[at_r, at_c]
    t = np.arange(-6.0, 6.01, 0.25)
    profiles = ndimage.map_coordinates(
        image,
        [
            at_r[:, None] + t * along_r[:, None] / pixel_mm[0],
            at_c[:, None] + t * along_c[:, None] / pixel_mm[1],
        ],
        order=1,
        mode="nearest",
    )
    dark, bright = profiles[:, t < -FLANK_MM], profiles[:, t > FLANK_MM]
    low, high = dark.mean(axis=1), bright.mean(axis=1)
    clean = (dark.std(axis=1) < 60) & (bright.std(axis=1) < 60)
    clean &= (low < -750) & (high > -200) & (high < 150)
    rise = (profiles[clean] - low[clean, None]) / (high - low)[clean, None]
    return (_first_crossing(rise, t, 0.841) - _first_crossing(rise, t, 0.159)) / 2


def _first_crossing(rise: NDArray[np.float64], t: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return where each rising profile first passes a level."""
    if len(rise) == 0:
        return np.zeros(0)
    after = np.clip((rise > level).argmax(axis=1), 1, len(t) - 1)
    rows = np.arange(len(rise))
    below, above = rise[rows, after - 1], rise[rows, after]
    share = (level - below) / np.where(above > below, above - below, 1.0)
    crossing: NDArray[np.float64] = t[after - 1] + np.clip(share, 0, 1) * (t[1] - t[0])
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
