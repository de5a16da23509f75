"""What a candidate looks like, in numbers with a physical meaning.

Sixty rays leave each candidate. A nodule is dark again in every direction within
its own size; a vessel stays bright along two, a bifurcation along three, the
pleura along half of them. All grey values are counted in units of the
candidate's own contrast over its surroundings, all lengths in millimetres.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from imaging.candidates import SCALES_MM, Candidates, ScaleSpace
from imaging.filters import in_slabs
from imaging.probes import (
    STEP_MM,
    STEPS,
    along,
    at,
    fill,
    half_radii,
    hessian,
    moments,
    quantile,
    surroundings,
    unbroken,
)

__all__ = ["FEATURE_NAMES", "QUICK_FEATURES", "describe", "describe_quickly"]

RAYS = 60
RADII_MM = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 8.0)
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
REACHES_MM = (2.0, 3.0, 4.5, 6.5, 9.0)
FILL_LEVELS = (0.3, 0.5, 0.7)
FILL_REACH_MM = 8.0
HESSIAN_LEVELS = (0, 1, 2, 3)
MOMENT_RADII_MM = (2.0, 3.5, 5.0)
ALONG_REACH = 2  # of `REACHES_MM`: the rays that follow what the candidate hangs on
ALONG_MM = (3.5, 5.0, 6.5)
ALONG_LEVELS = (1, 2, 3)
ALONG_RAYS = ("first", "apart", "opposite")


def _directions(count: int) -> NDArray[np.float64]:
    """Return unit vectors spread evenly over the sphere, each with its opposite half the list away."""
    half = count // 2
    k = np.arange(half)
    height = 1 - (k + 0.5) / half
    turn = np.pi * (1 + 5**0.5) * k
    width = np.sqrt(1 - height**2)
    top = np.stack([height, width * np.sin(turn), width * np.cos(turn)], axis=1)
    return np.concatenate([top, -top])


def _names() -> tuple[str, ...]:
    names = ["log_contrast", "log_contrast_to_noise", "background_hu", "peak_hu", "scale_mm"]
    names += [f"response_{s}mm" for s in SCALES_MM[:-1]]
    names += [f"level_{s}mm" for s in SCALES_MM[1:]]
    for level in HESSIAN_LEVELS:
        names += [f"hessian_{SCALES_MM[level]}mm_{part}" for part in ("strength", "second", "third")]
    names += [f"shell_{r}mm_q{round(100 * q)}" for r in RADII_MM for q in QUANTILES]
    for reach in REACHES_MM:
        names += [f"unbroken_{reach}mm_{part}" for part in ("first", "apart", "opposite", "third", "mean")]
    names += [f"half_radius_q{q}_mm" for q in (10, 25, 50, 75, 90)]
    names += ["half_open_share", "half_radius_anisotropy", "half_radius_flatness"]
    for level_name in FILL_LEVELS:
        names += [
            f"fill_{level_name}_{part}" for part in ("volume", "extent", "elongation", "flatness", "border")
        ]
    for radius in MOMENT_RADII_MM:
        names += [f"moment_{radius}mm_{part}" for part in ("share", "second", "third")]
    for ray in ALONG_RAYS:
        names += [f"along_{ray}_{t}mm_{SCALES_MM[level]}mm" for t in ALONG_MM for level in ALONG_LEVELS]
    return tuple(names)


FEATURE_NAMES = _names()
QUICK_FEATURES = (
    5 + 2 * (len(SCALES_MM) - 1) + 3 * len(HESSIAN_LEVELS)
)  # the leading ones, which need no rays


@njit(nogil=True, cache=True)
def _describe(  # type: ignore[no-untyped-def]
    levels,
    index,
    level,
    noise_hu,
    spacing_mm,
    directions,
    radii,
    quantiles,
    reaches,
    fills,
    moment_radii,
    distances,
    scales,
    reach_mm,
    quick,
    out,
    start,
    stop,
):
    rays, steps = directions.shape[0], STEPS
    image = levels[0]
    profiles = np.empty((rays, steps))
    shell = np.empty(rays)
    halves = np.empty(rays)
    eigen = np.empty(3)
    chosen, followed = np.empty(3, np.int64), np.empty(3, np.int64)
    half = np.empty(3, np.int64)
    for axis in range(3):
        half[axis] = int(reach_mm / spacing_mm[axis])
    local = np.empty((2 * half[0] + 3) * (2 * half[1] + 3) * (2 * half[2] + 3), np.float32)
    steps_to = np.empty((local.size, 3), np.int64)
    for here in range(local.size):
        across, down = 2 * half[2] + 3, (2 * half[1] + 3) * (2 * half[2] + 3)
        steps_to[here, 0] = here // down - half[0] - 1
        steps_to[here, 1] = here % down // across - half[1] - 1
        steps_to[here, 2] = here % across - half[2] - 1
    cosines = np.empty((rays, rays))
    for n in range(rays):
        for ray in range(rays):
            cosines[n, ray] = (directions[n] * directions[ray]).sum()
    seen = np.empty(local.size, np.bool_)
    stack, later = np.empty(local.size, np.int64), np.empty(local.size, np.int64)
    thresholds = np.empty(fills.size)
    offsets = np.empty((rays, steps, 3))
    for ray in range(rays):
        for s in range(steps):
            for axis in range(3):
                offsets[ray, s, axis] = (s + 1) * STEP_MM * directions[ray, axis] / spacing_mm[axis]
    for n in range(start, stop):
        p, r, c = index[n, 0], index[n, 1], index[n, 2]
        row = out[n]
        # The surroundings are the darker part of the shell at three times the candidate's scale.
        around = min(max(round(3.0 * scales[level[n]] / STEP_MM), 6), steps) - 1
        for ray in range(rays):
            for s in range(around if quick else 0, around + 1 if quick else steps):
                step = offsets[ray, s]
                profiles[ray, s] = at(image, p + step[0], r + step[1], c + step[2])
        peak = at(image, p, r, c)
        shell[:] = profiles[:, around]
        shell.sort()
        background = quantile(shell, 0.3)
        contrast = max(peak - background, 1.0)
        row[0] = np.log(contrast)
        row[1] = np.log(contrast / noise_hu)
        row[2] = background
        row[3] = peak
        row[4] = scales[level[n]]
        f = 5
        previous = peak
        for m in range(1, len(levels)):
            value = at(levels[m], p, r, c)
            row[f] = (previous - value) / contrast
            row[f + len(levels) - 1] = (value - background) / contrast
            previous = value
            f += 1
        f += len(levels) - 1
        for m in range(4):
            hessian(levels[m], p, r, c, scales[m], spacing_mm, eigen)
            strongest = max(eigen[0], 1.0)
            row[f] = eigen[0] / contrast
            row[f + 1] = eigen[1] / strongest
            row[f + 2] = eigen[2] / strongest
            f += 3
        if quick:
            continue
        profiles[:] = (profiles - background) / contrast
        for m in range(radii.size):
            shell[:] = profiles[:, round(radii[m] / STEP_MM) - 1]
            shell.sort()
            for q in range(quantiles.size):
                row[f] = quantile(shell, quantiles[q])
                f += 1
        for m in range(reaches.size):
            unbroken(profiles, cosines, round(reaches[m] / STEP_MM), row[f : f + 5], chosen)
            if m == ALONG_REACH:
                followed[:] = chosen
            f += 5
        half_radii(profiles, directions, halves, row[f : f + 8])
        f += 8
        surroundings(image, index[n], half, spacing_mm, reach_mm, local)
        thresholds[:] = background + fills * contrast
        growth = row[f : f + 5 * fills.size]
        fill(local, steps_to, index[n], half, thresholds, spacing_mm, reach_mm, seen, stack, later, growth)
        f += 5 * fills.size
        moments(profiles, directions, moment_radii, row[f : f + 3 * moment_radii.size])
        f += 3 * moment_radii.size
        along(levels, index[n], followed, directions, distances, spacing_mm, background, row[f:])


def _described(
    space: ScaleSpace, candidates: Candidates, noise_hu: float, quick: bool
) -> NDArray[np.float32]:
    out = np.empty((len(candidates), QUICK_FEATURES if quick else len(FEATURE_NAMES)), np.float32)
    settings = (
        np.asarray(space.spacing_mm),
        _directions(RAYS),
        np.asarray(RADII_MM),
        np.asarray(QUANTILES),
        np.asarray(REACHES_MM),
        np.asarray(FILL_LEVELS),
        np.asarray(MOMENT_RADII_MM),
        np.asarray(ALONG_MM),
        np.asarray(SCALES_MM),
        FILL_REACH_MM,
        quick,
    )
    places = (space.levels, candidates.index, candidates.level, noise_hu)
    if len(candidates):
        in_slabs(lambda a, b: _describe(*places, *settings, out, a, b), len(candidates))
    return out


def describe(space: ScaleSpace, candidates: Candidates, noise_hu: float) -> NDArray[np.float32]:
    """Measure every candidate.

    Parameters
    ----------
    space : ScaleSpace
        The smoothed lungs.
    candidates : Candidates
        N places.
    noise_hu : float
        Of the finest level.

    Returns
    -------
    (N, len(FEATURE_NAMES)) float32 ndarray
    """
    return _described(space, candidates, noise_hu, quick=False)


def describe_quickly(space: ScaleSpace, candidates: Candidates, noise_hu: float) -> NDArray[np.float32]:
    """Measure what needs no rays: the first `QUICK_FEATURES` of `describe`, at a tenth of the cost."""
    return _described(space, candidates, noise_hu, quick=True)
