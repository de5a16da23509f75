"""Compiled probes into the smoothed lungs around one place: rays, curvature, growth.

Every probe writes a handful of numbers into `out`. Places are (plane, row, column) of
the box, profiles are (rays, STEPS) grey values along the rays, counted in the
candidate's contrast where not said otherwise.
"""

import numpy as np
from numba import njit

__all__ = [
    "STEPS",
    "STEP_MM",
    "along",
    "at",
    "fill",
    "half_radii",
    "hessian",
    "moments",
    "quantile",
    "surroundings",
    "unbroken",
]

STEP_MM = 0.5
STEPS = 20  # rays of 10 mm


@njit(nogil=True, cache=True)
def at(image, p, r, c):  # type: ignore[no-untyped-def]
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
def hessian(image, p, r, c, h_mm, spacing_mm, out):  # type: ignore[no-untyped-def]
    """Write the eigenvalues of the Hessian, times -h squared, in descending order."""
    hp, hr, hc = h_mm / spacing_mm[0], h_mm / spacing_mm[1], h_mm / spacing_mm[2]
    here = 2 * at(image, p, r, c)
    matrix = np.empty((3, 3))
    matrix[0, 0] = here - at(image, p + hp, r, c) - at(image, p - hp, r, c)
    matrix[1, 1] = here - at(image, p, r + hr, c) - at(image, p, r - hr, c)
    matrix[2, 2] = here - at(image, p, r, c + hc) - at(image, p, r, c - hc)
    pr = at(image, p + hp, r + hr, c) + at(image, p - hp, r - hr, c)
    pr -= at(image, p + hp, r - hr, c) + at(image, p - hp, r + hr, c)
    pc = at(image, p + hp, r, c + hc) + at(image, p - hp, r, c - hc)
    pc -= at(image, p + hp, r, c - hc) + at(image, p - hp, r, c + hc)
    rc = at(image, p, r + hr, c + hc) + at(image, p, r - hr, c - hc)
    rc -= at(image, p, r + hr, c - hc) + at(image, p, r - hr, c + hc)
    matrix[0, 1] = matrix[1, 0] = -pr / 4
    matrix[0, 2] = matrix[2, 0] = -pc / 4
    matrix[1, 2] = matrix[2, 1] = -rc / 4
    values = np.linalg.eigvalsh(matrix)
    out[0], out[1], out[2] = values[2], values[1], values[0]


@njit(nogil=True, cache=True)
def quantile(ordered, q):  # type: ignore[no-untyped-def]
    """Return a quantile of sorted values, interpolated."""
    place = q * (ordered.size - 1)
    i = int(place)
    if i >= ordered.size - 1:
        return ordered[ordered.size - 1]
    return ordered[i] + (place - i) * (ordered[i + 1] - ordered[i])


@njit(nogil=True, cache=True)
def unbroken(profiles, cosines, steps, out, chosen):  # type: ignore[no-untyped-def]
    """Write how bright the brightest unbroken rays are: first, second apart, opposite, third, mean.

    The numbers of the first three rays go into `chosen`; `cosines` are those between all rays.
    """
    rays = profiles.shape[0]
    lowest = np.empty(rays)
    for n in range(rays):
        least = profiles[n, 0]
        for s in range(1, steps):
            least = min(least, profiles[n, s])
        lowest[n] = least
    first = np.argmax(lowest)
    second, opposite, third = -1, -1, -1
    for n in range(rays):
        cosine = cosines[n, first]
        if cosine < 0.5 and (second < 0 or lowest[n] > lowest[second]):
            second = n
        if cosine < -0.7 and (opposite < 0 or lowest[n] > lowest[opposite]):
            opposite = n
    for n in range(rays):
        apart = cosines[n, first] < 0.5 and cosines[n, second] < 0.5
        if apart and (third < 0 or lowest[n] > lowest[third]):
            third = n
    out[0], out[1], out[2], out[3] = lowest[first], lowest[second], lowest[opposite], lowest[third]
    out[4] = lowest.mean()
    chosen[0], chosen[1], chosen[2] = first, second, opposite


@njit(nogil=True, cache=True)
def moments(profiles, directions, radii, out):  # type: ignore[no-untyped-def]
    """Write how far the brightness within each radius lies along one axis: share, second, third."""
    matrix = np.empty((3, 3))
    for m in range(radii.size):
        matrix[:] = 0.0
        total = 1e-6
        for ray in range(profiles.shape[0]):
            weight = 0.0
            for s in range(int(radii[m] / STEP_MM)):
                weight += min(max(profiles[ray, s], 0.0), 1.2) * (s + 1) ** 2
            total += weight
            for a in range(3):
                for b in range(3):
                    matrix[a, b] += weight * directions[ray, a] * directions[ray, b]
        values = np.linalg.eigvalsh(matrix / total)
        out[3 * m] = values[2]
        out[3 * m + 1] = values[1] / max(values[2], 1e-6)
        out[3 * m + 2] = values[0] / max(values[2], 1e-6)


@njit(nogil=True, cache=True)
def along(levels, place, rays, directions, distances, spacing_mm, background, out):  # type: ignore[no-untyped-def]
    """Write how bright, at each scale, what the candidate hangs on is farther on, over the candidate itself.

    A vessel keeps its calibre, so all scales fade alike; a nodule on a thin vessel fades most at
    its own scale.
    """
    f = 0
    for ray in rays:
        for t in distances:
            p = place[0] + t * directions[ray, 0] / spacing_mm[0]
            r = place[1] + t * directions[ray, 1] / spacing_mm[1]
            c = place[2] + t * directions[ray, 2] / spacing_mm[2]
            for m in range(1, 4):
                here = max(at(levels[m], place[0], place[1], place[2]) - background, 10.0)
                out[f] = (at(levels[m], p, r, c) - background) / here
                f += 1


@njit(nogil=True, cache=True)
def surroundings(image, place, half, spacing_mm, reach_mm, local):  # type: ignore[no-untyped-def]
    """Copy what lies within reach into a flat cube; the rest, and a frame of one voxel, is -inf."""
    planes, rows, columns = image.shape
    p0, r0, c0 = round(place[0]), round(place[1]), round(place[2])
    local[:] = -np.inf
    first, last = max(c0 - half[2], 0), min(c0 + half[2], columns - 1)
    along = np.empty(last - first + 1)
    for n in range(along.size):
        along[n] = ((first + n - place[2]) * spacing_mm[2]) ** 2
    for u in range(-half[0], half[0] + 1):
        i = p0 + u
        if i < 0 or i >= planes:
            continue
        up = ((i - place[0]) * spacing_mm[0]) ** 2
        for v in range(-half[1], half[1] + 1):
            j = r0 + v
            if j < 0 or j >= rows:
                continue
            flat = up + ((j - place[1]) * spacing_mm[1]) ** 2
            at_line = ((u + half[0] + 1) * (2 * half[1] + 3) + v + half[1] + 1) * (2 * half[2] + 3)
            at_line += half[2] + 1 + first - c0
            line = local[at_line : at_line + along.size]
            grey = image[i, j, first : last + 1]
            for n in range(along.size):
                near = flat + along[n] <= reach_mm * reach_mm
                line[n] = grey[n] if near else np.float32(-np.inf)


@njit(nogil=True, cache=True)
def fill(local, steps_to, place, half, thresholds, spacing_mm, reach_mm, seen, stack, later, out):  # type: ignore[no-untyped-def]
    """Grow a region above each threshold from the middle of `surroundings` and write its size and shape.

    The highest of the ascending thresholds comes first: each lower one goes on where the one before
    ended. `steps_to` are the steps from the middle to each voxel, along each axis.
    The share of its voxels on the sphere that bounds the growth tells whether it goes on beyond.
    """
    across, down = 2 * half[2] + 3, (2 * half[1] + 3) * (2 * half[2] + 3)
    steps = (-down, down, -across, across, -1, 1)
    p0, r0, c0 = round(place[0]), round(place[1]), round(place[2])
    seen[:] = False
    middle = (half[0] + 1) * down + (half[1] + 1) * across + half[2] + 1
    seen[middle] = True
    stack[0] = middle
    top, waiting = 1, 0
    count, border = 0, 0
    farthest = 0.0
    sums, squares = np.zeros(3), np.zeros((3, 3))
    sp, sr, sc = 0.0, 0.0, 0.0
    spp, spr, spc, srr, src, scc = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(thresholds.size - 1, -1, -1):
        threshold = thresholds[n]
        kept = 0
        for m in range(waiting):
            there = later[m]
            if local[there] >= threshold:
                stack[top] = there
                top += 1
            else:
                later[kept] = there
                kept += 1
        waiting = kept
        while top > 0:
            top -= 1
            here = stack[top]
            x, y, z = (
                (p0 + steps_to[here, 0] - place[0]) * spacing_mm[0],
                (r0 + steps_to[here, 1] - place[1]) * spacing_mm[1],
                (c0 + steps_to[here, 2] - place[2]) * spacing_mm[2],
            )
            distance = np.sqrt(x * x + y * y + z * z)
            count += 1
            farthest = max(farthest, distance)
            if distance > reach_mm - 1.0:
                border += 1
            sp += x
            sr += y
            sc += z
            spp += x * x
            spr += x * y
            spc += x * z
            srr += y * y
            src += y * z
            scc += z * z
            for step in steps:
                there = here + step
                if seen[there]:
                    continue
                seen[there] = True
                if local[there] >= threshold:
                    stack[top] = there
                    top += 1
                else:
                    later[waiting] = there
                    waiting += 1
        sums[0], sums[1], sums[2] = sp, sr, sc
        squares[0, 0], squares[1, 1], squares[2, 2] = spp, srr, scc
        squares[0, 1], squares[0, 2], squares[1, 2] = spr, spc, src
        squares[1, 0], squares[2, 0], squares[2, 1] = spr, spc, src
        covariance = squares / count
        for a in range(3):
            for b in range(3):
                covariance[a, b] -= sums[a] * sums[b] / (count * count)
            covariance[a, a] += spacing_mm[a] ** 2 / 12
        values = np.linalg.eigvalsh(covariance)
        f = 5 * n
        out[f] = np.log(count * spacing_mm[0] * spacing_mm[1] * spacing_mm[2])
        out[f + 1] = farthest
        out[f + 2] = np.sqrt(max(values[2], 1e-6) / max(values[1], 1e-6))
        out[f + 3] = np.sqrt(max(values[1], 1e-6) / max(values[0], 1e-6))
        out[f + 4] = border / count


@njit(nogil=True, cache=True)
def half_radii(profiles, directions, halves, out):  # type: ignore[no-untyped-def]
    """Write where the rays fall to half: five quantiles, the share that never do, the shape of the solid."""
    rays, steps = profiles.shape
    open_rays = 0
    matrix = np.zeros((3, 3))
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
                matrix[a, b] += halves[ray] ** 2 * directions[ray, a] * directions[ray, b] / rays
    values = np.linalg.eigvalsh(matrix)
    halves.sort()
    f = 0
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        out[f] = quantile(halves, share)
        f += 1
    out[f] = open_rays / rays
    out[f + 1] = np.sqrt(values[2] / max(values[1], 1e-6))
    out[f + 2] = np.sqrt(values[1] / max(values[0], 1e-6))
