"""One synthetic chest CT with known truth: the patient, then the scanner."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imaging.phantom import raster, scanner
from imaging.phantom.anatomy import APEX_MM, CORTEX_MM, FLOOR_MM, Anatomy, build_anatomy, draw_physique
from imaging.phantom.nodules import NoduleSpec, NoduleTruth, place_nodules
from imaging.phantom.scanner import Kernel
from imaging.phantom.vessels import Branches, grow_branches
from records.model import Volume

__all__ = ["ChestSpec", "Patient", "Phantom", "chest", "draw_patient", "scan"]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

WALL_HU = 15.0  # of a bronchus
LUMEN_HU = -990.0
DRAWN_PLANE_MM = 1.3  # thicker slices are drawn as several planes and put together by the slice profile
CENTRE_MM = (0.0, 5.0, -35.0)  # the point of the patient put at the scanner's isocentre


@dataclass(frozen=True, slots=True)
class Breath:
    """How this scan's patient lies and breathes, against the patient's own frame."""

    depth: float = 0.0  # relative stretch towards the feet; -0.04 is a somewhat shallower breath
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_deg: float = 0.0  # about the body's length


@dataclass(frozen=True, slots=True)
class ChestSpec:
    """What to scan and how."""

    spacing_mm: tuple[float, float, float] = (1.25, 0.75, 0.75)  # plane, row, column
    matrix: int = 512
    slice_thickness_mm: float | None = None  # None: as thick as the slices are apart
    kernel: Kernel = Kernel.STANDARD
    noise_hu: float = 14.0  # standard deviation at the centre of the body
    blood_hu: float | None = None  # None: unenhanced, the patient's own
    parenchyma_hu: float = -868.0
    breath: Breath = field(default_factory=Breath)
    nodules: NoduleSpec | tuple[NoduleTruth, ...] = ()
    acquisition: int = 0  # the same patient scanned again gets other noise
    has_clean_air: bool = (
        False  # outside the patient: exactly air, as scanners that mask the background write it
    )
    margin_mm: float = 8.0  # scanned above the lungs and below


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """Anatomy and branches of one patient, in the patient's own frame; a scan places them."""

    seed: int
    anatomy: Anatomy
    branches: Branches


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A scan and its truth.

    Attributes
    ----------
    volume : Volume
    lungs : (planes, rows, columns) uint8 ndarray
        0 none, 1 right, 2 left; vessels, small bronchi and nodules inside, hilum and mediastinum outside.
    airways : (planes, rows, columns) bool ndarray
        Lumen of trachea and bronchi.
    vessels : (planes, rows, columns) bool ndarray
        Arteries and veins.
    nodules : tuple of NoduleTruth
        In the scan's frame (LPS mm).
    patient_nodules : tuple of NoduleTruth
        The same in the patient's own frame, for another scan of the same patient.
    """

    volume: Volume
    lungs: NDArray[np.uint8]
    airways: NDArray[np.bool_]
    vessels: NDArray[np.bool_]
    nodules: tuple[NoduleTruth, ...]
    patient_nodules: tuple[NoduleTruth, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Placement:
    """From the patient's own frame to the scanner's: point_mm = linear @ own + offset."""

    linear: FloatArray  # (3, 3)
    offset: FloatArray  # (3,)

    def points(self, own_mm: FloatArray) -> FloatArray:
        """Return (N, 3) points in the scanner's frame."""
        moved: FloatArray = np.sum(self.linear[None] * own_mm[:, None, :], axis=2) + self.offset
        return moved

    def pieces(self, own: FloatArray) -> FloatArray:
        """Return tubes in the scanner's frame; radii follow the mean scale."""
        scale = float(np.cbrt(np.linalg.det(self.linear)))
        return np.column_stack([self.points(own[:, :3]), self.points(own[:, 3:6]), scale * own[:, 6:]])


@dataclass(frozen=True, slots=True)
class _Grid:
    """The grid a scan is drawn on."""

    origin_mm: tuple[float, float, float]
    step_mm: tuple[float, float, float]
    shape: tuple[int, int, int]
    planes_per_slice: int


def draw_patient(seed: int) -> Patient:
    """Draw the patient that `seed` names: physique, organs, bronchi and vessels."""
    physique = draw_physique(np.random.default_rng([seed, 1]))
    anatomy = build_anatomy(physique, rng=np.random.default_rng([seed, 2]))
    return Patient(seed, anatomy, grow_branches(anatomy, rng=np.random.default_rng([seed, 3])))


def chest(spec: ChestSpec, *, seed: int) -> Phantom:
    """Return a scan of the patient that `seed` names, with its truth.

    Parameters
    ----------
    spec : ChestSpec
    seed : int
        Another seed is another patient. The same spec and seed give the same voxels.

    Returns
    -------
    Phantom
    """
    return scan(draw_patient(seed), spec)


def _placement(patient: Patient, spec: ChestSpec) -> _Placement:
    physique, breath = patient.anatomy.physique, spec.breath
    swell = 1 + np.array([0.15, 0.4, 1.0]) * breath.depth
    scale = np.array([physique.width, physique.depth, physique.height]) * swell
    c, s = np.cos(np.deg2rad(breath.turn_deg)), np.sin(np.deg2rad(breath.turn_deg))
    linear = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) * scale
    # The apex stays where it is: a breath moves the floor.
    fixed = np.array([CENTRE_MM[0], CENTRE_MM[1], APEX_MM])
    home = np.array([0.0, 0.0, APEX_MM - CENTRE_MM[2]]) + np.array(breath.shift_mm)
    return _Placement(linear, home - np.sum(linear * fixed, axis=1))


def _grid(spec: ChestSpec, placement: _Placement) -> _Grid:
    per_slice = max(1, int(np.ceil(spec.spacing_mm[0] / DRAWN_PLANE_MM)))
    step = (spec.spacing_mm[0] / per_slice, spec.spacing_mm[1], spec.spacing_mm[2])
    ends = placement.points(np.array([[0.0, 0.0, FLOOR_MM], [0.0, 0.0, APEX_MM]]))[:, 2]
    low, high = ends[0] - spec.margin_mm, ends[1] + spec.margin_mm
    slices = int(np.floor((high - low) / spec.spacing_mm[0])) + 1
    corner = -(spec.matrix - 1) / 2
    origin = (corner * step[2], corner * step[1], float(low))
    return _Grid(origin, step, ((slices - 1) * per_slice + 1, spec.matrix, spec.matrix), per_slice)


def _to_patient(grid: _Grid, placement: _Placement) -> FloatArray:
    """Return the (3, 4) map from (plane, row, column, 1) of the drawn grid to the patient's own frame."""
    inverse = np.linalg.inv(placement.linear)
    steps = np.zeros((3, 3))
    steps[2, 0], steps[1, 1], steps[0, 2] = grid.step_mm
    start = inverse @ (np.array(grid.origin_mm) - placement.offset)
    return np.column_stack([inverse @ steps, start])


def _draw_tissue(
    patient: Patient, spec: ChestSpec, grid: _Grid, to_patient: FloatArray
) -> tuple[Float32Array, NDArray[np.uint8]]:
    """Return the drawn volume before trees and nodules, and the sides of the lungs."""
    anatomy = patient.anatomy
    hu = np.full(grid.shape, raster.AIR_HU, np.float32)
    sides = np.zeros(grid.shape, np.uint8)
    fields = [
        np.ascontiguousarray(one, np.float32)
        for one in (
            anatomy.body,
            anatomy.muscle,
            anatomy.bone,
            anatomy.lungs,
            anatomy.oblique,
            anatomy.horizontal,
            anatomy.blood,
            anatomy.soft,
            anatomy.liver,
            anatomy.stomach,
            anatomy.texture,
        )
    ]
    blood = anatomy.physique.blood_hu if spec.blood_hu is None else spec.blood_hu
    edge = float(np.cbrt(np.prod(grid.step_mm)))
    raster.paint_tissue(
        hu, sides, to_patient, edge, np.array(anatomy.grid.low_mm), anatomy.grid.step_mm, *fields,
        spec.parenchyma_hu, 0.22, blood, CORTEX_MM, -22.0,
    )  # fmt: skip
    return hu, sides


def _covers(tubes: FloatArray, grid: _Grid, placement: _Placement) -> NDArray[np.uint8]:
    """Return the share of each drawn voxel inside a set of tubes, out of `raster.FULL`."""
    cover = np.zeros(grid.shape, np.uint8)
    raster.fill_tubes(cover, placement.pieces(tubes), np.array(grid.origin_mm), np.array(grid.step_mm))
    return cover


def _draw_nodules(hu: Float32Array, nodules: tuple[NoduleTruth, ...], grid: _Grid) -> None:
    for nodule in nodules:
        radius = nodule.diameter_mm / 2
        place = np.array(nodule.centre_mm)
        reach = np.array([radius + 2 * s for s in grid.step_mm])
        index = (place - np.array(grid.origin_mm))[::-1] / grid.step_mm
        first = np.maximum(np.floor(index - reach / grid.step_mm).astype(int), 0)
        last = np.maximum(np.ceil(index + reach / grid.step_mm).astype(int) + 1, 0)
        part = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        box = np.ascontiguousarray(hu[part])
        cover = np.zeros(box.shape, np.uint8)
        corner = np.array(grid.origin_mm) + (first * np.array(grid.step_mm))[::-1]
        ball = np.array([[*place, *place, radius, radius]])
        raster.fill_tubes(cover, ball, corner, np.array(grid.step_mm))
        raster.blend(box, cover, nodule.hu)
        hu[part] = box


def _noise_amplitude(shown: Float32Array, spec: ChestSpec) -> tuple[Float32Array, Float32Array]:
    """Return the noise's standard deviation by slice and, relative, by place: less at the body's rim."""
    rows = np.arange(spec.matrix) - (spec.matrix - 1) / 2
    radius = np.hypot(rows[:, None] * spec.spacing_mm[1], rows[None, :] * spec.spacing_mm[2])
    rim = 0.72 + 0.28 * np.exp(-((radius / 150.0) ** 2))
    mass = np.mean(shown[:, ::4, ::4], axis=(1, 2), dtype=np.float64) + 1000.0
    # Noise grows with the tissue in the beam; tube-current modulation takes most of it back.
    level = (mass / np.mean(mass)) ** 0.5
    return np.asarray(spec.noise_hu * level, np.float32), np.asarray(rim, np.float32)


def _finish(shown: Float32Array, spec: ChestSpec, grid: _Grid, seed: int) -> NDArray[np.int16]:
    """Add noise and round to whole HU."""
    outside = shown < raster.AIR_HU + 2.0 if spec.has_clean_air else None
    thickness = spec.slice_thickness_mm or spec.spacing_mm[0]
    level, rim = _noise_amplitude(shown, spec)
    scanner.add_noise(
        shown,
        level,
        rim,
        pixel_mm=(grid.step_mm[1], grid.step_mm[2]),
        psf_sigma_mm=spec.kernel.psf_sigma_mm,
        slice_overlap=thickness / spec.spacing_mm[0],
        rng=np.random.default_rng([seed, 5, spec.acquisition]),
    )
    if outside is not None:
        shown[outside] = raster.AIR_HU
    return np.clip(np.rint(shown), -1024, 3071).astype(np.int16)


def scan(patient: Patient, spec: ChestSpec) -> Phantom:
    """Scan a patient: the same patient can be scanned again, in another breath or with another kernel."""
    placement = _placement(patient, spec)
    grid = _grid(spec, placement)
    hu, sides = _draw_tissue(patient, spec, grid, _to_patient(grid, placement))
    branches = patient.branches
    blood = patient.anatomy.physique.blood_hu if spec.blood_hu is None else spec.blood_hu
    raster.blend(hu, _covers(branches.walls, grid, placement), WALL_HU)
    vessels = _covers(np.concatenate([branches.arteries, branches.veins]), grid, placement)
    raster.blend(hu, vessels, blood)
    if isinstance(spec.nodules, NoduleSpec):
        own = place_nodules(spec.nodules, patient.anatomy, rng=np.random.default_rng([patient.seed, 4]))
    else:
        own = spec.nodules
    places = placement.points(np.array([n.centre_mm for n in own]).reshape(-1, 3))
    nodules = tuple(
        NoduleTruth((float(p[0]), float(p[1]), float(p[2])), n.diameter_mm, n.hu, n.side)
        for n, p in zip(own, places, strict=True)
    )
    _draw_nodules(hu, nodules, grid)
    lumens = _covers(branches.lumens, grid, placement)
    raster.blend(hu, lumens, LUMEN_HU)
    thickness = spec.slice_thickness_mm or spec.spacing_mm[0]
    shown = scanner.blur(
        hu,
        planes_per_slice=grid.planes_per_slice,
        step_mm=grid.step_mm,
        thickness_mm=thickness,
        psf_sigma_mm=spec.kernel.psf_sigma_mm,
    )
    keep = slice(None, None, grid.planes_per_slice)
    count = len(shown)
    volume = Volume(
        hu=_finish(shown, spec, grid, patient.seed),
        origin_mm=grid.origin_mm,
        axes=np.eye(3)[::-1].copy(),
        spacing_mm=spec.spacing_mm,
        slice_thickness_mm=thickness,
        kernel=spec.kernel.value,
        series_uid="",
        frame_of_reference_uid="",
        sop_instance_uids=("",) * count,
    )
    half = raster.FULL // 2
    return Phantom(volume, sides[keep], lumens[keep] >= half, vessels[keep] >= half, nodules, own)
