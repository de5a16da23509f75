"""One synthetic chest CT with known truth: the patient, then the scanner."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imaging.phantom import raster, scanner
from imaging.phantom.anatomy import Anatomy, build_anatomy, draw_physique
from imaging.phantom.drawing import (
    DrawnGrid,
    Placement,
    cover_of_tubes,
    draw_ball,
    draw_couch,
    draw_tissue,
    grid_of,
    parenchyma_texture,
)
from imaging.phantom.nodules import NoduleSpec, NoduleTruth, place_nodules
from imaging.phantom.spec import ChestSpec
from imaging.phantom.vessels import Branches, grow_branches
from records.model import Volume

__all__ = ["Patient", "Phantom", "chest", "draw_patient", "scan"]

Float32Array = NDArray[np.float32]

WALL_HU = 15.0  # of a bronchus
LUMEN_HU = -990.0
PADDING_HU = -1024.0  # outside the reconstructed field


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
        Arteries and veins, where they fill at least half a voxel.
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

    Raises
    ------
    ValueError
        If the nodules asked for do not fit into the lungs.
    """
    return scan(draw_patient(seed), spec)


def scan(patient: Patient, spec: ChestSpec) -> Phantom:
    """Scan a patient; the same one can be scanned again, in another breath or with another kernel."""
    placement = Placement.of(patient.anatomy.physique, spec.breath)
    grid = grid_of(spec, placement)
    own = _nodules(patient, spec)
    nodules = _placed(own, placement)
    texture = parenchyma_texture(patient.anatomy, spec, patient.seed)
    drawn, sides = draw_tissue(patient.anatomy, spec, grid, placement, texture)
    branches = patient.branches
    raster.blend(drawn, cover_of_tubes(branches.walls, grid, placement), WALL_HU)
    vessels = cover_of_tubes(np.concatenate([branches.arteries, branches.veins]), grid, placement)
    blood_hu = patient.anatomy.physique.blood_hu if spec.blood_hu is None else spec.blood_hu
    raster.blend(drawn, vessels, blood_hu)
    for nodule in nodules:
        draw_ball(drawn, nodule, grid)
    lumens = cover_of_tubes(branches.lumens, grid, placement)
    raster.blend(drawn, lumens, LUMEN_HU)
    sampled = slice(None, None, grid.planes_per_slice)
    half = raster.FULL // 2
    return Phantom(
        volume=_volume(_imaged(drawn, spec, grid, patient.seed), spec, grid),
        lungs=sides[sampled],
        airways=lumens[sampled] >= half,
        vessels=vessels[sampled] >= half,
        nodules=nodules,
        patient_nodules=own,
    )


def _nodules(patient: Patient, spec: ChestSpec) -> tuple[NoduleTruth, ...]:
    """Return the nodules to draw, in the patient's own frame."""
    if isinstance(spec.nodules, NoduleSpec):
        return place_nodules(spec.nodules, patient.anatomy, rng=np.random.default_rng([patient.seed, 4]))
    return spec.nodules


def _placed(nodules: tuple[NoduleTruth, ...], placement: Placement) -> tuple[NoduleTruth, ...]:
    """Return nodules in the scanner's frame; a breath carries them along and leaves their size."""
    places = placement.points(np.array([n.centre_mm for n in nodules]).reshape(-1, 3)).tolist()
    return tuple(replace(n, centre_mm=(x, y, z)) for n, (x, y, z) in zip(nodules, places, strict=True))


def _radius_mm(spec: ChestSpec) -> NDArray[np.float64]:
    """Return the distance of each pixel from the isocentre, (rows, columns)."""
    offset = np.arange(spec.matrix) - (spec.matrix - 1) / 2
    return np.asarray(np.hypot(offset[:, None] * spec.spacing_mm[1], offset[None, :] * spec.spacing_mm[2]))


def _noise_level(shown: Float32Array, spec: ChestSpec) -> tuple[Float32Array, Float32Array]:
    """Return the noise's standard deviation by slice and, relative, by place: less at the body's rim."""
    rim = 0.72 + 0.28 * np.exp(-((_radius_mm(spec) / 150.0) ** 2))
    mass = np.mean(shown[:, ::4, ::4], axis=(1, 2), dtype=np.float64) + 1000.0
    # Noise grows with the tissue in the beam; tube-current modulation takes most of it back.
    level = (mass / np.mean(mass)) ** 0.5
    return np.asarray(spec.noise_hu * level, np.float32), np.asarray(rim, np.float32)


def _imaged(drawn: Float32Array, spec: ChestSpec, grid: DrawnGrid, seed: int) -> NDArray[np.int16]:
    """Return what the scanner makes of a drawn volume, in whole HU."""
    shown = scanner.blur(
        drawn,
        planes_per_slice=grid.planes_per_slice,
        step_mm=grid.step_mm,
        thickness_mm=spec.thickness_mm,
        psf_sigma_mm=spec.kernel.psf_sigma_mm,
    )
    level, rim = _noise_level(shown, spec)
    is_outside = shown < raster.AIR_HU + 2.0
    draw_couch(shown, grid)
    clean = np.where(is_outside, shown, 0.0) if spec.has_clean_air else None
    scanner.add_noise(
        shown,
        level,
        rim,
        pixel_mm=(grid.step_mm[1], grid.step_mm[2]),
        psf_sigma_mm=spec.kernel.psf_sigma_mm,
        slice_overlap=spec.thickness_mm / spec.spacing_mm[0],
        rng=np.random.default_rng([seed, 5, spec.acquisition]),
    )
    if clean is not None:
        shown = np.where(is_outside, clean, shown)
    if spec.field_of_view_mm is not None:
        shown[:, _radius_mm(spec) > spec.field_of_view_mm / 2] = PADDING_HU
    return np.clip(np.rint(shown), -1024, 3071).astype(np.int16)


def _volume(hu: NDArray[np.int16], spec: ChestSpec, grid: DrawnGrid) -> Volume:
    """Return the scan as a record; it has no UIDs until it is written."""
    return Volume(
        hu=hu,
        origin_mm=grid.origin_mm,
        axes=np.eye(3)[::-1].copy(),
        spacing_mm=spec.spacing_mm,
        slice_thickness_mm=spec.thickness_mm,
        kernel=spec.kernel.value,
        series_uid="",
        frame_of_reference_uid="",
        sop_instance_uids=("",) * len(hu),
    )
