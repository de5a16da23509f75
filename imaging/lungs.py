"""Right and left lung: airways out, vessels and nodules at the pleura in.

The work is done on a grid of about 2.5 mm, where a chest is a third of a
million voxels, and brought back to the scan's own grid at the end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from imaging.distance import closed, distance_mm
from imaging.field_of_view import cut_beside, share_cut
from imaging.filters import block_mean
from imaging.growing import grow_below, reaches_border
from records.errors import Reason, ScreeningError
from records.model import Side, Volume

__all__ = ["LEFT", "RIGHT", "Lungs", "segment_lungs"]

RIGHT, LEFT = 1, 2
SIDES = {Side.RIGHT: RIGHT, Side.LEFT: LEFT}

GRID_MM = 2.5
AIR_HU = -400.0  # halfway between parenchyma (-850) and soft tissue (+50)
CLOSING_MM = 12.0  # bridges a vessel's mouth or a 10 mm nodule at the pleura, not the mediastinum
AIRWAY_HU = tuple(range(-970, -860, 10))  # thresholds tried for the airways, darkest first
AIRWAY_LEAK_ML = 30.0  # one step of 10 HU adds a few ml of bronchi; more is the lung itself
MAX_AIRWAY_ML = 160.0
TRACHEA_MM2 = (60.0, 900.0)  # cross-section: 10 to 30 mm wide, partial volume at the edge lost
MIN_PART_SHARE = 0.05  # of the largest piece of air; smaller pieces are bowel, oesophagus or a bleb apart
BOTH_MM = 180.0  # across the chest; one lung of an adult is narrower, two are wider
GAS_HU = -940.0  # free gas; the emptiest emphysematous lung still holds some tissue
MIN_TOTAL_ML = 1200.0  # smaller than both lungs of an adult after full expiration
MAX_TOTAL_ML = 11000.0
MIN_SIDE_SHARE = 0.10  # a lung under a tenth of the total is collapsed, removed or not a lung
OUTSIDE_MM = 10.0  # how far from the lungs depth is told
BESIDE_SHARE = 0.6  # of a lung's largest cross-section: 3 to 10 % of it lies beyond (five scans, cropped)
TOLD_SHARE = 0.05  # worth a note
CUT_SHARE = 0.15  # of the largest cross-section, met at the first or last plane: the lung goes on beyond


@dataclass(frozen=True, slots=True, eq=False)
class Lungs:
    """The lungs on the coarse grid they were found on.

    Attributes
    ----------
    coarse : (p, r, c) uint8 ndarray
        0 outside, 1 right, 2 left, on blocks of `block` voxels; vessels and nodules inside,
        trachea and main bronchi outside.
    aerated : (p, r, c) bool ndarray
        The voxels of `coarse` that hold mostly air, before vessels and nodules were added.
    depth_mm : (p, r, c) float32 ndarray
        Signed distance to the lung's surface, positive inside.
    block : tuple of int
        Voxels of the scan in one coarse voxel, along each axis.
    shape : tuple of int
        Of the scan.
    spacing_mm : tuple of float
        Distance between voxels of the scan, mm.
    beside_share : float
        How much is cut off at the sides of the field of view: the area of the cut over the lung's largest
        cross-section that lies alike, the larger of both lungs'.
    """

    coarse: NDArray[np.uint8]
    aerated: NDArray[np.bool_]
    depth_mm: NDArray[np.float32]
    block: tuple[int, int, int]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    beside_share: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the verdict has to know of them, in sentences."""
        if self.beside_share < TOLD_SHARE:
            return ()
        return (
            "the sides of the field of view cut off some lung, which is not judged: the cut is "
            f"{100 * self.beside_share:.0f} % of a lung's largest cross-section",
        )

    @property
    def coarse_spacing_mm(self) -> tuple[float, float, float]:
        """Distance between coarse voxels, mm."""
        p, r, c = (b * s for b, s in zip(self.block, self.spacing_mm, strict=True))
        return p, r, c

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The labels on the grid of the scan, (planes, rows, columns) uint8."""
        fine = self.coarse
        for axis in (2, 1, 0):  # the last copies whole planes
            index = np.minimum(np.arange(self.shape[axis]) // self.block[axis], fine.shape[axis] - 1)
            fine = np.take(fine, index, axis=axis)
        return fine

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The part of the scan that holds both lungs."""
        spans = []
        for axis, (block, size) in enumerate(zip(self.block, self.shape, strict=True)):
            others = tuple(a for a in range(3) if a != axis)
            filled = np.flatnonzero(self.coarse.any(axis=others))
            spans.append(slice(int(filled[0]) * block, min(int(filled[-1] + 1) * block, size)))
        return spans[0], spans[1], spans[2]

    def volume_ml(self, label: int) -> float:
        """Volume of one lung."""
        return float(np.count_nonzero(self.coarse == label) * np.prod(self.coarse_spacing_mm) / 1000)

    def sample(
        self, field: NDArray[np.generic], index: NDArray[np.float64], order: int = 1
    ) -> NDArray[np.float64]:
        """Look a coarse field up at (N, 3) indices of the scan; outside it continues as at the edge."""
        coarse = (np.asarray(index, float) + 0.5) / np.asarray(self.block) - 0.5
        return np.asarray(
            ndimage.map_coordinates(field.astype(np.float32), coarse.T, order=order, mode="nearest"),
            np.float64,
        )


def segment_lungs(volume: Volume) -> Lungs:
    """Find the right and the left lung.

    Raises
    ------
    ScreeningError
        `lungs_not_found`, `lungs_incomplete` (cut off by the first or last slice, or beside) or
        `lungs_implausible` (volume, one lung missing).
    """
    spacing_mm = np.asarray(volume.spacing_mm)
    p, r, c = (max(1, round(GRID_MM / step)) for step in volume.spacing_mm)
    block = (p, r, c)
    coarse_hu = block_mean(volume.hu, block)
    step_mm = spacing_mm * block
    voxel_ml = float(np.prod(step_mm)) / 1000

    air, body = _air_and_body(coarse_hu < AIR_HU)
    if not air.any():
        raise ScreeningError(Reason.LUNGS_NOT_FOUND, "no air was found inside the body")
    leftward_mm = _leftward_mm(volume, block, body)
    labels, sides = _label(coarse_hu, air, leftward_mm, step_mm)
    beside = np.zeros(air.shape, bool)
    # Each round may join air that was too small to be lung by itself, with more of it over and under.
    while (more := cut_beside(coarse_hu, ~air & ~body & ~beside, labels > 0, step_mm)).any():
        beside |= more
        labels, sides = _label(coarse_hu, air | beside, leftward_mm, step_mm)
    beside_share = share_cut(labels, reaches_border(~body & (labels == 0))) if beside.any() else 0.0
    _check(labels, beside_share, voxel_ml)
    depth_mm = _signed_distance_mm(labels > 0, step_mm)
    shape = (volume.hu.shape[0], volume.hu.shape[1], volume.hu.shape[2])
    return Lungs(labels, sides > 0, depth_mm, block, shape, volume.spacing_mm, beside_share)


def _label(
    hu: NDArray[np.float32],
    air: NDArray[np.bool_],
    leftward_mm: NDArray[np.float64],
    step_mm: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Label the lungs 1 right, 2 left: with what they enclose, and the air alone."""
    airways = _airways(hu, air, step_mm)
    lobes = air & ~ndimage.binary_dilation(airways, iterations=1)
    sides = _right_and_left(hu, lobes, leftward_mm, float(np.prod(step_mm)) / 1000)
    labels = np.zeros(air.shape, np.uint8)
    for label in (RIGHT, LEFT):
        whole = _close(sides == label, step_mm)
        labels[whole & (labels == 0) & ~airways & (sides != (RIGHT + LEFT - label))] = label
    return labels, sides


def _air_and_body(air: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Part the air inside the body from the room, which reaches its plane's border; return both."""
    outside = reaches_border(air)
    return air & ~outside, ~outside


def _trachea(
    hu: NDArray[np.float32], air: NDArray[np.bool_], step_mm: NDArray[np.float64]
) -> tuple[int, int, int] | None:
    """Return a voxel of the trachea: the longest chain of small dark discs near the middle, or None."""
    pixel_mm2 = step_mm[1] * step_mm[2]
    middle = np.argwhere(air.any(axis=0)).mean(axis=0)
    best: tuple[int, tuple[int, int, int]] | None = None
    chain = 0
    place: NDArray[np.float64] | None = None
    for plane in range(air.shape[0] - 1, air.shape[0] // 3, -1):
        parts, _count = ndimage.label(air[plane] & (hu[plane] < -700))
        nearest: tuple[float, NDArray[np.float64]] | None = None
        for part, window in enumerate(ndimage.find_objects(parts), start=1):
            inside = parts[window] == part
            height, width = inside.shape
            area_mm2 = inside.sum() * pixel_mm2
            if not TRACHEA_MM2[0] <= area_mm2 <= TRACHEA_MM2[1] or inside.sum() < 0.5 * height * width:
                continue
            centre = np.array([(s.start + s.stop - 1) / 2 for s in window])
            anchor = middle if place is None else place
            off_mm = float(np.hypot(*((centre - anchor) * step_mm[1:])))
            if off_mm < (60.0 if place is None else 8.0) and (nearest is None or off_mm < nearest[0]):
                nearest = (off_mm, centre)
        if nearest is None:
            chain, place = 0, None
            continue
        chain, place = chain + 1, nearest[1]
        if best is None or chain > best[0]:
            row, column = np.rint(place).astype(int)
            best = (chain, (plane, int(row), int(column)))
    if best is None or best[0] * step_mm[0] < 15.0:
        return None
    return best[1]


def _airways(
    hu: NDArray[np.float32], air: NDArray[np.bool_], step_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Grow trachea and main bronchi from the trachea until the threshold leaks into the lung."""
    none = np.zeros(air.shape, bool)
    seed = _trachea(hu, air, step_mm)
    if seed is None:
        return none
    voxel_ml = float(np.prod(step_mm)) / 1000
    grown, grown_ml = none, 0.0
    for threshold in AIRWAY_HU:
        if not (air[seed] and hu[seed] < threshold):
            continue
        trial, size = grow_below(hu, air, threshold, seed, int(MAX_AIRWAY_ML / voxel_ml) + 1)
        trial_ml = size * voxel_ml
        if trial_ml > MAX_AIRWAY_ML or (grown_ml > 10 and trial_ml > grown_ml + AIRWAY_LEAK_ML):
            break
        grown, grown_ml = trial, trial_ml
    return grown


def _leftward_mm(volume: Volume, block: tuple[int, int, int], body: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far to the left of the body's middle each coarse voxel lies."""
    total = np.zeros((1, 1, 1))
    for axis in range(3):
        step = volume.axes[axis, 0] * volume.spacing_mm[axis] * block[axis]
        others = tuple(a for a in range(3) if a != axis)
        total = total + np.expand_dims(np.arange(body.shape[axis]) * step, others)
    across = np.broadcast_to(total, body.shape)
    return np.asarray(across - np.median(across[body]), np.float64)


def _right_and_left(
    hu: NDArray[np.float32], lobes: NDArray[np.bool_], leftward_mm: NDArray[np.float64], voxel_ml: float
) -> NDArray[np.uint8]:
    """Label the air of the lungs 1 right, 2 left; lungs that touch are parted where they are thinnest."""
    parts, count = ndimage.label(lobes)
    if count == 0:
        raise ScreeningError(Reason.LUNGS_NOT_FOUND, "no air-filled lung was found inside the chest")
    sizes_ml = np.bincount(parts.ravel(), minlength=count + 1) * voxel_ml
    sizes_ml[0] = 0
    # What runs from the first slice to the last is the hollow of the couch, if there is a lung beside it.
    ending_ml = sizes_ml.copy()
    ending_ml[np.intersect1d(parts[0], parts[-1])] = 0
    if ending_ml.max() >= MIN_TOTAL_ML / 4:
        sizes_ml = ending_ml
    large = np.flatnonzero(sizes_ml >= max(MIN_PART_SHARE * sizes_ml.max(), voxel_ml))
    means_hu = ndimage.mean(hu, parts, large)
    kept = [
        part for part, hu in zip(large, means_hu, strict=True) if hu > GAS_HU or part == sizes_ml.argmax()
    ]
    sides = np.zeros(lobes.shape, np.uint8)
    for part in kept:
        inside = parts == part
        across_mm = leftward_mm[inside]
        left_share = float((across_mm > 0).mean())
        # One lung in the middle of what a narrow field of view shows of the body is still one.
        two = np.ptp(across_mm) >= BOTH_MM and sizes_ml[part] > MIN_TOTAL_ML / 2
        if 0.2 < left_share < 0.8 and two:
            window = ndimage.find_objects(inside.view(np.uint8))[0]
            here = inside[window]
            sides[window][here] = _part_in_two(here, leftward_mm[window])[here]
        else:
            sides[inside] = LEFT if left_share >= 0.5 else RIGHT
    return sides


def _part_in_two(both: NDArray[np.bool_], leftward_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Part two lungs that touch: erode until they separate, then give each voxel its nearer one."""
    core = both
    for _ in range(6):
        core = ndimage.binary_erosion(core)
        parts, count = ndimage.label(core)
        if count < 2:
            continue
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        first, second = np.argsort(sizes)[-2:]
        if sizes[first] < 0.2 * sizes[second]:
            continue
        seeds = np.zeros(both.shape, np.uint8)
        for part in (first, second):
            inside = parts == part
            seeds[inside] = LEFT if leftward_mm[inside].mean() > 0 else RIGHT
        if {RIGHT, LEFT} <= set(np.unique(seeds).tolist()):
            _, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
            parted: NDArray[np.uint8] = seeds[tuple(nearest)]
            return parted
    return np.where(leftward_mm > 0, LEFT, RIGHT).astype(np.uint8)


def _close(lung: NDArray[np.bool_], step_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Close the surface with a ball of `CLOSING_MM` and fill what lies enclosed."""
    if not lung.any():
        return lung
    window = ndimage.find_objects(lung.astype(np.uint8))[0]
    out = np.zeros(lung.shape, bool)
    out[window] = ndimage.binary_fill_holes(closed(lung[window], step_mm, CLOSING_MM))
    return out


def _signed_distance_mm(mask: NDArray[np.bool_], step_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the distance to the surface, positive inside, counted from the faces of the voxels.

    Beyond `OUTSIDE_MM` it is not followed.
    """
    half = float(step_mm.min()) / 2
    window = tuple(
        slice(max(s.start - int(OUTSIDE_MM / d) - 1, 0), s.stop + int(OUTSIDE_MM / d) + 1)
        for s, d in zip(ndimage.find_objects(mask.view(np.uint8))[0], step_mm, strict=True)
    )
    here = mask[window]
    inside = distance_mm(here, step_mm)
    outside = distance_mm(~here, step_mm, OUTSIDE_MM + half)
    signed = np.full(mask.shape, -OUTSIDE_MM, np.float32)
    signed[window] = np.maximum(np.where(here, inside - half, half - outside), -OUTSIDE_MM)
    return signed


def _check(labels: NDArray[np.uint8], beside_share: float, voxel_ml: float) -> None:
    """Refuse lungs that are cut off or can't be lungs."""
    right_ml, left_ml = (float(np.count_nonzero(labels == side) * voxel_ml) for side in (RIGHT, LEFT))
    total_ml = right_ml + left_ml
    if total_ml < MIN_TOTAL_ML / 4:
        raise ScreeningError(
            Reason.LUNGS_NOT_FOUND,
            f"only {total_ml:.0f} ml of air was found inside the chest, too little for lungs",
        )
    areas = np.count_nonzero(labels, axis=(1, 2))
    for end, name in ((-1, "upper"), (0, "lower")):
        share = float(areas[end] / areas.max())
        if share > CUT_SHARE:
            raise ScreeningError(
                Reason.LUNGS_INCOMPLETE,
                f"the lungs are cut off at the {name} end of the scan: its last slice still shows "
                f"{100 * share:.0f} % of their largest cross-section",
            )
    if beside_share > BESIDE_SHARE:
        raise ScreeningError(
            Reason.LUNGS_INCOMPLETE,
            "the lungs are cut off at the sides of the field of view: the cut is "
            f"{100 * beside_share:.0f} % of a lung's largest cross-section",
        )
    if not MIN_TOTAL_ML <= total_ml <= MAX_TOTAL_ML:
        raise ScreeningError(
            Reason.LUNGS_IMPLAUSIBLE,
            f"the lungs measure {total_ml:.0f} ml, expected {MIN_TOTAL_ML:.0f} to {MAX_TOTAL_ML:.0f} ml",
        )
    if min(right_ml, left_ml) == 0:
        raise ScreeningError(
            Reason.LUNGS_IMPLAUSIBLE,
            f"one lung was found, of {total_ml:.0f} ml: the other is collapsed, removed or outside "
            "the field of view",
        )
    for name, side_ml in (("right", right_ml), ("left", left_ml)):
        if side_ml < MIN_SIDE_SHARE * total_ml:
            raise ScreeningError(
                Reason.LUNGS_IMPLAUSIBLE,
                f"the {name} lung measures {side_ml:.0f} of {total_ml:.0f} ml: collapsed or removed",
            )
