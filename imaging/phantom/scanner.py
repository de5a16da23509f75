"""What a scanner does to the truth: blur in the plane, slice profile, noise with a grain, rounding.

The blur is Gaussian (in the plane by the reconstruction kernel, along the table by the slice
thickness). Noise has the spectrum of filtered back-projection, which rises with frequency and is
cut by the kernel (Kijewski and Judy 1987, Phys Med Biol 32:565).
"""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, optimize

__all__ = ["Kernel", "add_noise", "blur", "noise_shape", "slice_weights"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

FWHM = 2.3548  # of a Gaussian, in standard deviations
NOISE_DC = 0.015  # per mm; the ramp is not quite zero at rest (beam hardening, motion, finite projections)


class Kernel(StrEnum):
    """A reconstruction kernel, named as a header would."""

    SMOOTH = "SOFT"
    STANDARD = "STANDARD"
    SHARP = "LUNG"

    @property
    def psf_sigma_mm(self) -> float:
        """Standard deviation of the in-plane point spread.

        From the 50 % point of the MTF: 3.1, 3.7 and 5.6 line pairs a centimetre, the order of soft,
        standard and lung kernels (Boedeker 2007, Phys Med Biol 52:4027); sigma = 0.187 / f50.
        """
        return {Kernel.SMOOTH: 0.60, Kernel.STANDARD: 0.50, Kernel.SHARP: 0.33}[self]


def _gaussian_taps(sigma: float) -> FloatArray:
    """Return a sampled Gaussian whose variance is `sigma` squared, in samples, even where it is narrow."""
    reach = int(np.ceil(4.5 * sigma + 1))
    offset = np.arange(-reach, reach + 1)
    if sigma < 1e-3:
        return np.asarray(offset == 0, float)

    def taps(width: float) -> FloatArray:
        weights = np.exp(-0.5 * (offset / width) ** 2)
        return np.asarray(weights / weights.sum())

    # Sampling takes variance away from a Gaussian narrower than about 0.6 samples.
    fitted = optimize.brentq(lambda width: float(np.sum(taps(width) * offset**2)) - sigma**2, 0.05, sigma + 1)
    return taps(fitted)


def _beyond_voxel(sigma_mm: float, width_mm: float) -> float:
    """Return the blur still wanted after averaging over a voxel, mm: variances add."""
    return float(np.sqrt(max(sigma_mm**2 - width_mm**2 / 12, 0.0)))


def slice_weights(thickness_mm: float, step_mm: float) -> FloatArray:
    """Return the slice-sensitivity profile, sampled at the drawing grid's planes.

    Parameters
    ----------
    thickness_mm : float
        Full width at half maximum wanted.
    step_mm : float
        Distance between drawn planes, each already an average over its own thickness.

    Returns
    -------
    (2k + 1,) ndarray
        Weights, sum 1.
    """
    return _gaussian_taps(_beyond_voxel(thickness_mm / FWHM, step_mm) / step_mm)


def blur(
    drawn: Float32Array,
    *,
    planes_per_slice: int,
    step_mm: tuple[float, float, float],
    thickness_mm: float,
    psf_sigma_mm: float,
) -> Float32Array:
    """Return what a noiseless scanner shows of a finely drawn volume.

    Parameters
    ----------
    drawn : (planes, rows, columns) float32 ndarray
        HU, averaged over each voxel.
    planes_per_slice : int
        Drawn planes to one slice; slice `s` is centred on drawn plane `planes_per_slice * s`.
    step_mm : 3-tuple
        Distance between drawn voxels (plane, row, column).
    thickness_mm : float
        Full width at half maximum of the slice profile.
    psf_sigma_mm : float
        Standard deviation of the in-plane point spread, the voxel's own averaging included.

    Returns
    -------
    (slices, rows, columns) float32 ndarray
    """
    along = slice_weights(thickness_mm, step_mm[0])
    reach = len(along) // 2
    count = (len(drawn) - 1) // planes_per_slice + 1
    shown = np.empty((count, *drawn.shape[1:]), np.float32)
    in_plane = [_gaussian_taps(_beyond_voxel(psf_sigma_mm, s) / s).astype(np.float32) for s in step_mm[1:]]
    for s in range(count):
        middle = s * planes_per_slice
        image = np.zeros(drawn.shape[1:], np.float32)
        for tap, weight in enumerate(along):
            plane = min(max(middle + tap - reach, 0), len(drawn) - 1)
            image += np.float32(weight) * drawn[plane]
        image = ndimage.correlate1d(image, in_plane[0], axis=0, mode="nearest")
        shown[s] = ndimage.correlate1d(image, in_plane[1], axis=1, mode="nearest")
    return shown


def noise_shape(rows: int, columns: int, pixel_mm: tuple[float, float], psf_sigma_mm: float) -> FloatArray:
    """Return the amplitude of noise by in-plane frequency, so that filtered white noise keeps unit variance.

    Returns
    -------
    (rows, columns // 2 + 1) ndarray
        For `rfft2`; its square is the noise power spectrum, a ramp cut by the kernel.
    """
    fy = fft.fftfreq(rows, pixel_mm[0])[:, None]
    fx = fft.rfftfreq(columns, pixel_mm[1])[None, :]
    frequency = np.sqrt(fx**2 + fy**2)
    # The kernel passes more noise than signal: focal spot and detector blur the signal only.
    power = (frequency + NOISE_DC) * np.exp(-((2 * np.pi * frequency * 0.85 * psf_sigma_mm) ** 2))
    twice = np.full(power.shape[1], 2.0)
    twice[0] = 1.0
    if columns % 2 == 0:
        twice[-1] = 1.0
    return np.asarray(np.sqrt(power / (np.sum(power * twice) / (rows * columns))))


def add_noise(
    shown: Float32Array,
    level_hu: Float32Array,
    rim: Float32Array,
    *,
    pixel_mm: tuple[float, float],
    psf_sigma_mm: float,
    slice_overlap: float,
    rng: np.random.Generator,
) -> None:
    """Add noise in place, a slice at a time.

    Parameters
    ----------
    shown : (slices, rows, columns) float32 ndarray
    level_hu : (slices,) float32 ndarray
        Standard deviation wanted in each slice.
    rim : (rows, columns) float32 ndarray
        Standard deviation by place, relative.
    pixel_mm : pair
        Row and column spacing.
    psf_sigma_mm : float
        Of the kernel.
    slice_overlap : float
        Slice thickness over slice distance: neighbours that share tissue share noise.
    rng : Generator
    """
    rows, columns = shown.shape[1:]
    shape = noise_shape(rows, columns, pixel_mm, psf_sigma_mm).astype(np.float32)
    along = _gaussian_taps(0.7 * slice_overlap / FWHM)
    along = along[np.abs(along) > 1e-3]
    along = (along / np.sqrt(np.sum(along**2))).astype(np.float32)

    def grain() -> Float32Array:
        white = rng.standard_normal((rows, columns), dtype=np.float32)
        filtered: Float32Array = fft.irfft2(fft.rfft2(white) * shape, s=(rows, columns))
        return filtered

    recent = [grain() for _ in along]
    for s in range(len(shown)):
        mixed = np.zeros((rows, columns), np.float32)
        for weight, one in zip(along, recent, strict=True):
            mixed += weight * one
        shown[s] += mixed * (level_hu[s] * rim)
        recent = [*recent[1:], grain()]
