"""Size by physics: fit the image that the scanner makes of a ball.

A ball of radius r seen through a Gaussian blur has a closed form; the slice
averages it over its thickness. Centre, radius, contrast and background are fitted
together. Below about one and a half blur widths radius and contrast trade off
(a small bright ball looks like a larger faint one), so a solid nodule's
attenuation is assumed unless the fit contradicts it, and the interval widens.
"""

from dataclasses import dataclass
from math import erf, exp, pi, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.count import NORMAL_90
from imaging.filters import in_slabs
from imaging.resolution import Resolution

__all__ = ["Fits", "fit_balls"]

SOLID_HU = -40.0  # solid nodules: -150 to +60 HU
SOLID_SPREAD_HU = 80.0
FREE_SPREAD_HU = 2000.0
CONTRADICTION = 2.5  # spreads below solid at which the assumption is dropped
FLANK_MM = 2.0  # of surroundings taken into the fit
MIN_RADIUS_MM, MAX_RADIUS_MM = 0.4, 9.0
ITERATIONS = 14
SUBSLICES = 3
START_SPREAD = (0.5, 0.5, 0.5, 0.3)  # how far centre (mm) and log radius stray from where the rays put them
FARTHEST_MM = (
    0.8  # a centre that strays more, and half the radius, is on something else: it is fitted again ...
)
TIED_SPREAD = (0.05, 0.05, 0.05, 0.3)  # ... tied to where it was found
ROBUST = 2.5  # residuals beyond this many spreads lose weight (Huber 1964)
PARAMETERS = 6  # plane, row, column (mm), log radius, contrast, background
CORRELATED_VOXELS = 4.0  # neighbours share noise: a fit has fewer independent voxels than voxels
WIDENING = 1.8  # the nodule is no ball, the blur no Gaussian: makes 90 % of intervals hold the truth


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """Balls fitted to N places.

    Attributes
    ----------
    index : (N, 3) float ndarray
        Fitted centre in the same grid as the starting places.
    radius_mm, low_mm, high_mm : (N,) float ndarray
        Radius with its 90 % interval.
    hu, background_hu : (N,) float ndarray
        Attenuation of the ball and of its surroundings.
    misfit : (N,) float ndarray
        Root mean square residual over contrast: 0 for a perfect ball.
    """

    index: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    low_mm: NDArray[np.float64]
    high_mm: NDArray[np.float64]
    hu: NDArray[np.float64]
    background_hu: NDArray[np.float64]
    misfit: NDArray[np.float64]

    def __getitem__(self, chosen: NDArray[np.generic]) -> "Fits":
        return Fits(*(getattr(self, name)[chosen] for name in self.__slots__))


@njit(nogil=True, cache=True)
def _blurred_ball(distance, radius, sigma, out):  # type: ignore[no-untyped-def]
    """Write the value, and its derivatives by distance and radius, of a unit ball under a Gaussian."""
    rho = max(distance, 0.05 * sigma)
    a = (radius - rho) / (sqrt(2.0) * sigma)
    b = (radius + rho) / (sqrt(2.0) * sigma)
    g = exp(-a * a)
    h = exp(-b * b)
    width = sigma / sqrt(2.0 * pi)
    out[0] = 0.5 * (erf(a) + erf(b)) - width / rho * (g - h)
    out[1] = (h - g) / (sqrt(2.0 * pi) * sigma)
    out[1] -= width * (
        (g * (radius - rho) + h * (radius + rho)) / (sigma * sigma * rho) - (g - h) / (rho * rho)
    )
    out[2] = radius / (rho * sigma * sqrt(2.0 * pi)) * (g - h)


@njit(nogil=True, cache=True)
def _normal_equations(  # type: ignore[no-untyped-def]
    image, x, flank_mm, reach_mm, start, spacing_mm, sigma, thickness, spread, matrix, vector
):
    """Accumulate the weighted normal equations of one Gauss-Newton step.

    Returns the robust cost, the weighted squared residual and the weight.
    """
    matrix[:] = 0.0
    vector[:] = 0.0
    radius = exp(x[3])
    slope = np.empty(PARAMETERS)
    ball = np.empty(3)
    cost, squares, total = 0.0, 0.0, 0.0
    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    for axis in range(3):
        low[axis] = max(0, int(np.ceil((start[axis] - reach_mm) / spacing_mm[axis])))
        high[axis] = min(image.shape[axis] - 1, int((start[axis] + reach_mm) / spacing_mm[axis]))
    for i in range(low[0], high[0] + 1):
        for j in range(low[1], high[1] + 1):
            for k in range(low[2], high[2] + 1):
                dp = i * spacing_mm[0] - start[0]
                dr = j * spacing_mm[1] - start[1]
                dc = k * spacing_mm[2] - start[2]
                if dp * dp + dr * dr + dc * dc > reach_mm * reach_mm or np.isnan(image[i, j, k]):
                    continue
                value = 0.0
                slope[:] = 0.0
                for s in range(SUBSLICES):
                    up = i * spacing_mm[0] - x[0] + ((s + 0.5) / SUBSLICES - 0.5) * thickness
                    ar = j * spacing_mm[1] - x[1]
                    ac = k * spacing_mm[2] - x[2]
                    distance = max(sqrt(up * up + ar * ar + ac * ac), 1e-3)
                    _blurred_ball(distance, radius, sigma, ball)
                    value += ball[0] / SUBSLICES
                    slope[0] -= ball[1] * up / distance / SUBSLICES
                    slope[1] -= ball[1] * ar / distance / SUBSLICES
                    slope[2] -= ball[1] * ac / distance / SUBSLICES
                    slope[3] += ball[2] * radius / SUBSLICES
                for m in range(4):
                    slope[m] *= x[4]
                slope[4] = value
                slope[5] = 1.0
                residual = (image[i, j, k] - x[5] - x[4] * value) / spread
                size = abs(residual)
                weight = 1.0
                gain = 0.5 * residual * residual
                if size > ROBUST and residual < 0:
                    weight = ROBUST / size
                    gain = ROBUST * (size - 0.5 * ROBUST)
                elif size > ROBUST:
                    # Brighter than the ball: a vessel or the wall beside it, which soon counts no more.
                    weight = (ROBUST / size) ** 2
                    gain = ROBUST * ROBUST * (0.5 + np.log(size / ROBUST))
                cost += gain
                squares += weight * residual * residual
                total += weight
                for a in range(PARAMETERS):
                    vector[a] += weight * slope[a] * residual / spread
                    for b in range(PARAMETERS):
                        matrix[a, b] += weight * slope[a] * slope[b] / (spread * spread)
    return cost, squares, total


@njit(nogil=True, cache=True)
def _fit(image, start, x, spacing_mm, sigma, thickness, noise_hu, prior_hu, prior_spread, stray, result):  # type: ignore[no-untyped-def]
    """Fit one ball by damped Gauss-Newton steps; write the standard error of log radius and the misfit."""
    matrix, vector = np.empty((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    spread = max(noise_hu, 0.04 * abs(x[4]))
    reach = min(exp(x[3]) + 0.5 * sigma + FLANK_MM, MAX_RADIUS_MM + FLANK_MM)
    damping = 1e-2
    best, first = x.copy(), x.copy()
    lowest = np.inf
    for _ in range(ITERATIONS):
        cost, squares, total = _normal_equations(
            image, x, FLANK_MM, reach, start, spacing_mm, sigma, thickness, spread, matrix, vector
        )
        off = (x[4] + x[5] - prior_hu) / prior_spread
        cost += 0.5 * CORRELATED_VOXELS * off * off
        for a in range(4):
            far = (x[a] - first[a]) / stray[a]
            cost += 0.5 * CORRELATED_VOXELS * far * far
        if cost < lowest:
            lowest = cost
            best[:] = x
            damping = max(damping * 0.3, 1e-6)
            for a in range(4):
                vector[a] -= CORRELATED_VOXELS * (x[a] - first[a]) / stray[a] ** 2
                matrix[a, a] += CORRELATED_VOXELS / stray[a] ** 2
            for a in (4, 5):
                vector[a] -= CORRELATED_VOXELS * off / prior_spread
                for b in (4, 5):
                    matrix[a, b] += CORRELATED_VOXELS / (prior_spread * prior_spread)
            held, pull = matrix.copy(), vector.copy()
            result[0] = squares
            result[1] = total
        else:
            damping *= 8.0
            if damping > 1e6:
                break
        trial = held.copy()
        for a in range(PARAMETERS):
            trial[a, a] = held[a, a] * (1.0 + damping) + 1e-9
        move = np.linalg.solve(trial, pull)
        if np.abs(move[:4]).max() < 1e-3 and damping < 1.0:
            break
        for a in range(PARAMETERS):
            x[a] = best[a] + move[a]
        x[3] = min(max(x[3], np.log(MIN_RADIUS_MM)), np.log(MAX_RADIUS_MM))
        for a in range(3):
            x[a] = min(max(x[a], start[a] - 2.0), start[a] + 2.0)
        x[4] = max(x[4], 20.0)
    x[:] = best
    for a in range(PARAMETERS):
        held[a, a] += 1e-9
    covariance = np.linalg.inv(held)
    mean_square = result[0] / max(result[1], 1.0)
    result[2] = sqrt(max(covariance[3, 3], 0.0) * CORRELATED_VOXELS * max(mean_square, 0.25))
    result[3] = sqrt(mean_square) * spread / max(abs(x[4]), 1.0)


@njit(nogil=True, cache=True)
def _fit_all(image, places, radii, spacing_mm, sigma, thickness, noise_hu, out, begin, end):  # type: ignore[no-untyped-def]
    result = np.empty(4)
    scan = (spacing_mm, sigma, thickness, noise_hu)
    for n in range(begin, end):
        start = places[n] * spacing_mm
        x = np.empty(PARAMETERS)
        p, r, c = round(places[n, 0]), round(places[n, 1]), round(places[n, 2])
        x[:3] = start
        x[3] = np.log(radii[n])
        x[5] = -850.0
        x[4] = 100.0 if np.isnan(image[p, r, c]) else max(float(image[p, r, c]) - x[5], 100.0)
        first = x.copy()
        for stray in (START_SPREAD, TIED_SPREAD):
            x[:] = first
            _fit(image, start, x, *scan, SOLID_HU, SOLID_SPREAD_HU, stray, result)
            if x[4] + x[5] < SOLID_HU - CONTRADICTION * SOLID_SPREAD_HU:
                x[:] = first
                _fit(image, start, x, *scan, SOLID_HU, FREE_SPREAD_HU, stray, result)
            if np.sqrt(((x[:3] - start) ** 2).sum()) <= max(FARTHEST_MM, 0.5 * exp(x[3])):
                break
        out[n, :PARAMETERS] = x
        out[n, PARAMETERS] = result[2]
        out[n, PARAMETERS + 1] = result[3]


def fit_balls(
    image: NDArray[np.float32],
    index: NDArray[np.float64],
    radius_mm: NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    resolution: Resolution,
    noise_hu: float,
) -> Fits:
    """Fit a ball at each of N places.

    Parameters
    ----------
    image : (planes, rows, columns) float32 ndarray
        HU, not smoothed; NaN where nothing is to be fitted.
    index : (N, 3) float ndarray
        (plane, row, column) to start from.
    radius_mm : (N,) float ndarray
        To start from.
    spacing_mm : tuple of float
        Distance between voxels.
    resolution : Resolution
        Blur of the scan.
    noise_hu : float
        Standard deviation of a voxel.

    Returns
    -------
    Fits
    """
    out = np.empty((len(index), PARAMETERS + 2))
    spacing = np.asarray(spacing_mm)
    radii = np.clip(radius_mm, 2 * MIN_RADIUS_MM, MAX_RADIUS_MM - 1)
    if len(index):
        in_slabs(
            lambda a, b: _fit_all(
                image,
                index,
                radii,
                spacing,
                resolution.in_plane_sigma_mm,
                resolution.slice_thickness_mm,
                noise_hu,
                out,
                a,
                b,
            ),
            len(index),
        )
    error = WIDENING * NORMAL_90 * out[:, 6]
    radius = np.exp(out[:, 3])
    return Fits(
        index=out[:, :3] / spacing,
        radius_mm=radius,
        low_mm=radius * np.exp(-error),
        high_mm=radius * np.exp(np.minimum(error, 2.0)),
        hu=out[:, 4] + out[:, 5],
        background_hu=out[:, 5],
        misfit=out[:, 7],
    )
