"""Size by physics: fit the image that the scanner makes of a ball.

A ball of radius r seen through a Gaussian blur has a closed form; the slice
averages it over its thickness. Centre, radius, contrast, background and the blur
itself are fitted together. Below about one and a half blur widths radius and
contrast trade off (a small bright ball looks like a larger faint one). So each
ball is fitted twice, as solid and as of any attenuation, calcified or ground
glass; the more probable of both is told, by the ratio of their evidence (Laplace's
approximation: MacKay 1992, Neural Comput 4:415), and the interval is that of both,
each as probable as it is. Edges read on one scan differ by a fifth, so the blur may
differ as much from what they told.

What is longer than wide sticks out of its ball at the poles, as a vessel does, and
is darker at the waist; the fit believes the waist. So near the surface of larger
balls what is brighter is added to their volume, less what is darker, unless it goes
on farther out: that is a vessel.

The interval adds four variances: what is assumed (attenuation, blur), the noise,
what sticks out of the ball and is not added (of smaller ones all: it may be a lobe
or a vessel), and what is neither ball nor noise. That is anatomy, mostly vessels, or
the shape of a large nodule, and it is coherent over far more voxels than noise is.
"""

from dataclasses import dataclass
from math import erf, exp, pi, sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.filters import in_slabs
from imaging.resolution import Resolution

__all__ = ["Fits", "fit_balls"]

SOLID_HU = -40.0  # solid nodules: -150 to +60 HU
SOLID_SPREAD_HU = 80.0
ANY_SPREAD_HU = 500.0  # ground glass to calcified
SOLID_ODDS = 6.0  # of a nodule to be solid, before it is seen
FLANK_MM = 2.0  # of surroundings taken into the fit
MIN_RADIUS_MM, MAX_RADIUS_MM = 0.4, 9.0
ITERATIONS = 14
SUBSLICES = 3
START_SPREAD = (0.5, 0.5, 0.5, 0.3)  # how far centre (mm) and log radius stray from where the rays put them
FARTHEST_MM = (
    0.8  # a centre that strays more, and half the radius, is on something else: it is fitted again ...
)
TIED_SPREAD = (0.05, 0.05, 0.05, 0.3)  # ... tied to where it was found
SIGMA_SPREAD = 0.2  # of log blur; half the way from the 10th to the 50th percentile of edges is 0.12 to 0.40
SIGMA_LIMITS_MM = (0.25, 1.5)
ROBUST = 2.5  # residuals beyond this many spreads lose weight (Huber 1964)
ROBUST_BRIGHT = 2.0  # what is brighter than the ball soon counts no more: a vessel or the wall beside it
PARAMETERS = 7  # plane, row, column (mm), log radius, contrast, background, log blur
CORRELATED_VOXELS = 4.0  # neighbours share noise: a fit has fewer independent voxels than voxels
# What is neither ball nor noise goes together over so much lung. The autocorrelation of residuals beyond
# noise, added up to 2.5 mm, gives 16 to 22 mm3 at isolated nodules and 19 to 28 mm3 at vessels (four
# patients, 1.25 and 2.5 mm slices, also sharpened with noise).
ANATOMY_MM3 = 16.0
SHAPED_MM = (3.5, 4.2)  # radius: a vessel at a smaller ball does more harm than its own shape
RIM = 0.3  # of the radius, and a blur: so far from the fitted surface a longer ball's poles and waist lie
GOES_ON = 0.3  # of the ball's brightness, beyond the rim: this is a vessel and no pole
MOST_BEYOND = 0.2  # of the ball; one 1.35 times as long as wide has so much
UNSURE = 0.4  # of what is added
NOT_ADDED = 1.0  # of what is not: as many are lobes as are vessels
TAILS = (0.05, 0.95)  # outside the 90 % interval
BISECTIONS = 30
MOST_UNSURE = 7.4  # times the radius
LOBE = 0.25  # share of a large ball: what is longer than wide has two poles and a waist of misfit


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
def _seen_ball(distance, radius, sigma, kernel, ring, out):  # type: ignore[no-untyped-def]
    """Write what `_blurred_ball` does, of a kernel (overshoot, its ring's blur over the core's)."""
    _blurred_ball(distance, radius, sigma, out)
    if kernel[0] > 0.0:
        _blurred_ball(distance, radius, kernel[1] * sigma, ring)
        for n in range(3):
            out[n] += kernel[0] * (out[n] - ring[n])


@njit(nogil=True, cache=True)
def _window(shape, place_mm, reach_mm, spacing_mm, axis):  # type: ignore[no-untyped-def]
    """Return the first voxel along an axis within reach of a place, and the one after the last."""
    first = max(0, int(np.ceil((place_mm[axis] - reach_mm) / spacing_mm[axis])))
    return first, min(shape[axis] - 1, int((place_mm[axis] + reach_mm) / spacing_mm[axis])) + 1


@njit(nogil=True, cache=True)
def _normal_equations(  # type: ignore[no-untyped-def]
    image, x, reach_mm, start, spacing_mm, kernel, thickness, spread, matrix, vector
):
    """Accumulate the weighted normal equations of one Gauss-Newton step.

    Returns the robust cost, the weighted squared residual and the weight.
    """
    matrix[:] = 0.0
    vector[:] = 0.0
    radius, sigma = exp(x[3]), exp(x[6])
    slope = np.empty(PARAMETERS)
    ball, ring = np.empty(3), np.empty(3)
    cost, squares, total = 0.0, 0.0, 0.0
    for i in range(*_window(image.shape, start, reach_mm, spacing_mm, 0)):
        for j in range(*_window(image.shape, start, reach_mm, spacing_mm, 1)):
            for k in range(*_window(image.shape, start, reach_mm, spacing_mm, 2)):
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
                    _seen_ball(distance, radius, sigma, kernel, ring, ball)
                    value += ball[0] / SUBSLICES
                    slope[0] -= ball[1] * up / distance / SUBSLICES
                    slope[1] -= ball[1] * ar / distance / SUBSLICES
                    slope[2] -= ball[1] * ac / distance / SUBSLICES
                    slope[3] += ball[2] * radius / SUBSLICES
                    # The value depends on ratios of distance, radius and blur alone (Euler's theorem).
                    slope[6] -= (ball[1] * distance + ball[2] * radius) / SUBSLICES
                for m in (0, 1, 2, 3, 6):
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
                elif residual > ROBUST_BRIGHT:
                    weight = (ROBUST_BRIGHT / size) ** 2
                    gain = ROBUST_BRIGHT * ROBUST_BRIGHT * (0.5 + np.log(size / ROBUST_BRIGHT))
                cost += gain
                squares += weight * residual * residual
                total += weight
                for a in range(PARAMETERS):
                    pull = weight * slope[a] / spread
                    vector[a] += pull * residual
                    for b in range(a + 1):
                        matrix[a, b] += pull * slope[b] / spread
    for a in range(PARAMETERS):
        for b in range(a):
            matrix[b, a] = matrix[a, b]
    return cost, squares, total


@njit(nogil=True, cache=True)
def _assumed(prior_spread, stray):  # type: ignore[no-untyped-def]
    """Return the precision of what is assumed before the image is seen, in units of one voxel's noise."""
    precision = np.zeros((PARAMETERS, PARAMETERS))
    for a in range(4):
        precision[a, a] = CORRELATED_VOXELS / stray[a] ** 2
    precision[4:6, 4:6] = CORRELATED_VOXELS / prior_spread**2  # contrast and background together: attenuation
    precision[6, 6] = CORRELATED_VOXELS / SIGMA_SPREAD**2
    return precision


@njit(nogil=True, cache=True)
def _fit(  # type: ignore[no-untyped-def]
    image, start, x, spacing_mm, sigma, kernel, thickness, noise_hu, prior_hu, prior_spread, stray, result
):
    """Fit one ball by damped Gauss-Newton steps.

    Write the standard error of log radius, the misfit, and what of the evidence does not count alike: the
    cost, in voxels of unit noise, the variance of a voxel in these units, and the rest, a logarithm.
    """
    matrix, vector = np.empty((PARAMETERS, PARAMETERS)), np.empty(PARAMETERS)
    spread = max(noise_hu, 0.04 * abs(x[4]))
    reach = min(exp(x[3]) + 0.5 * sigma + FLANK_MM, MAX_RADIUS_MM + FLANK_MM)
    damping = 1e-2
    prior, expected = _assumed(prior_spread, stray), x.copy()
    expected[4] = prior_hu - expected[5]
    best, held, pull = x.copy(), prior, vector
    lowest, strayed, mean_square = np.inf, 0.0, 0.0
    for _ in range(ITERATIONS):
        cost, squares, total = _normal_equations(
            image, x, reach, start, spacing_mm, kernel, thickness, spread, matrix, vector
        )
        drawn = prior @ (x - expected)
        astray = 0.5 * (drawn * (x - expected)).sum()
        cost += astray
        if cost < lowest:
            lowest, strayed = cost, astray
            best[:] = x
            damping = max(damping * 0.3, 1e-6)
            held, pull = matrix + prior, vector - drawn
            mean_square = squares / max(total, 1.0)
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
        x[:] = best + move
        x[3] = min(max(x[3], np.log(MIN_RADIUS_MM)), np.log(MAX_RADIUS_MM))
        for a in range(3):
            x[a] = min(max(x[a], start[a] - 2.0), start[a] + 2.0)
        x[4] = max(x[4], 20.0)
        x[6] = min(max(x[6], np.log(SIGMA_LIMITS_MM[0])), np.log(SIGMA_LIMITS_MM[1]))
    x[:] = best
    for a in range(PARAMETERS):
        held[a, a] += 1e-9
    row = np.ascontiguousarray(np.linalg.inv(held)[3])
    assumed = row @ prior @ row
    seen = max(row[3] - assumed, 0.0)  # of a voxel's worth of unit noise
    noise = (noise_hu / spread) ** 2
    coherent = CORRELATED_VOXELS * noise
    together_mm3 = max(ANATOMY_MM3, LOBE * 4.0 / 3.0 * pi * exp(3.0 * x[3]))
    coherent += together_mm3 / spacing_mm.prod() * max(mean_square - noise, 0.0)
    result[0] = sqrt(CORRELATED_VOXELS * assumed + coherent * seen)
    result[1] = sqrt(mean_square) * spread / max(abs(x[4]), 1.0)
    result[2], result[3] = lowest - strayed, coherent
    result[4] = strayed / CORRELATED_VOXELS + np.log(prior_spread) + 0.5 * np.linalg.slogdet(held)[1]


@njit(nogil=True, cache=True)
def _on_something_else(image, x, start, spacing_mm):  # type: ignore[no-untyped-def]
    """Say whether a fit strayed from its place to a vessel, say. Into what went with the wall it may."""
    if np.sqrt(((x[:3] - start) ** 2).sum()) <= max(FARTHEST_MM, 0.5 * exp(x[3])):
        return False
    p, r, c = round(x[0] / spacing_mm[0]), round(x[1] / spacing_mm[1]), round(x[2] / spacing_mm[2])
    planes, rows, columns = image.shape
    outside = p < 0 or r < 0 or c < 0 or p >= planes or r >= rows or c >= columns
    return outside or not np.isnan(image[p, r, c])


@njit(nogil=True, cache=True)
def _share_at(image, x, plane_mm, row_mm, column_mm, spacing_mm):  # type: ignore[no-untyped-def]
    """Return the brightness of a place, from that of the surroundings (0) to that of the ball (1)."""
    i = min(max(round(plane_mm / spacing_mm[0]), 0), image.shape[0] - 1)
    j = min(max(round(row_mm / spacing_mm[1]), 0), image.shape[1] - 1)
    k = min(max(round(column_mm / spacing_mm[2]), 0), image.shape[2] - 1)
    return (image[i, j, k] - x[5]) / x[4]


@njit(nogil=True, cache=True)
def _beyond_ball(image, x, spacing_mm, kernel, thickness):  # type: ignore[no-untyped-def]
    """Return what is brighter than the fitted ball near its surface, less what is darker, mm3 of the ball."""
    radius, sigma = exp(x[3]), exp(x[6])
    rim = RIM * radius + sigma
    reach = radius + rim
    ball, ring = np.empty(3), np.empty(3)
    total = 0.0
    for i in range(*_window(image.shape, x, reach, spacing_mm, 0)):
        for j in range(*_window(image.shape, x, reach, spacing_mm, 1)):
            for k in range(*_window(image.shape, x, reach, spacing_mm, 2)):
                dp, dr = i * spacing_mm[0] - x[0], j * spacing_mm[1] - x[1]
                dc = k * spacing_mm[2] - x[2]
                away = sqrt(dp * dp + dr * dr + dc * dc)
                if abs(away - radius) > rim or np.isnan(image[i, j, k]):
                    continue
                on = (radius + rim + sigma) / away
                if _share_at(image, x, x[0] + on * dp, x[1] + on * dr, x[2] + on * dc, spacing_mm) > GOES_ON:
                    continue
                value = 0.0
                for s in range(SUBSLICES):
                    up = dp + ((s + 0.5) / SUBSLICES - 0.5) * thickness
                    away_mm = max(sqrt(up * up + dr * dr + dc * dc), 1e-3)
                    _seen_ball(away_mm, radius, sigma, kernel, ring, ball)
                    value += ball[0] / SUBSLICES
                share = (image[i, j, k] - x[5]) / x[4] - value
                total += min(max(share, -1.0), 1.0)
    return total * spacing_mm.prod()


@njit(nogil=True, cache=True)
def _quantile_of_both(share, means, errors, probability):  # type: ignore[no-untyped-def]
    """Return a quantile of two normal distributions, of which the second has a share, by bisection."""
    low = min(means[0] - 4.0 * errors[0], means[1] - 4.0 * errors[1])
    high = max(means[0] + 4.0 * errors[0], means[1] + 4.0 * errors[1])
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = (1.0 - share) * (0.5 + 0.5 * erf((middle - means[0]) / (sqrt(2.0) * errors[0])))
        below += share * (0.5 + 0.5 * erf((middle - means[1]) / (sqrt(2.0) * errors[1])))
        if below < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@njit(nogil=True, cache=True)
def _fit_all(image, places, radii, spacing_mm, sigma, kernel, thickness, noise_hu, out, begin, end):  # type: ignore[no-untyped-def]
    solid, of_any, x, other = np.empty(5), np.empty(5), np.empty(PARAMETERS), np.empty(PARAMETERS)
    means, errors = np.empty(2), np.empty(2)
    scan = (spacing_mm, sigma, kernel, thickness, noise_hu)
    for n in range(begin, end):
        start = places[n] * spacing_mm
        p, r, c = round(places[n, 0]), round(places[n, 1]), round(places[n, 2])
        x[:3] = start
        x[3] = np.log(radii[n])
        x[5] = -850.0
        x[4] = 100.0 if np.isnan(image[p, r, c]) else max(float(image[p, r, c]) - x[5], 100.0)
        x[6] = np.log(sigma)
        first = x.copy()
        for stray in (START_SPREAD, TIED_SPREAD):
            x[:], other[:] = first, first
            _fit(image, start, x, *scan, SOLID_HU, SOLID_SPREAD_HU, stray, solid)
            _fit(image, start, other, *scan, SOLID_HU, ANY_SPREAD_HU, stray, of_any)
            gain = (solid[2] - of_any[2]) / of_any[3] + solid[4] - of_any[4]
            share = 1.0 / (1.0 + SOLID_ODDS * exp(-min(max(gain, -50.0), 50.0)))
            means[0], means[1], errors[0], errors[1] = x[3], other[3], solid[0], of_any[0]
            misfit = solid[1]
            if share > 0.5:
                x[:] = other
                misfit = of_any[1]
            if not _on_something_else(image, x, start, spacing_mm):
                break
        beyond = _beyond_ball(image, x, spacing_mm, kernel, thickness) / (4.0 / 3.0 * pi * exp(3.0 * x[3]))
        longer = np.log(1.0 + min(max(beyond, -MOST_BEYOND), MOST_BEYOND)) / 3.0
        shaped = min(max((exp(x[3]) - SHAPED_MM[0]) / (SHAPED_MM[1] - SHAPED_MM[0]), 0.0), 1.0)
        unsure = (UNSURE * shaped + NOT_ADDED * (1.0 - shaped)) * longer
        means += shaped * longer
        errors[:] = np.sqrt(errors**2 + unsure**2)
        x[3] += shaped * longer
        out[n, :PARAMETERS] = x
        out[n, PARAMETERS] = misfit
        for m in range(2):
            out[n, PARAMETERS + 1 + m] = _quantile_of_both(share, means, errors, TAILS[m])


def _kernel(resolution: Resolution) -> tuple[float, tuple[float, float]]:
    """Return the blur of a ball, mm, and what `_seen_ball` wants of the kernel.

    The ring lies in the plane alone: of a ball blurred alike in all directions it takes the mean variance.
    """
    sharp = resolution.sharp
    if sharp is None:
        return resolution.in_plane_sigma_mm, (0.0, 1.0)
    alike_mm = sqrt((2.0 * sharp.ring_sigma_mm**2 + sharp.core_sigma_mm**2) / 3.0)
    return sharp.core_sigma_mm, (sharp.overshoot, alike_mm / sharp.core_sigma_mm)


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
    out = np.empty((len(index), PARAMETERS + 3))
    sigma_mm, kernel = _kernel(resolution)
    spacing = np.asarray(spacing_mm)
    radii = np.clip(radius_mm, 2 * MIN_RADIUS_MM, MAX_RADIUS_MM - 1)
    if len(index):
        in_slabs(
            lambda a, b: _fit_all(
                image,
                index,
                radii,
                spacing,
                sigma_mm,
                np.array(kernel),
                resolution.slice_thickness_mm,
                noise_hu,
                out,
                a,
                b,
            ),
            len(index),
        )
    radius, low, high = np.exp(out[:, (3, PARAMETERS + 1, PARAMETERS + 2)]).T
    return Fits(
        index=out[:, :3] / spacing,
        radius_mm=radius,
        low_mm=np.minimum(low, radius),
        high_mm=np.clip(high, radius, radius * MOST_UNSURE),
        hu=out[:, 4] + out[:, 5],
        background_hu=out[:, 5],
        misfit=out[:, PARAMETERS],
    )
