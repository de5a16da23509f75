"""Lesions too large for a ball on a fine grid: masses, large nodules, consolidation.

Balls of tissue that stand out from the air around them are lesions (`imaging.lumps`). So is what is no ball
but compact: solid tissue enclosed in the lung is thinned until vessels vanish and lumps stay; thinned by half
its own inner radius, what is left ends there, where a hilar vessel goes on and a consolidated lobe spreads.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.distance import distance_mm
from imaging.filters import block_mean
from imaging.geometry import point_mm
from imaging.lumps import SOLID_EDGE_HU, Lump, find_lumps
from imaging.lungs import Lungs
from records.model import Point, Volume

__all__ = ["Lesion", "Lesions", "find_lesions"]

CORE_MM = 3.5  # inner radius of a lump; balls of 10 mm have 4 mm on the coarse grid
LEAST_DIAMETER_MM = 10.0  # smaller ones are found and sized as nodules
PLAIN, PLAIN_DIAMETER_MM = 0.85, 9.0  # but a ball that stands out so far, the model has hardly learnt from
LARGEST_DIAMETER_MM = 60.0
THINNING = 0.5  # of the inner radius
COMPACT = 3.0  # volume of what is left, grown back, over that of the inner ball; an ellipsoid 2:1:1 has 2
LEAST_AIR_AROUND = 0.4  # of the surface; half for a lesion that sits flat on the pleura
LEAST_CONSOLIDATION_ML = 4.0
FRAME_MM = 12.0
BALL_REACH = 1.15  # over a ball's radius: the tissue that belongs to it
MUCH_LARGER = 1.3  # a compact lump is this much wider than a ball in it, which then is its rounded end


@dataclass(frozen=True, slots=True)
class Lesion:
    """One ball or compact lump of tissue."""

    centre_mm: Point
    index: tuple[float, float, float]  # in the scan
    diameter_mm: float  # of the ball of equal volume
    long_axis_mm: float
    volume_mm3: float
    mean_hu: float
    air_around: float  # share of the surface, but for what a ball hangs on
    in_air: float  # share of the whole surface
    edge_hu: float  # between the lesion and lung


@dataclass(frozen=True, slots=True, eq=False)
class Lesions:
    """All of a scan.

    Attributes
    ----------
    found : tuple of Lesion
        Largest first.
    labels : (p, r, c) int32 ndarray
        On the coarse grid of the lungs: 0 nothing, n the n-th lesion, -1 consolidation.
    consolidation_ml : float
        Airless lung that is no lesion.
    """

    found: tuple[Lesion, ...]
    labels: NDArray[np.int32]
    consolidation_ml: float


_Found = tuple[Lesion, NDArray[np.intp]]  # with its voxels on the coarse grid, (N, 3)


def find_lesions(volume: Volume, lungs: Lungs) -> Lesions:
    """Find balls and compact lumps of 10 mm and more in the lungs."""
    hu = block_mean(volume.hu, lungs.block)
    step_mm = np.asarray(lungs.coarse_spacing_mm)
    balls = [lump for lump in find_lumps(volume.hu, hu, lungs) if _is_large(lump)]
    dense = hu > SOLID_EDGE_HU  # the chest wall too: what touches it goes on into it
    solid = dense & (lungs.coarse > 0)
    inner_mm = distance_mm(dense, step_mm)
    cores, _ = ndimage.label((inner_mm >= CORE_MM) & solid)
    labels = np.zeros(solid.shape, np.int32)
    found: list[_Found] = []
    consolidation_ml = 0.0
    for core, window in enumerate(ndimage.find_objects(cores), start=1):
        deepest_mm = float(inner_mm[window][cores[window] == core].max())
        frame = tuple(
            slice(max(s.start - int(FRAME_MM / d) - 1, 0), s.stop + int(FRAME_MM / d) + 1)
            for s, d in zip(window, step_mm, strict=True)
        )
        lump = _grown(inner_mm[frame], cores[frame] == core, deepest_mm, dense[frame], step_mm)
        places = np.argwhere(lump & solid[frame]) + [s.start for s in frame]
        if len(places) == 0:
            continue
        lesion = _measured(volume, lungs, hu, lump, frame, deepest_mm)
        if lesion is not None:
            found.append((lesion, places))
            continue
        if _is_ball(np.argwhere(cores[window] == core) + [s.start for s in window], balls, lungs):
            continue
        ml = len(places) * float(np.prod(step_mm)) / 1000
        if ml >= LEAST_CONSOLIDATION_ML:
            fresh = places[labels[tuple(places.T)] == 0]
            labels[tuple(fresh.T)] = -1
            consolidation_ml += len(fresh) * float(np.prod(step_mm)) / 1000
    found = _with_balls(found, [_as_lesion(volume, lungs, hu, ball) for ball in balls], volume.spacing_mm)
    found.sort(key=lambda item: (-item[0].volume_mm3, item[0].centre_mm))
    for n, (_, places) in enumerate(found, start=1):
        labels[tuple(places.T)] = n
    return Lesions(tuple(lesion for lesion, _ in found), labels, consolidation_ml)


def _is_large(ball: Lump) -> bool:
    """Return whether a ball is a lesion, and not a nodule for the model to find."""
    least_mm = PLAIN_DIAMETER_MM if ball.standing_out >= PLAIN else LEAST_DIAMETER_MM
    return least_mm <= 2 * ball.radius_mm <= LARGEST_DIAMETER_MM


def _is_ball(core: NDArray[np.intp], balls: list[Lump], lungs: Lungs) -> bool:
    """Return whether the middle of a core, (N, 3) on the coarse grid, lies in one of the balls."""
    middle = (core.mean(axis=0) + 0.5) * np.asarray(lungs.block) - 0.5
    away_mm = [np.linalg.norm((middle - np.array(ball.index)) * lungs.spacing_mm) for ball in balls]
    return any(away < ball.radius_mm for away, ball in zip(away_mm, balls, strict=True))


def _as_lesion(volume: Volume, lungs: Lungs, hu: NDArray[np.float32], ball: Lump) -> _Found:
    """Return a ball as a lesion, with the coarse voxels of what it is made of."""
    step_mm = np.asarray(lungs.coarse_spacing_mm)
    middle = (np.array(ball.index) + 0.5) / np.asarray(lungs.block) - 0.5
    reach = np.ceil(1.5 * ball.radius_mm / step_mm).astype(int)
    start = np.maximum(np.rint(middle).astype(int) - reach, 0)
    window = tuple(slice(a, a + 2 * r + 1) for a, r in zip(start, reach, strict=True))
    axes = np.ogrid[tuple(slice(0, n) for n in hu[window].shape)]
    away_mm = np.sqrt(
        sum(((a + s - m) * d) ** 2 for a, s, m, d in zip(axes, start, middle, step_mm, strict=True))
    )
    places = np.argwhere((away_mm <= BALL_REACH * ball.radius_mm) & (hu[window] > ball.edge_hu))
    lesion = Lesion(
        centre_mm=point_mm(volume, ball.index),
        index=ball.index,
        diameter_mm=2 * ball.radius_mm,
        long_axis_mm=_long_axis_mm(places * step_mm),
        volume_mm3=4 / 3 * np.pi * ball.radius_mm**3,
        mean_hu=float(hu[window][away_mm <= max(0.7 * ball.radius_mm, float(step_mm.max()))].mean()),
        air_around=ball.free,
        in_air=ball.air,
        edge_hu=ball.edge_hu,
    )
    places += start
    return lesion, places[lungs.coarse[tuple(places.T)] > 0]


def _long_axis_mm(places_mm: NDArray[np.float64]) -> float:
    """Return the long axis of the ellipsoid with the second moment of (N, 3) places."""
    return float(2 * np.sqrt(5 * np.linalg.eigvalsh(np.cov(places_mm.T))[-1]))


def _with_balls(
    found: list[_Found], balls: list[_Found], spacing_mm: tuple[float, float, float]
) -> list[_Found]:
    """Join compact lumps and balls: of two in one another the ball, unless it is much the smaller."""
    kept = list(found)
    for ball in balls:
        middle = np.array(ball[0].index)
        same = []
        for other in kept:
            away_mm = np.linalg.norm((np.array(other[0].index) - middle) * spacing_mm)
            if away_mm < max(other[0].diameter_mm, ball[0].diameter_mm) / 2:
                same.append(other)
        if any(other[0].diameter_mm > MUCH_LARGER * ball[0].diameter_mm for other in same):
            continue
        kept = [other for other in kept if all(other is not one for one in same)] + [ball]
    return kept


def _grown(
    inner_mm: NDArray[np.float64],
    core: NDArray[np.bool_],
    deepest_mm: float,
    dense: NDArray[np.bool_],
    step_mm: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Thin the tissue by a share of the lump's inner radius, keep what hangs together, and grow it back."""
    depth_mm = THINNING * deepest_mm
    parts, _ = ndimage.label(inner_mm >= depth_mm)
    kept = parts == np.bincount(parts[core]).argmax()
    near = distance_mm(~kept, step_mm, depth_mm) <= depth_mm
    lump: NDArray[np.bool_] = near & dense
    return lump


def _measured(
    volume: Volume,
    lungs: Lungs,
    hu: NDArray[np.float32],
    lump: NDArray[np.bool_],
    frame: tuple[slice, ...],
    deepest_mm: float,
) -> Lesion | None:
    """Return the lump as a lesion, or None if it is not compact, too small or not in air."""
    step_mm = np.asarray(lungs.coarse_spacing_mm)
    volume_mm3 = float(lump.sum() * np.prod(step_mm))
    diameter_mm = (6 * volume_mm3 / np.pi) ** (1 / 3)
    inner_mm3 = 4 / 3 * np.pi * deepest_mm**3
    if not LEAST_DIAMETER_MM <= diameter_mm <= LARGEST_DIAMETER_MM or volume_mm3 > COMPACT * inner_mm3:
        return None
    shell = ndimage.binary_dilation(lump) & ~lump
    air_around = float((hu[frame][shell] < SOLID_EDGE_HU).mean())
    if air_around < LEAST_AIR_AROUND or (lungs.coarse[frame][lump] > 0).mean() < 0.5:
        return None
    places = np.argwhere(lump)
    at = (places.mean(axis=0) + [s.start for s in frame] + 0.5) * np.asarray(lungs.block) - 0.5
    index = (float(at[0]), float(at[1]), float(at[2]))
    return Lesion(
        centre_mm=point_mm(volume, index),
        index=index,
        diameter_mm=diameter_mm,
        long_axis_mm=_long_axis_mm(places * step_mm),
        volume_mm3=volume_mm3,
        mean_hu=float(hu[frame][lump].mean()),
        air_around=air_around,
        in_air=air_around,
        edge_hu=SOLID_EDGE_HU,
    )
