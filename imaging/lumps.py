"""Large nodules and masses: balls of tissue that stand out from the air around them.

A lump has tissue inside and air in the shell around, as far as both lie in the lungs. It may hang on one
thing, a wall or a stalk: the cap of the shell with least air is not counted. A vessel goes on on the other
side too, and a fork on two; so what is left of the shell may hold somewhat less tissue than around a ball in
an endless vessel, whatever the size. And at least about half of the whole shell is air, as around a ball half
sunk in a flat wall: what bulges less is a rib or a fold of the wall.

Solid balls are looked for between the attenuation of lung and that of tissue. Balls of ground glass, which
stand out from these very lungs by a fifth of that, are looked for apart, where the scan is even: what is as
bright by partial volume, as a knot of vessels or a fold of the wall, is not.

Places and sizes to try are peaks in scale space (Lindeberg 1998, Int J Comput Vis 30:79); a ball of radius R
peaks at a Gaussian of R / sqrt(3). The lungs' surface is closed with a larger ball than elsewhere, so that a
mass at the wall lies inside. That takes in some wall too, so what a lump hangs on is asked of the lungs as
they were found.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from imaging.attenuation import GROUND_GLASS_HU
from imaging.distance import closed
from imaging.filters import gaussian
from imaging.geometry import directions
from imaging.lungs import LEFT, RIGHT, Lungs

__all__ = ["SOLID_EDGE_HU", "Lump", "find_lumps"]

SCALES_MM = (2.8, 4.0, 5.7, 8.0, 11.5)
FINE_MM = 4.5  # peaks at scales below are judged on the scan itself in the end, not on its coarse copy
LEAST_RESPONSE = 0.1  # difference of Gaussians; a ball of tissue in air has 0.25
RADII = tuple(np.geomspace(0.75, 1.4, 7).tolist())  # tried, over the one that peaks at the scale
FINER = np.array([0.85, 0.95, 1.05, 1.15])  # tried on the scan, over the one found on the coarse copy
LEAST_RADIUS_MM = 3.5
BRIDGED_MM = 20.0  # a mass at the wall as wide as twice this is closed over
LUNG_HU, TISSUE_HU = -850.0, 0.0
SOLID_EDGE_HU = -350.0  # between a solid ball and lung
# Ground glass, over what these lungs mostly are: what is no more than lung, and what is all ground glass
FAINT_HU, HAZY_HU = 30.0, 200.0
LEAST_HAZY_HU = 90.0  # over the lungs, at the peak itself
EVEN_HU, EVEN_PEAK_HU = 80.0, 100.0  # standard deviation in the core, and around the peak on the coarse copy
EVEN_CORE = 0.7  # of the radius
HAZY_STANDING_OUT = 0.75  # a band has 0.71; partial volume does not soften what is plainly more than hazy
CORE = 0.85  # of the radius: inside it there is tissue alone, whatever the blur
LEVEL = 0.6  # of the radius: what the lump's own attenuation is read from
BLUR_MM = 1.5  # beyond the radius to which the lump's own edge reaches
SHELL = 1.5  # outer radius of the shell over the lump's
LEAST_SOLID = 0.5  # mean share of tissue in the core
FIRST_LOOK = 0.55  # standing out at the peak itself, before the centre is sought
LEAST_STANDING_OUT = 0.7  # a flat wall has 0.5
MOST_HANGING, FIRST_HANGING = 0.7, 1.4  # tissue around it over that of a vessel, but for its stalk
LEAST_AIR = 0.47  # of the whole shell; a ball half sunk in a flat wall has 0.5, less what blur takes
WIDER = 1.15  # the ball that stands out most in a vessel, over the vessel
ROUGHLY = 0.1  # less is asked for on the coarse copy
LEAST_BALL, LEAST_SHELL = 0.5, 0.35  # of each, inside the lungs
STEPS, STEP_MM = 4, 1.2  # of the search for the centre
BIN_MM = 0.5
CAP = 0.5  # cosine of 60 degrees, half the opening of what a lump may be attached by


@dataclass(frozen=True, slots=True)
class Lump:
    """A ball of tissue."""

    index: tuple[float, float, float]  # in the scan
    radius_mm: float  # of the ball of equal volume
    standing_out: float  # mean share of tissue inside, less that around
    free: float  # share of air around it, but for the one cap where there is least
    air: float  # share of air all around it
    edge_hu: float = SOLID_EDGE_HU  # about halfway between what it is made of and lung


@dataclass(frozen=True, slots=True)
class _Shade:
    """What a ball is made of: the attenuation of which nothing is it, and that of which all is."""

    none_hu: float
    all_hu: float


SOLID = _Shade(LUNG_HU, TISSUE_HU)


@njit(nogil=True, cache=True)
def _tissue(hu, none_hu, all_hu):  # type: ignore[no-untyped-def]
    """Return how much of a voxel is tissue, 0 to 1, where the rest is lung."""
    return min(max((hu - none_hu) / (all_hu - none_hu), 0.0), 1.0)


@njit(nogil=True, cache=True)
def _window(centre, reach_mm, step_mm, axis):  # type: ignore[no-untyped-def]
    """Return the first voxel along an axis within reach of a place, and the one after the last."""
    reach = reach_mm / step_mm[axis]
    return int(np.floor(centre[axis] - reach)), int(np.ceil(centre[axis] + reach)) + 1


@njit(nogil=True, cache=True)
def _in_lungs(hu, mask, block, p, r, c):  # type: ignore[no-untyped-def]
    """Return whether a voxel lies in the lungs, told on blocks of voxels; beyond the scan none does."""
    if p < 0 or r < 0 or c < 0 or p >= hu.shape[0] or r >= hu.shape[1] or c >= hu.shape[2]:
        return False
    i = min(p // block[0], mask.shape[0] - 1)
    j = min(r // block[1], mask.shape[1] - 1)
    return mask[i, j, min(c // block[2], mask.shape[2] - 1)]


@njit(nogil=True, cache=True)
def _profile(hu, none_hu, all_hu, mask, block, centre, step_mm, n, tissue, room, full):  # type: ignore[no-untyped-def]
    """Add up tissue, voxels in the lungs, and all voxels, by distance from a place."""
    reach_mm = tissue.size * BIN_MM
    for p in range(*_window(centre, reach_mm, step_mm, 0)):
        for r in range(*_window(centre, reach_mm, step_mm, 1)):
            for c in range(*_window(centre, reach_mm, step_mm, 2)):
                inside = _in_lungs(hu, mask, block, p, r, c)
                share = _tissue(hu[p, r, c], none_hu, all_hu) if inside else 0.0
                for sub in range(n * n * n):
                    x = (p - centre[0] + (sub // (n * n) + 0.5) / n - 0.5) * step_mm[0]
                    y = (r - centre[1] + (sub // n % n + 0.5) / n - 0.5) * step_mm[1]
                    z = (c - centre[2] + (sub % n + 0.5) / n - 0.5) * step_mm[2]
                    place = int(np.sqrt(x * x + y * y + z * z) / BIN_MM)
                    if place < tissue.size:
                        full[place] += 1.0
                        if inside:
                            room[place] += 1.0
                            tissue[place] += share


@njit(nogil=True, cache=True)
def _by_direction(  # type: ignore[no-untyped-def]
    hu, none_hu, all_hu, mask, block, centre, step_mm, near_mm, far_mm, rays, tissue, room, full
):
    """Add up tissue, voxels in the lungs, and all voxels in a shell, by the nearest of the rays."""
    for p in range(*_window(centre, far_mm, step_mm, 0)):
        for r in range(*_window(centre, far_mm, step_mm, 1)):
            for c in range(*_window(centre, far_mm, step_mm, 2)):
                x = (p - centre[0]) * step_mm[0]
                y = (r - centre[1]) * step_mm[1]
                z = (c - centre[2]) * step_mm[2]
                squared = x * x + y * y + z * z
                if squared < near_mm * near_mm or squared >= far_mm * far_mm:
                    continue
                best, most = 0, -np.inf
                for ray in range(rays.shape[0]):
                    along = x * rays[ray, 0] + y * rays[ray, 1] + z * rays[ray, 2]
                    if along > most:
                        best, most = ray, along
                full[best] += 1.0
                if _in_lungs(hu, mask, block, p, r, c):
                    room[best] += 1.0
                    tissue[best] += _tissue(hu[p, r, c], none_hu, all_hu)


@dataclass(frozen=True, slots=True)
class _Around:
    """The shell around a ball, and what there is beyond the cap of 60 degrees where there is least air."""

    hanging: float  # tissue beyond the cap over that of one of the two arms of a ball in a vessel
    free: float  # share of the lungs beyond the cap that is air
    air: float  # share of the whole shell that is air


RAYS = directions(48)
CAPS = RAYS @ RAYS.T > CAP  # the rays within 60 degrees of each


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """What balls are judged on: the scan, or its coarse copy."""

    hu: NDArray[np.generic]
    shade: _Shade
    mask: NDArray[np.bool_]  # where balls may be
    lungs: NDArray[np.bool_]  # as they were found
    block: NDArray[np.int64]  # voxels of `hu` in one of `mask`
    step_mm: NDArray[np.float64]
    subsamples: int

    def within(
        self, centre: NDArray[np.float64], ends_mm: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return tissue, voxels in the lungs, and all voxels nearer to a place than each of the ends."""
        bins = int(np.ceil(ends_mm.max() / BIN_MM)) + 1
        tissue, room, full = np.zeros(bins), np.zeros(bins), np.zeros(bins)
        place = (self.mask, self.block, centre, self.step_mm, self.subsamples)
        _profile(self.hu, self.shade.none_hu, self.shade.all_hu, *place, tissue, room, full)
        edges_mm = np.arange(bins + 1) * BIN_MM

        def nearer(counts: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(np.interp(ends_mm, edges_mm, np.append(0.0, np.cumsum(counts))))

        return nearer(tissue), nearer(room), nearer(full)

    def judge(self, centre: NDArray[np.float64], radii_mm: NDArray[np.float64]) -> tuple[float, float]:
        """Return how much the best of these balls stands out, and its radius; (0, 0) if none is a ball."""
        ends_mm = np.stack([CORE * radii_mm, radii_mm + BLUR_MM, SHELL * radii_mm + BLUR_MM])
        tissue, room, full = self.within(centre, ends_mm)
        ball = tissue[0] / np.maximum(room[0], 1e-9)
        shell = (tissue[2] - tissue[1]) / np.maximum(room[2] - room[1], 1e-9)
        is_ball = (ball >= LEAST_SOLID) & (room[0] >= LEAST_BALL * full[0])
        is_ball &= room[2] - room[1] >= LEAST_SHELL * (full[2] - full[1])
        out = np.where(is_ball, ball - shell, 0.0)
        best = int(out.argmax())
        return (float(out[best]), float(radii_mm[best])) if out[best] > 0 else (0.0, 0.0)

    def climb(
        self, centre: NDArray[np.float64], radii_mm: NDArray[np.float64], steps: int
    ) -> tuple[NDArray[np.float64], float, float]:
        """Move a ball to where it stands out most; return centre, how much, and radius."""
        out, radius_mm = self.judge(centre, radii_mm)
        moves = np.concatenate([np.eye(3), -np.eye(3)]) * STEP_MM / self.step_mm
        for _ in range(steps):
            trials = [(*self.judge(centre + move, radii_mm), n) for n, move in enumerate(moves)]
            best = max(trials)
            if best[0] <= out + 1e-3:
                break
            out, radius_mm = best[:2]
            centre = centre + moves[best[2]]
        return centre, out, radius_mm

    def around(self, centre: NDArray[np.float64], radius_mm: float) -> "_Around":
        """Return what is around a ball. What lies outside the lungs is no air, and no tissue to hang on."""
        tissue, room, full = (np.zeros(len(RAYS)) for _ in range(3))
        ends_mm = radius_mm + BLUR_MM, SHELL * radius_mm + BLUR_MM
        place = (self.lungs, self.block, centre, self.step_mm, *ends_mm, RAYS)
        _by_direction(self.hu, self.shade.none_hu, self.shade.all_hu, *place, tissue, room, full)
        filled = CAPS @ (tissue + full - room) / np.maximum(CAPS @ full, 1)
        rest = ~CAPS[filled.argmax()]
        whole = max(float(full.sum()), 1.0)
        return _Around(
            hanging=float(tissue[rest].sum()) / whole / _around_vessel(radius_mm),
            free=1 - float(tissue[rest].sum() / max(room[rest].sum(), 1)),
            air=float((room - tissue).sum()) / whole,
        )

    def equal_radius_mm(self, centre: NDArray[np.float64], radius_mm: float, background: float) -> float:
        """Return the radius of the ball of equal volume: tissue within reach, less that of lung around."""
        ends_mm = np.array([LEVEL * radius_mm, radius_mm + BLUR_MM])
        tissue, room, full = self.within(centre, ends_mm)
        own = tissue[0] / max(room[0], 1e-9)
        voxels = (tissue[1] - background * room[1]) / max(own - background, 1e-9)
        voxels *= full[1] / max(room[1], 1e-9)
        volume_mm3 = max(voxels, 1.0) * float(np.prod(self.step_mm)) / self.subsamples**3
        return float((3 * volume_mm3 / (4 * np.pi)) ** (1 / 3))


def _around_vessel(radius_mm: float) -> float:
    """Return how much of the shell around a ball in an endless vessel is one of its two arms."""
    away_mm = np.linspace(radius_mm + BLUR_MM, SHELL * radius_mm + BLUR_MM, 16)
    sine = radius_mm / WIDER / away_mm
    return float(np.average((1 - np.sqrt(1 - sine**2)) / 2, weights=away_mm**2))


def _bridged(lungs: Lungs) -> NDArray[np.bool_]:
    """Return the lungs, each closed with a ball of `BRIDGED_MM`, by every second voxel of their grid."""
    out = lungs.coarse > 0
    step_mm = 2 * np.asarray(lungs.coarse_spacing_mm)
    for side in (RIGHT, LEFT):
        lung = lungs.coarse == side
        even = np.pad(lung, [(0, n % 2) for n in lung.shape])
        p, r, c = (n // 2 for n in even.shape)
        half = even.reshape(p, 2, r, 2, c, 2).mean(axis=(1, 3, 5)) >= 0.5
        whole = closed(half, step_mm, BRIDGED_MM)
        for axis in range(3):
            whole = whole.repeat(2, axis=axis)
        out |= whole[tuple(slice(0, n) for n in lung.shape)]
    return out


def _peaks(
    coarse_hu: NDArray[np.float32], shade: _Shade, mask: NDArray[np.bool_], lungs: Lungs
) -> list[tuple[float, tuple[int, ...]]]:
    """Return scale and place of the peaks in scale space, on the part of the grid that holds the lungs."""
    share = np.clip((coarse_hu - shade.none_hu) / (shade.all_hu - shade.none_hu), 0, 1) * mask
    window = ndimage.find_objects((share > 0).view(np.uint8))[0]
    levels = [gaussian(share[window], scale, lungs.coarse_spacing_mm) for scale in SCALES_MM]
    found = []
    for scale_mm, (fine, coarse) in zip(SCALES_MM, itertools.pairwise(levels), strict=False):
        response = fine - coarse
        top = (response == ndimage.maximum_filter(response, 3)) & (response > LEAST_RESPONSE)
        places = (tuple((p + [s.start for s in window]).tolist()) for p in np.argwhere(top))
        found += [(scale_mm, place) for place in places if mask[place]]
    return found


def find_lumps(hu: NDArray[np.int16], coarse_hu: NDArray[np.float32], lungs: Lungs) -> tuple[Lump, ...]:
    """Find the balls of tissue in the lungs that stand out, best first, from a radius of `LEAST_RADIUS_MM`.

    Parameters
    ----------
    hu : (planes, rows, columns) int16 ndarray
        The scan.
    coarse_hu : (p, r, c) float32 ndarray
        Its mean over the blocks of `lungs`.
    lungs : Lungs
    """
    mask = _bridged(lungs)
    judges = _Judges(hu, coarse_hu, SOLID, mask, lungs)
    found = [judges.lump(scale_mm, place) for scale_mm, place in _peaks(coarse_hu, SOLID, mask, lungs)]
    lumps = [lump for lump in found if lump is not None]
    return _one_each([*lumps, *_of_ground_glass(hu, coarse_hu, mask, lungs)], lungs)


def _of_ground_glass(
    hu: NDArray[np.int16], coarse_hu: NDArray[np.float32], mask: NDArray[np.bool_], lungs: Lungs
) -> Iterator[Lump]:
    """Find the balls of ground glass: hazy against these lungs, and alike all through."""
    lung_hu = float(np.median(coarse_hu[lungs.aerated]))
    shade = _Shade(lung_hu + FAINT_HU, lung_hu + HAZY_HU)
    judges = _Judges(hu, coarse_hu, shade, mask, lungs)
    for scale_mm, place in _peaks(coarse_hu, shade, mask, lungs):
        around = tuple(slice(max(n - 1, 0), n + 2) for n in place)
        is_hazy = lung_hu + LEAST_HAZY_HU < coarse_hu[place] < GROUND_GLASS_HU
        if not is_hazy or coarse_hu[around].std() > EVEN_PEAK_HU:
            continue
        lump = judges.lump(scale_mm, place)
        if lump is None or lump.standing_out < HAZY_STANDING_OUT:
            continue
        core_hu = _core_hu(coarse_hu, lump, lungs)
        own_hu = float(np.median(core_hu))
        if own_hu < GROUND_GLASS_HU and core_hu.std() < EVEN_HU:
            own = _Judges(hu, coarse_hu, _Shade(lung_hu, own_hu), mask, lungs)
            yield replace(lump, radius_mm=own.radius_mm(lump), edge_hu=(own_hu + lung_hu) / 2)


def _core_hu(coarse_hu: NDArray[np.float32], lump: Lump, lungs: Lungs) -> NDArray[np.float32]:
    """Return the coarse voxels in the core of a ball; at least the one that its middle lies in."""
    step_mm = np.asarray(lungs.coarse_spacing_mm)
    middle = (np.array(lump.index) + 0.5) / np.asarray(lungs.block) - 0.5
    reach_mm = EVEN_CORE * lump.radius_mm
    spans = [
        np.arange(max(int(np.ceil(m - reach_mm / d)), 0), min(int(m + reach_mm / d) + 1, n))
        for m, d, n in zip(middle, step_mm, coarse_hu.shape, strict=True)
    ]
    p, r, c = np.meshgrid(*spans, indexing="ij")
    away_mm = np.linalg.norm((np.stack([p, r, c], axis=-1) - middle) * step_mm, axis=-1)
    core_hu = coarse_hu[p, r, c][away_mm <= reach_mm]
    if core_hu.size:
        return np.asarray(core_hu)
    at = np.clip(np.rint(middle).astype(int), 0, np.array(coarse_hu.shape) - 1)
    return np.asarray(coarse_hu[tuple(at)], np.float32).reshape(1)


class _Judges:
    """The scan and its coarse copies that balls of different size are judged on."""

    def __init__(
        self,
        hu: NDArray[np.int16],
        coarse_hu: NDArray[np.float32],
        shade: _Shade,
        mask: NDArray[np.bool_],
        lungs: Lungs,
    ) -> None:
        one, step_mm = np.ones(3, np.int64), np.asarray(lungs.coarse_spacing_mm)
        self._block = np.asarray(lungs.block)
        of = shade, mask, lungs.coarse > 0
        self._fine = _Grid(hu, *of, self._block, np.asarray(lungs.spacing_mm), 1)
        self._small = _Grid(coarse_hu, *of, one, step_mm, 2)
        self._large = _Grid(coarse_hu, *of, one, step_mm, 1)

    def lump(self, scale_mm: float, place: tuple[int, ...]) -> Lump | None:
        """Return the lump at a peak in scale space, or None."""
        is_small = scale_mm < FINE_MM
        grid = self._small if is_small else self._large
        radii_mm = np.sqrt(3) * scale_mm * np.array(RADII)
        centre = np.array(place, float)
        if grid.judge(centre, radii_mm)[0] < FIRST_LOOK:
            return None
        centre, out, radius_mm = grid.climb(centre, radii_mm, STEPS)
        if out < LEAST_STANDING_OUT - ROUGHLY or grid.around(centre, radius_mm).hanging > FIRST_HANGING:
            return None
        if is_small:
            grid = self._fine
            centre, out, radius_mm = grid.climb((centre + 0.5) * self._block - 0.5, radius_mm * FINER, 1)
        around = grid.around(centre, radius_mm)
        if out < LEAST_STANDING_OUT or around.hanging > MOST_HANGING or around.air < LEAST_AIR:
            return None
        equal_mm = grid.equal_radius_mm(centre, radius_mm, 1 - around.free)
        if equal_mm < LEAST_RADIUS_MM:
            return None
        at = centre if is_small else (centre + 0.5) * self._block - 0.5
        return Lump((float(at[0]), float(at[1]), float(at[2])), equal_mm, out, around.free, around.air)

    def radius_mm(self, lump: Lump) -> float:
        """Return the radius of the ball of equal volume, as these judges see a lump that others found."""
        centre = (np.array(lump.index) + 0.5) / self._block - 0.5
        background = 1 - self._small.around(centre, lump.radius_mm).free
        return self._small.equal_radius_mm(centre, lump.radius_mm, background)


def _one_each(found: list[Lump], lungs: Lungs) -> tuple[Lump, ...]:
    """Keep, best first, the balls whose centre lies in no kept ball, nor a kept centre in them."""
    kept: list[Lump] = []
    for lump in sorted(found, key=lambda one: (-one.standing_out, one.index)):
        place = np.array(lump.index)
        far_mm = [np.linalg.norm((place - np.array(k.index)) * lungs.spacing_mm) for k in kept]
        if all(d > max(lump.radius_mm, k.radius_mm) for d, k in zip(far_mm, kept, strict=True)):
            kept.append(lump)
    return tuple(kept)
