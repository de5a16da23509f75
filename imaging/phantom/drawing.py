"""Draw a patient on a scanner's grid, before the scanner blurs it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.phantom import raster
from imaging.phantom.anatomy import APEX_MM, CORTEX_MM, FLOOR_MM, Anatomy, Physique
from imaging.phantom.fields import fog
from imaging.phantom.nodules import NoduleTruth
from imaging.phantom.spec import Breath, ChestSpec

__all__ = [
    "DrawnGrid",
    "Placement",
    "cover_of_tubes",
    "draw_ball",
    "draw_couch",
    "draw_tissue",
    "grid_of",
    "parenchyma_texture",
]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
CoverArray = NDArray[np.uint8]

DRAWN_PLANE_MM = 1.3  # thicker slices are drawn as several planes and put together by the slice profile
CENTRE_MM = (0.0, 5.0, -35.0)  # the point of the patient put at the scanner's isocentre
GRAVITY_HU_PER_MM = 0.22  # the dependent lung is denser, some 40 HU from front to back (Verschakelen 1993)
GAS_LEVEL_MM = -22.0  # the stomach holds gas in front of this
EMPHYSEMA_HOLE_MM = 8.0
EMPHYSEMA_HU = -985.0  # the usual line is -950 (Gevenois 1996)
COUCH_SKIN_HU = -150.0
COUCH_FOAM_HU = -960.0


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """From the patient's own frame to the scanner's: point_mm = linear @ own + offset."""

    linear: FloatArray  # (3, 3)
    offset: FloatArray  # (3,)

    @classmethod
    def of(cls, physique: Physique, breath: Breath) -> "Placement":
        """Return where a patient of this size lies, breathing like this."""
        swell = 1 + np.array([0.15, 0.4, 1.0]) * breath.depth
        scale = np.array([physique.width, physique.depth, physique.height]) * swell
        c, s = np.cos(np.deg2rad(breath.turn_deg)), np.sin(np.deg2rad(breath.turn_deg))
        linear = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) * scale
        # The apex stays where it is: a breath moves the floor.
        fixed = np.array([CENTRE_MM[0], CENTRE_MM[1], APEX_MM])
        home = np.array([0.0, 0.0, APEX_MM - CENTRE_MM[2]]) + np.array(breath.shift_mm)
        return cls(linear, home - np.sum(linear * fixed, axis=1))

    def points(self, own_mm: FloatArray) -> FloatArray:
        """Return (N, 3) points in the scanner's frame."""
        return np.asarray(np.sum(self.linear[None] * own_mm[:, None, :], axis=2) + self.offset)

    def pieces(self, own: FloatArray) -> FloatArray:
        """Return tubes in the scanner's frame; radii follow the mean scale."""
        scale = float(np.cbrt(np.linalg.det(self.linear)))
        return np.column_stack([self.points(own[:, :3]), self.points(own[:, 3:6]), scale * own[:, 6:]])


@dataclass(frozen=True, slots=True)
class DrawnGrid:
    """The grid a scan is drawn on; thick slices are drawn as several planes."""

    origin_mm: tuple[float, float, float]  # (x, y, z) of the first voxel
    step_mm: tuple[float, float, float]  # plane, row, column
    shape: tuple[int, int, int]
    planes_per_slice: int

    def to_patient(self, placement: Placement) -> FloatArray:
        """Return the (3, 4) map from (plane, row, column, 1) to the patient's own frame."""
        inverse = np.linalg.inv(placement.linear)
        steps = np.zeros((3, 3))
        steps[2, 0], steps[1, 1], steps[0, 2] = self.step_mm
        start = inverse @ (np.array(self.origin_mm) - placement.offset)
        return np.column_stack([inverse @ steps, start])


def grid_of(spec: ChestSpec, placement: Placement) -> DrawnGrid:
    """Return the grid that covers the lungs, centred on the isocentre."""
    per_slice = max(1, int(np.ceil(spec.spacing_mm[0] / DRAWN_PLANE_MM)))
    step = (spec.spacing_mm[0] / per_slice, spec.spacing_mm[1], spec.spacing_mm[2])
    ends = placement.points(np.array([[0.0, 0.0, FLOOR_MM], [0.0, 0.0, APEX_MM]]))[:, 2]
    low, high = ends[0] - spec.margin_mm, ends[1] + spec.margin_mm
    slices = int(np.floor((high - low) / spec.spacing_mm[0])) + 1
    corner = -(spec.matrix - 1) / 2
    origin = (corner * step[2], corner * step[1], float(low))
    return DrawnGrid(origin, step, ((slices - 1) * per_slice + 1, spec.matrix, spec.matrix), per_slice)


def parenchyma_texture(anatomy: Anatomy, spec: ChestSpec, seed: int) -> FloatArray:
    """Return the unevenness of the parenchyma, HU: the patient's own, with emphysema if asked for."""
    if spec.emphysema <= 0:
        return anatomy.texture
    z = anatomy.grid.axes_mm[2]
    holes = fog(anatomy.grid, EMPHYSEMA_HOLE_MM, np.random.default_rng([seed, 7])) + z / 80.0
    is_lung = anatomy.lungs < 0
    edge = np.quantile(holes[is_lung], 1 - spec.emphysema)
    depth = np.where(is_lung, np.clip((holes - edge) / 0.2, 0, 1), 0.0)
    return np.asarray(anatomy.texture + depth * (EMPHYSEMA_HU - spec.parenchyma_hu))


def draw_tissue(
    anatomy: Anatomy, spec: ChestSpec, grid: DrawnGrid, placement: Placement, texture: FloatArray
) -> tuple[Float32Array, CoverArray]:
    """Return the drawn HU before trees and nodules, and the side of the lung each voxel is in (0, 1, 2)."""
    hu = np.full(grid.shape, raster.AIR_HU, np.float32)
    sides = np.zeros(grid.shape, np.uint8)
    a = anatomy
    fields = (a.body, a.muscle, a.bone, a.lungs, a.oblique, a.horizontal, a.blood, a.soft, a.liver, a.stomach)
    raster.paint_tissue(
        hu,
        sides,
        grid.to_patient(placement),
        float(np.cbrt(np.prod(grid.step_mm))),
        np.array(a.grid.low_mm),
        a.grid.step_mm,
        *(np.ascontiguousarray(one, np.float32) for one in (*fields, texture)),
        spec.parenchyma_hu,
        GRAVITY_HU_PER_MM,
        a.physique.blood_hu if spec.blood_hu is None else spec.blood_hu,
        CORTEX_MM,
        GAS_LEVEL_MM,
    )
    return hu, sides


def cover_of_tubes(tubes: FloatArray, grid: DrawnGrid, placement: Placement) -> CoverArray:
    """Return the share of each drawn voxel inside a set of tubes, out of `raster.FULL`."""
    cover = np.zeros(grid.shape, np.uint8)
    raster.fill_tubes(cover, placement.pieces(tubes), np.array(grid.origin_mm), np.array(grid.step_mm))
    return cover


def draw_ball(hu: Float32Array, ball: NoduleTruth, grid: DrawnGrid) -> None:
    """Replace what is in a ball by the ball's own HU, voxels that it fills in part in part."""
    radius, step = ball.diameter_mm / 2, np.array(grid.step_mm)
    place, origin = np.array(ball.centre_mm), np.array(grid.origin_mm)
    index = (place - origin)[::-1] / step
    first = np.maximum(np.floor(index - radius / step - 1).astype(int), 0)
    last = np.maximum(np.ceil(index + radius / step + 1).astype(int) + 1, 0)
    part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    box = np.ascontiguousarray(hu[part])
    cover = np.zeros(box.shape, np.uint8)
    pieces = np.array([[*place, *place, radius, radius]])
    raster.fill_tubes(cover, pieces, origin + (first * step)[::-1], step)
    raster.blend(box, cover, ball.hu)
    hu[part] = box


def draw_couch(shown: Float32Array, grid: DrawnGrid) -> None:
    """Draw the couch under the patient, in place: a curved skin over foam, the same in every slice."""
    rows = grid.origin_mm[1] + grid.step_mm[1] * np.arange(grid.shape[1])[:, None]
    columns = grid.origin_mm[0] + grid.step_mm[2] * np.arange(grid.shape[2])[None, :]
    is_body = np.any(shown[:, :, grid.shape[2] // 2] > -500.0, axis=0)
    back = float(rows[np.flatnonzero(is_body)[-1], 0]) if is_body.any() else 120.0
    depth = rows - (back + 4.0 - 0.0009 * columns**2)
    inside = np.minimum(np.minimum(depth, 42.0 - depth - 0.0002 * columns**2), 205.0 - np.abs(columns))
    foam = np.clip(inside / grid.step_mm[1] + 0.5, 0, 1)
    skin = foam - np.clip((inside - 2.0) / grid.step_mm[1] + 0.5, 0, 1)
    couch = (COUCH_FOAM_HU - raster.AIR_HU) * (foam - skin) + (COUCH_SKIN_HU - raster.AIR_HU) * skin
    for image in shown:
        image += np.where(image < -990.0, couch, 0.0).astype(np.float32)
