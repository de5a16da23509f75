"""The last look at a candidate: how well a ball explains it."""

import numpy as np
from numpy.typing import NDArray

from imaging.sizing import Fits

__all__ = ["BALL_FEATURES", "describe_balls"]

BALL_FEATURES = (
    "ball_log_radius",
    "ball_log_interval",
    "ball_hu",
    "ball_background_hu",
    "ball_misfit",
    "ball_shift_mm",
    "ball_radius_over_half_radius",
    "ball_radius_over_blur",
    "ball_contrast_to_noise",
)


def describe_balls(
    fits: Fits,
    index: NDArray[np.float64],
    half_radius_mm: NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    blur_mm: float,
    noise_hu: float,
) -> NDArray[np.float32]:
    """Return what the fits say of N candidates.

    Parameters
    ----------
    fits : Fits
    index : (N, 3) float ndarray
        Where the candidates were before the fit.
    half_radius_mm : (N,) float ndarray
        Median distance at which the rays fall to half.
    spacing_mm, blur_mm, noise_hu
        Of the scan.

    Returns
    -------
    (N, len(BALL_FEATURES)) float32 ndarray
    """
    shift_mm = np.linalg.norm((fits.index - index) * np.asarray(spacing_mm), axis=1)
    columns = (
        np.log(fits.radius_mm),
        np.log(fits.high_mm / fits.low_mm),
        fits.hu,
        fits.background_hu,
        fits.misfit,
        shift_mm,
        fits.radius_mm / np.maximum(half_radius_mm, 0.1),
        fits.radius_mm / blur_mm,
        (fits.hu - fits.background_hu) / noise_hu,
    )
    return np.stack(columns, axis=1).astype(np.float32)
