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

__all__ = ["FEATURE_NAMES", "QUICK_FEATURES", "describe", "describe_quickly"]

RAYS = 60
STEP_MM = 0.5
STEPS = 20  # rays of 10 mm
RADII_MM = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 8.0)
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
REACHES_MM = (2.0, 3.0, 4.5, 6.5, 9.0)
FILL_LEVELS = (0.3, 0.5, 0.7)
FILL_REACH_MM = 8.0
HESSIAN_LEVELS = (0, 1, 2, 3)


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
    return tuple(names)


FEATURE_NAMES = _names()
QUICK_FEATURES = (
    5 + 2 * (len(SCALES_MM) - 1) + 3 * len(HESSIAN_LEVELS)
)  # the leading ones, which need no rays


@njit(nogil=True, cache=True)
def _at(image, p, r, c):  # type: ignore[no-untyped-def]
    """Interpolate linearly; outside the box the edge goes on."""
    planes, rows, columns = image.shape
    p = min(max(p, 0.0), planes - 1.001)
    r = min(max(r, 0.0), rows - 1.001)
    c = min(max(c, 0.0), columns - 1.001)
    i, j, k = int(p), int(r), int(c)
    u, v, w = p - i, r - j, c - k
    return (1 - u) * (
        (1 - v) * ((1 - w) * image[i, j, k] + w * image[i, j, k + 1])
        + v * ((1 - w) * image[i, j + 1, k] + w * image[i, j + 1, k + 1])
    ) + u * (
        (1 - v) * ((1 - w) * image[i + 1, j, k] + w * image[i + 1, j, k + 1])
        + v * ((1 - w) * image[i + 1, j + 1, k] + w * image[i + 1, j + 1, k + 1])
    )


@njit(nogil=True, cache=True)
def _hessian(image, p, r, c, h_mm, spacing_mm, out):  # type: ignore[no-untyped-def]
    """Write the eigenvalues of the Hessian, times -h squared, in descending order."""
    hp, hr, hc = h_mm / spacing_mm[0], h_mm / spacing_mm[1], h_mm / spacing_mm[2]
    here = 2 * _at(image, p, r, c)
    matrix = np.empty((3, 3))
    matrix[0, 0] = here - _at(image, p + hp, r, c) - _at(image, p - hp, r, c)
    matrix[1, 1] = here - _at(image, p, r + hr, c) - _at(image, p, r - hr, c)
    matrix[2, 2] = here - _at(image, p, r, c + hc) - _at(image, p, r, c - hc)
    pr = _at(image, p + hp, r + hr, c) + _at(image, p - hp, r - hr, c)
    pr -= _at(image, p + hp, r - hr, c) + _at(image, p - hp, r + hr, c)
    pc = _at(image, p + hp, r, c + hc) + _at(image, p - hp, r, c - hc)
    pc -= _at(image, p + hp, r, c - hc) + _at(image, p - hp, r, c + hc)
    rc = _at(image, p, r + hr, c + hc) + _at(image, p, r - hr, c - hc)
    rc -= _at(image, p, r + hr, c - hc) + _at(image, p, r - hr, c + hc)
    matrix[0, 1] = matrix[1, 0] = -pr / 4
    matrix[0, 2] = matrix[2, 0] = -pc / 4
    matrix[1, 2] = matrix[2, 1] = -rc / 4
    values = np.linalg.eigvalsh(matrix)
    out[0], out[1], out[2] = values[2], values[1], values[0]


@njit(nogil=True, cache=True)
def _quantile(ordered, q):  # type: ignore[no-untyped-def]
    place = q * (ordered.size - 1)
    i = int(place)
    if i >= ordered.size - 1:
        return ordered[ordered.size - 1]
    return ordered[i] + (place - i) * (ordered[i + 1] - ordered[i])


@njit(nogil=True, cache=True)
def _unbroken(profiles, directions, steps, out):  # type: ignore[no-untyped-def]
    """Write how bright the brightest unbroken rays are: first, second apart, opposite, third, mean."""
    rays = profiles.shape[0]
    lowest = np.empty(rays)
    for n in range(rays):
        lowest[n] = profiles[n, :steps].min()
    first = np.argmax(lowest)
    second, opposite, third = -1, -1, -1
    for n in range(rays):
        cosine = (directions[n] * directions[first]).sum()
        if cosine < 0.5 and (second < 0 or lowest[n] > lowest[second]):
            second = n
        if cosine < -0.7 and (opposite < 0 or lowest[n] > lowest[opposite]):
            opposite = n
    for n in range(rays):
        apart = (directions[n] * directions[first]).sum() < 0.5
        if (
            apart
            and (directions[n] * directions[second]).sum() < 0.5
            and (third < 0 or lowest[n] > lowest[third])
        ):
            third = n
    out[0], out[1], out[2], out[3] = lowest[first], lowest[second], lowest[opposite], lowest[third]
    out[4] = lowest.mean()


@njit(nogil=True, cache=True)
def _fill(image, p, r, c, threshold, spacing_mm, reach_mm, seen, stack, out):  # type: ignore[no-untyped-def]
    """Grow a region above a threshold from a point and write its size and shape.

    The share of its voxels on the sphere that bounds the growth tells whether it goes on beyond.
    """
    planes, rows, columns = image.shape
    half = np.empty(3, np.int64)
    for axis in range(3):
        half[axis] = int(reach_mm / spacing_mm[axis])
    seen[: 2 * half[0] + 1, : 2 * half[1] + 1, : 2 * half[2] + 1] = False
    p0, r0, c0 = round(p), round(r), round(c)
    top = 0
    stack[0, 0], stack[0, 1], stack[0, 2] = p0, r0, c0
    seen[half[0], half[1], half[2]] = True
    top = 1
    count, border = 0, 0
    farthest = 0.0
    sums, squares = np.zeros(3), np.zeros((3, 3))
    while top > 0:
        top -= 1
        i, j, k = stack[top, 0], stack[top, 1], stack[top, 2]
        x = np.array([(i - p) * spacing_mm[0], (j - r) * spacing_mm[1], (k - c) * spacing_mm[2]])
        distance = np.sqrt((x * x).sum())
        count += 1
        farthest = max(farthest, distance)
        if distance > reach_mm - 1.0:
            border += 1
        for a in range(3):
            sums[a] += x[a]
            for b in range(3):
                squares[a, b] += x[a] * x[b]
        for axis in range(3):
            for way in (-1, 1):
                ni, nj, nk = i, j, k
                if axis == 0:
                    ni += way
                elif axis == 1:
                    nj += way
                else:
                    nk += way
                if ni < 0 or nj < 0 or nk < 0 or ni >= planes or nj >= rows or nk >= columns:
                    continue
                u, v, w = ni - p0 + half[0], nj - r0 + half[1], nk - c0 + half[2]
                if u < 0 or v < 0 or w < 0 or u > 2 * half[0] or v > 2 * half[1] or w > 2 * half[2]:
                    continue
                if seen[u, v, w] or image[ni, nj, nk] < threshold:
                    continue
                squared = ((ni - p) * spacing_mm[0]) ** 2 + ((nj - r) * spacing_mm[1]) ** 2
                squared += ((nk - c) * spacing_mm[2]) ** 2
                if squared > reach_mm * reach_mm:
                    continue
                seen[u, v, w] = True
                stack[top, 0], stack[top, 1], stack[top, 2] = ni, nj, nk
                top += 1
    covariance = squares / count
    for a in range(3):
        for b in range(3):
            covariance[a, b] -= sums[a] * sums[b] / (count * count)
        covariance[a, a] += spacing_mm[a] ** 2 / 12
    values = np.linalg.eigvalsh(covariance)
    out[0] = np.log(count * spacing_mm[0] * spacing_mm[1] * spacing_mm[2])
    out[1] = farthest
    out[2] = np.sqrt(max(values[2], 1e-6) / max(values[1], 1e-6))
    out[3] = np.sqrt(max(values[1], 1e-6) / max(values[0], 1e-6))
    out[4] = border / count


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
    half = np.empty(3, np.int64)
    for axis in range(3):
        half[axis] = int(reach_mm / spacing_mm[axis])
    seen = np.empty((2 * half[0] + 1, 2 * half[1] + 1, 2 * half[2] + 1), np.bool_)
    stack = np.empty((seen.size + 8, 3), np.int64)
    for n in range(start, stop):
        p, r, c = index[n, 0], index[n, 1], index[n, 2]
        row = out[n]
        # The surroundings are the darker part of the shell at three times the candidate's scale.
        around = min(max(round(3.0 * scales[level[n]] / STEP_MM), 6), steps) - 1
        for ray in range(rays):
            for s in range(around if quick else 0, around + 1 if quick else steps):
                t = (s + 1) * STEP_MM
                profiles[ray, s] = _at(
                    image,
                    p + t * directions[ray, 0] / spacing_mm[0],
                    r + t * directions[ray, 1] / spacing_mm[1],
                    c + t * directions[ray, 2] / spacing_mm[2],
                )
        peak = _at(image, p, r, c)
        shell[:] = profiles[:, around]
        shell.sort()
        background = _quantile(shell, 0.3)
        contrast = max(peak - background, 1.0)
        row[0] = np.log(contrast)
        row[1] = np.log(contrast / noise_hu)
        row[2] = background
        row[3] = peak
        row[4] = scales[level[n]]
        f = 5
        previous = peak
        for m in range(1, len(levels)):
            value = _at(levels[m], p, r, c)
            row[f] = (previous - value) / contrast
            row[f + len(levels) - 1] = (value - background) / contrast
            previous = value
            f += 1
        f += len(levels) - 1
        for m in range(4):
            _hessian(levels[m], p, r, c, scales[m], spacing_mm, eigen)
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
                row[f] = _quantile(shell, quantiles[q])
                f += 1
        for m in range(reaches.size):
            _unbroken(profiles, directions, round(reaches[m] / STEP_MM), row[f : f + 5])
            f += 5
        open_rays = 0
        moments = np.zeros((3, 3))
        for ray in range(rays):
            before, halves[ray] = 1.0, steps * STEP_MM
            for s in range(steps):
                now = profiles[ray, s]
                if now < 0.5:
                    halves[ray] = (s + (before - 0.5) / max(before - now, 1e-6)) * STEP_MM
                    break
                before = now
            if halves[ray] >= steps * STEP_MM:
                open_rays += 1
            for a in range(3):
                for b in range(3):
                    moments[a, b] += halves[ray] ** 2 * directions[ray, a] * directions[ray, b] / rays
        values = np.linalg.eigvalsh(moments)
        halves.sort()
        for share in (0.1, 0.25, 0.5, 0.75, 0.9):
            row[f] = _quantile(halves, share)
            f += 1
        row[f] = open_rays / rays
        row[f + 1] = np.sqrt(values[2] / max(values[1], 1e-6))
        row[f + 2] = np.sqrt(values[1] / max(values[0], 1e-6))
        f += 3
        for m in range(fills.size):
            threshold = background + fills[m] * contrast
            _fill(image, p, r, c, threshold, spacing_mm, reach_mm, seen, stack, row[f : f + 5])
            f += 5


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
