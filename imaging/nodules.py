"""From scored candidates to measured nodules, one for each thing in the lung."""

from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from imaging.attenuation import CALCIFIED_HU, GROUND_GLASS_HU
from imaging.axes import LEAST_MM, axial_axes_mm
from imaging.candidates import TISSUE_HU, ScaleSpace
from imaging.classifier import Scored
from imaging.filters import in_slabs
from imaging.geometry import points_mm
from imaging.lesions import Lesion, Lesions
from imaging.lungs import AIR_HU, LEFT, RIGHT, Lungs
from imaging.prior import log_odds, probability_of
from imaging.resolution import Resolution, noise_of
from imaging.sizing import Fits, fit_balls
from imaging.wall import LOST_HU
from records.model import Attenuation, Estimate, Nodule, Side, Volume, Zone

__all__ = ["LEAST_EVIDENCE", "LEAST_PROBABILITY", "grain_of", "measure_nodules", "zone_of"]

LEAST_PROBABILITY = 0.005  # rows below this would tell a curve nothing
LEAST_EVIDENCE = -1.5  # log-odds but for how common nodules are: so far down a census is taken
LEAST_ROWS = 60  # but so many are told: in a nearly clean lung all probabilities are low, and still rank
FIT_HU = (-1000.0, 3000.0)
START_RADIUS_MM = (0.6, 6.0)
BY_ITSELF_MM = (4.5, 6.0)  # below, a nodule is one of many; above, it is judged by itself
SAME_MM = 1.2  # two fits nearer than this, or inside one another, are one nodule
ALMOST = 0.5  # as probable as another candidate, as far as one nodule's candidates differ
CORE_SOLID_HU, RIM_HU = -200.0, -350.0
PART_SOLID_LEAST_MM = 5.0  # smaller, core and rim can't be told apart
# What lies sunk in wall or hilum is believed to be as round as the rest, and comes out small: 9 in 10 lesions
# with 0.5 and 0.6 of their surface in air are at most 16 and 10 % larger than told, in five lungs.
IN_AIR, SUNK = 0.85, 0.35


def zone_of(lungs: Lungs, side: Side, plane: float) -> Zone:
    """Return the third of a lung's height that a plane of the scan lies in."""
    label = RIGHT if side is Side.RIGHT else LEFT
    filled = np.flatnonzero((lungs.coarse == label).any(axis=(1, 2)))
    low, high = filled[0] * lungs.block[0], (filled[-1] + 1) * lungs.block[0]
    share = (plane + 0.5 - low) / (high - low)
    return Zone.LOWER if share < 1 / 3 else Zone.MIDDLE if share < 2 / 3 else Zone.UPPER


def measure_nodules(
    volume: Volume,
    lungs: Lungs,
    space: ScaleSpace,
    scored: Scored,
    lesions: Lesions,
    resolution: Resolution,
    grain_hu: float,
    operating_probability: float,
) -> tuple[Nodule, ...]:
    """Measure every candidate down to `LEAST_PROBABILITY` or `LEAST_EVIDENCE`, and every large lesion.

    At least `LEAST_ROWS` are measured.

    Parameters
    ----------
    volume, lungs, space, scored, lesions, resolution
        Of one scan.
    grain_hu : float
        From `grain_of`.
    operating_probability : float
        At or above it a nodule is reported.

    Returns
    -------
    tuple of Nodule
        Most probable first, numbered from 1; lesions of 10 mm and more before them.
    """
    first = np.arange(len(scored.probability)) < LEAST_ROWS
    kept = scored[first | (scored.probability >= LEAST_PROBABILITY) | (scored.evidence >= LEAST_EVIDENCE)]
    fits = _fit(space, kept, resolution, grain_hu)
    probability = _given_size(kept.probability, kept.commonness, 2 * fits.radius_mm)
    in_lesion = lungs.sample(lesions.labels > 0, kept.candidates.index + space.start, order=0) > 0.5
    alone, probability = _one_each(fits, probability, volume.spacing_mm)
    alone &= ~in_lesion
    roundness = 1.0 / (kept.column("half_radius_anisotropy") * kept.column("half_radius_flatness"))
    rows = np.flatnonzero(alone)
    rows = rows[np.argsort(-probability[rows], kind="stable")].tolist()
    nodules = [_of_lesion(volume, lungs, lesion) for lesion in lesions.found]
    centres = fits.index + space.start
    points = points_mm(volume, centres)
    depths = lungs.sample(lungs.depth_mm, centres)
    sides = _sides(lungs, centres)
    for n in rows:
        long_mm, short_mm = _axes(space, fits, n)
        plane = int(np.clip(round(centres[n, 0]), 0, len(volume.hu) - 1))
        radius = float(fits.radius_mm[n])
        nodules.append(
            Nodule(
                nodule_id=0,
                centre_mm=(float(points[n, 0]), float(points[n, 1]), float(points[n, 2])),
                diameter_mm=Estimate(2 * radius, 2 * float(fits.low_mm[n]), 2 * float(fits.high_mm[n])),
                volume_mm3=4 / 3 * np.pi * radius**3,
                mean_hu=float(fits.hu[n]),
                attenuation=_attenuation(fits, n, space.hu, volume.spacing_mm),
                roundness=float(roundness[n]),
                probability=float(probability[n]),
                reported=bool(probability[n] >= operating_probability),
                side=sides[n],
                zone=zone_of(lungs, sides[n], centres[n, 0]),
                pleura_distance_mm=max(0.0, float(depths[n])),
                sop_instance_uid=volume.sop_instance_uids[plane],
                slice_index=plane,
                long_axis_mm=long_mm,
                short_axis_mm=short_mm,
            )
        )

    return tuple(replace(nodule, nodule_id=number) for number, nodule in enumerate(nodules, start=1))


def _given_size(
    probability: NDArray[np.float64], commonness: float, diameter_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return probabilities of which large nodules are not made doubtful because small ones are rare.

    Most candidates are small, and tell how common nodules are among the small ones of this scan. Where
    they are rare, that says nothing of a ball of 8 mm; and what else stands out grows rarer with size, as
    forks of vessels do, with one over the cube of their width (Murray 1926, PNAS 12:207).
    """
    low_mm, high_mm = BY_ITSELF_MM
    share = np.clip((diameter_mm - low_mm) / (high_mm - low_mm), 0.0, 1.0)
    given_back = max(0.0, -commonness) * share
    return probability_of(log_odds(probability) + given_back)


@njit(nogil=True, cache=True)
def _write_fittable(hu, lung, low, high, tissue, wall, out, start, stop):  # type: ignore[no-untyped-def]
    """Write HU within limits, and no number where much of it was wall."""
    for p in range(start, stop):
        for r in range(hu.shape[1]):
            line, free, target = hu[p, r], lung[p, r], out[p, r]
            for c in range(line.size):
                value = min(max(np.float32(line[c]), low), high)
                target[c] = np.float32(np.nan) if min(value, tissue) - free[c] > wall else value


def grain_of(space: ScaleSpace) -> float:
    """Return the noise of single voxels in the lungs, HU."""
    return noise_of(space.lung[::4] - space.levels[0][::4], space.inside[::4])


def _fit(space: ScaleSpace, scored: Scored, resolution: Resolution, grain_hu: float) -> Fits:
    """Fit a ball to each candidate, from the radius its rays tell."""
    image = np.empty(space.hu.shape, np.float32)
    limits = (*map(np.float32, FIT_HU), np.float32(TISSUE_HU[1]), np.float32(LOST_HU))
    in_slabs(lambda a, b: _write_fittable(space.hu, space.lung, *limits, image, a, b), len(image))
    radius_mm = np.clip(scored.column("half_radius_q25_mm"), *START_RADIUS_MM)
    return fit_balls(image, scored.candidates.index, radius_mm, space.spacing_mm, resolution, grain_hu)


def _axes(space: ScaleSpace, fits: Fits, n: int) -> tuple[float, float] | tuple[None, None]:
    """Return long and short axis of a fitted nodule that is large enough to have them."""
    radius_mm = float(fits.radius_mm[n])
    level_hu = float(fits.hu[n] + fits.background_hu[n]) / 2
    if 2 * radius_mm < LEAST_MM:
        return None, None
    return axial_axes_mm(space.hu, fits.index[n], radius_mm, level_hu, space.spacing_mm) or (None, None)


def _one_each(
    fits: Fits, probability: NDArray[np.float64], spacing_mm: tuple[float, float, float]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Keep one fit of each nodule, most probable first; return which, and their probabilities.

    A nodule of many voxels has several candidates. One beside its centre can be the most probable, but the
    ball fitted there is too small and fits worse: the ball that holds it, and fits better, is the nodule, and
    is as probable as the most probable candidate of it.
    """
    points = fits.index * np.asarray(spacing_mm)
    kept, taken, likely = np.zeros(len(points), bool), np.zeros(len(points), bool), probability.copy()
    if not len(points):
        return kept, likely
    tree = cKDTree(points)
    widest_mm = float(fits.radius_mm.max())
    for n, point in enumerate(points):
        if taken[n]:
            continue
        around = np.array(tree.query_ball_point(point, widest_mm))
        holding = np.linalg.norm(points[around] - point, axis=1) < fits.radius_mm[around]
        better = (
            holding & (fits.radius_mm[around] > fits.radius_mm[n]) & (fits.misfit[around] < fits.misfit[n])
        )
        better &= ~taken[around] & (probability[around] >= ALMOST * probability[n])
        best = around[better][np.argmin(fits.misfit[around[better]])] if better.any() else n
        kept[best], likely[best] = True, max(probability[n], probability[best])
        for held in {n, int(best)}:
            taken[tree.query_ball_point(points[held], max(SAME_MM, float(fits.radius_mm[held])))] = True
    return kept, likely


def _sides(lungs: Lungs, index: NDArray[np.float64]) -> list[Side]:
    """Return the lung each place lies in, or the nearer one just outside."""
    label = lungs.sample(lungs.coarse, index, order=0)
    left = lungs.coarse == LEFT
    middle = (np.argwhere(left).mean(axis=0) + np.argwhere(lungs.coarse == RIGHT).mean(axis=0)) / 2
    towards_left = np.argwhere(left).mean(axis=0) - middle
    coarse = (index + 0.5) / np.asarray(lungs.block) - 0.5
    nearer_left = (coarse - middle) @ towards_left > 0
    return [
        Side.RIGHT if code == RIGHT else Side.LEFT if code == LEFT else Side.LEFT if nearer else Side.RIGHT
        for code, nearer in zip(label, nearer_left, strict=True)
    ]


def _attenuation(
    fits: Fits, n: int, image: NDArray[np.int16], spacing_mm: tuple[float, float, float]
) -> Attenuation:
    radius = fits.radius_mm[n]
    p, r, c = np.clip(np.rint(fits.index[n]).astype(int), 0, np.array(image.shape) - 1)
    core = image[max(p - 1, 0) : p + 2, max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
    if float(core.max()) > CALCIFIED_HU and fits.hu[n] > CALCIFIED_HU / 2:
        return Attenuation.CALCIFIED
    if fits.hu[n] < GROUND_GLASS_HU:
        return Attenuation.GROUND_GLASS
    if 2 * radius >= PART_SOLID_LEAST_MM and fits.misfit[n] > 0.15:
        reach = np.maximum(1, np.rint(0.8 * radius / np.asarray(spacing_mm)).astype(int))
        ends = [image[p, r, min(c + reach[2], image.shape[2] - 1)], image[p, r, max(c - reach[2], 0)]]
        ends += [image[p, min(r + reach[1], image.shape[1] - 1), c], image[p, max(r - reach[1], 0), c]]
        if float(core.mean()) > CORE_SOLID_HU and float(np.median(ends)) < RIM_HU:
            return Attenuation.PART_SOLID
    return Attenuation.SOLID


def _of_lesion(volume: Volume, lungs: Lungs, lesion: Lesion) -> Nodule:
    index = np.array([lesion.index])
    side = _sides(lungs, index)[0]
    edge_hu = min(AIR_HU, lesion.edge_hu)
    axes = axial_axes_mm(
        volume.hu, np.array(lesion.index), lesion.diameter_mm / 2, edge_hu, volume.spacing_mm
    )
    plane = int(np.clip(round(lesion.index[0]), 0, len(volume.hu) - 1))
    # The surface of a lump on the coarse grid is known to half a coarse voxel.
    error_mm = float(np.mean(lungs.coarse_spacing_mm)) / 2
    sunk_mm = SUNK * max(0.0, IN_AIR - lesion.in_air) * lesion.diameter_mm
    attenuation = Attenuation.CALCIFIED if lesion.mean_hu > CALCIFIED_HU else Attenuation.SOLID
    if lesion.mean_hu < GROUND_GLASS_HU:
        attenuation = Attenuation.GROUND_GLASS
    return Nodule(
        nodule_id=0,
        centre_mm=lesion.centre_mm,
        diameter_mm=Estimate(
            lesion.diameter_mm, lesion.diameter_mm - error_mm, lesion.diameter_mm + error_mm + sunk_mm
        ),
        volume_mm3=lesion.volume_mm3,
        mean_hu=lesion.mean_hu,
        attenuation=attenuation,
        roundness=min(1.0, lesion.diameter_mm / max(lesion.long_axis_mm, 1e-6)),
        probability=lesion.air_around,
        reported=True,
        side=side,
        zone=zone_of(lungs, side, lesion.index[0]),
        pleura_distance_mm=max(0.0, float(lungs.sample(lungs.depth_mm, index)[0])),
        sop_instance_uid=volume.sop_instance_uids[plane],
        slice_index=plane,
        long_axis_mm=axes[0] if axes else None,
        short_axis_mm=axes[1] if axes else None,
    )
