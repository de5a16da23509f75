"""Disease that follows the secondary lobule: septa, lymphatics, and the airway at its centre.

Lobules are the cells of a random tessellation, 14 mm across (10 to 25 mm in life, Webb 2006,
Radiology 239:322). A plate seen through a Gaussian blur has a closed form, so a thickened septum of a
millimetre is drawn exactly on slices of any thickness.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.special import ndtr

from imaging.disease.canvas import Canvas, Mask, grown
from imaging.disease.miliary import nodules_at
from imaging.geometry import index_of, points_mm
from imaging.insertion import blurred_share

__all__ = ["Patches", "lymphangitic", "perilymphatic", "tree_in_bud"]

LOBULE_MM = 14.0
CUFF_MM = 0.8  # thickening along bronchi and vessels
BRANCH_STEP_MM = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Where disease that comes in patches is: smooth weights from 0 to 1 on the grid of the scan."""

    weight: NDArray[np.float32]

    @classmethod
    def drawn(
        cls, canvas: Canvas, count: int, radius_mm: tuple[float, float], apex_weight: float
    ) -> "Patches":
        """Draw round patches; `apex_weight` 1 favours the upper, 0 the lower lungs, 0.5 neither."""
        chest = canvas.chest
        favour = apex_weight * chest.heights + (1 - apex_weight) * (1 - chest.heights)
        allowed = (chest.labels > 0) & (
            canvas.rng.random(canvas.hu.shape, np.float32) < favour[:, None, None] ** 2
        )
        centres = index_of(chest.volume, canvas.sites(allowed, count, radius_mm[0] * 0.6))
        spacing = np.asarray(chest.volume.spacing_mm)
        weight = np.zeros(canvas.hu.shape, np.float32)
        for centre in centres:
            radius = canvas.rng.uniform(*radius_mm)
            window = canvas.window_around(centre[None], 1.6 * radius)
            grids = chest.coordinates_mm(window)
            squared = sum((g - c * d) ** 2 for g, c, d in zip(grids, centre, spacing, strict=True))
            local = np.clip(1.5 - np.sqrt(squared) / radius, 0, 1)
            weight[window] = np.maximum(weight[window], local)
        return cls(weight * (chest.labels > 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Septa:
    """Distance to the nearest septum, and how far its normal leans along the patient."""

    voxels: tuple[NDArray[np.intp], ...]
    distance_mm: NDArray[np.float32]
    lean: NDArray[np.float32]  # squared component of the normal across the slices


def _septa(canvas: Canvas, where: Mask) -> _Septa:
    chest = canvas.chest
    seeds = canvas.sites(chest.labels > 0, 6000, 0.8 * LOBULE_MM)
    voxels = np.nonzero(where)
    places = points_mm(chest.volume, np.stack(voxels, axis=1).astype(float))
    # No septum is flat: the lung is warped by some millimetres before it is parted.
    bend = [ndimage.gaussian_filter(canvas.rng.standard_normal((40, 40, 40)), 1.5) for _ in range(3)]
    at = ((places - places.min(axis=0)) / np.ptp(places, axis=0).max() * 38).T
    warp = np.stack([ndimage.map_coordinates(b / b.std() * 1.5, at, order=1) for b in bend], axis=1)
    distances, nearest = cKDTree(seeds).query(places + warp, k=2)
    across = seeds[nearest[:, 1]] - seeds[nearest[:, 0]]
    length = np.linalg.norm(across, axis=1)
    distance = (distances[:, 1] ** 2 - distances[:, 0] ** 2) / (2 * length)
    lean = ((across / length[:, None]) @ chest.volume.axes[0]) ** 2
    return _Septa(voxels, distance.astype(np.float32), lean.astype(np.float32))


def lymphangitic(canvas: Canvas, patches: Patches, thickness_mm: tuple[float, float], beads: int) -> None:
    """Thicken septa and cuffs, and string nodules along them as beads."""
    chest = canvas.chest
    involved = patches.weight > 0.15
    septa = _septa(canvas, involved)
    weight = patches.weight[septa.voxels]
    in_plane, across = chest.blur.in_plane_sigma_mm, canvas.profile_sigma_mm()
    sigma = np.sqrt(septa.lean * across**2 + (1 - septa.lean) * in_plane**2)
    half = weight * canvas.rng.uniform(*thickness_mm) / 2
    share = ndtr((half - septa.distance_mm) / sigma) + ndtr((half + septa.distance_mm) / sigma) - 1
    full = np.zeros(canvas.hu.shape, np.float32)
    full[septa.voxels] = share
    window = canvas.window_around(np.argwhere(involved[:, ::4, ::4]) * [1, 4, 4], 4.0)
    cuffs = _cuffs(canvas, window) * patches.weight[window]
    canvas.replace_tissue(np.maximum(full[window], cuffs), 20.0, window)
    canvas.add_haze(0.12 * patches.weight[window], -600.0, window)
    on = np.zeros(canvas.hu.shape, bool)
    on[septa.voxels] = (septa.distance_mm < 0.6) & (weight > 0.4)
    places = canvas.sites(on, beads, 4.0)
    canvas.put_many(nodules_at(canvas, places, (2.0, 3.8), (-100.0, 50.0)))


def _cuffs(canvas: Canvas, window: tuple[slice, ...]) -> NDArray[np.float32]:
    """Return the image of vessels and bronchi thickened all around, of those inside the lungs."""
    vessels = canvas.chest.vessels[window]
    return canvas.blurred(grown(canvas, vessels, CUFF_MM) & ~vessels)


def perilymphatic(canvas: Canvas, patches: Patches, count: int) -> None:
    """Put clusters of nodules along pleura, fissures and bronchovascular bundles (sarcoidosis)."""
    chest = canvas.chest
    dense = canvas.rng.random(canvas.hu.shape, np.float32) < patches.weight**2
    pleural = dense & (chest.depth_mm > 0.3) & (chest.depth_mm < 3.0)
    fissural = dense & (_fissure_distance_mm(canvas) < 1.2)
    bundles = dense & grown(canvas, chest.vessels, 1.5) & (chest.depth_mm > 5.0)
    for mask, part in ((pleural, 0.35), (fissural, 0.3), (bundles, 0.35)):
        places = canvas.sites(mask, round(part * count), 2.6)
        canvas.put_many(nodules_at(canvas, places, (1.8, 4.0), (-100.0, 50.0), 1.4))


def _fissure_distance_mm(canvas: Canvas) -> NDArray[np.float32]:
    """Return the distance to an oblique fissure: from high behind to low in front, as anatomy has it."""
    chest = canvas.chest
    p, r, c = chest.coordinates_mm()
    up = chest.volume.axes[0] @ np.array([0.0, -0.66, 0.75])
    down = chest.volume.axes[1] @ np.array([0.0, -0.66, 0.75])
    out = np.full(canvas.hu.shape, 99.0, np.float32)
    for label in (1, 2):
        lung = chest.labels == label
        middle = np.argwhere(lung[::4, ::4, ::4]).mean(axis=0) * 4 * np.asarray(chest.volume.spacing_mm)
        bow = 4.0 * np.sin((c - middle[2]) / 25.0)
        here = np.abs((p - middle[0]) * up + (r - middle[1]) * down + bow)
        out[lung] = np.broadcast_to(here, out.shape)[lung]
    return out


def tree_in_bud(canvas: Canvas, patches: Patches, count: int) -> None:
    """Fill small airways: in each lobule a stem that forks into twigs with buds, none near the pleura."""
    chest = canvas.chest
    inside = (chest.depth_mm > 6.0) & ~chest.vessels
    inside &= canvas.rng.random(inside.shape, np.float32) < patches.weight**2
    for place in index_of(chest.volume, canvas.sites(inside, count, 8.0)):
        _put_tree(canvas, place)


def _put_tree(canvas: Canvas, place: NDArray[np.float64]) -> None:
    rng, chest = canvas.rng, canvas.chest
    spacing = np.asarray(chest.volume.spacing_mm)
    stem = rng.standard_normal(3)
    stem /= np.linalg.norm(stem)
    origin = place * spacing
    pieces = [(origin - stem * rng.uniform(3, 6), origin, rng.uniform(0.6, 0.9), 0.0)]
    for _ in range(int(rng.integers(3, 6))):
        twig = stem * 0.5 + rng.standard_normal(3) * 0.8
        twig *= rng.uniform(2.5, 5.0) / np.linalg.norm(twig)
        fork = origin + stem * rng.uniform(-1.5, 1.0)
        pieces.append((fork, fork + twig, rng.uniform(0.5, 0.8), rng.uniform(0.9, 1.6)))
    ends = np.array([end for piece in pieces for end in piece[:2]])
    margin_mm = 2.0 + 3 * chest.blur.in_plane_sigma_mm + 0.75 * chest.blur.slice_thickness_mm
    window = canvas.window_around(ends / spacing, margin_mm)
    corner = np.array([s.start for s in window]) * spacing

    def body(p: NDArray[np.float64], r: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
        depth = np.full(np.broadcast_shapes(p.shape, r.shape, c.shape), -9.0)
        for start, end, radius, bud in pieces:
            depth = np.maximum(depth, _capsule(p, r, c, start - corner, end - corner, radius, bud))
        return np.clip(0.5 + depth / 0.3, 0, 1)

    shape = tuple(s.stop - s.start for s in window)
    share = blurred_share(body, shape, np.zeros(3), spacing, chest.blur).astype(np.float32)
    canvas.replace_tissue(share, float(rng.uniform(-60, 40)), window)


def _capsule(
    p: NDArray[np.float64],
    r: NDArray[np.float64],
    c: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
    bud: float,
) -> NDArray[np.float64]:
    """Return how deep places lie in a twig with a bud at its end (negative outside)."""
    along = end - start
    t = ((p - start[0]) * along[0] + (r - start[1]) * along[1] + (c - start[2]) * along[2]) / (along @ along)
    t = np.clip(t, 0, 1)
    away = np.sqrt(
        (p - start[0] - t * along[0]) ** 2
        + (r - start[1] - t * along[1]) ** 2
        + (c - start[2] - t * along[2]) ** 2
    )
    to_end = np.sqrt((p - end[0]) ** 2 + (r - end[1]) ** 2 + (c - end[2]) ** 2)
    deep: NDArray[np.float64] = np.maximum(radius - away, bud - to_end)
    return deep
