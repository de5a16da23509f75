"""Two scans of one patient laid over each other, lung to lung.

First affine, on the distance to the lungs' surface: how the patient lies and how deeply he breathes. Then
demons (Thirion 1998, Med Image Anal 2:243; symmetric forces, Vercauteren 2009, NeuroImage 45:S61) at coarse
resolution, on what vessels and surface show once the density of the parenchyma is taken away, since that
changes with every breath. Then each distinct vessel point is looked for in what is left of the difference,
and the displacements are smoothed into the map. Every third point takes no part: those of them that lie deep
in the lungs say how good it is. A chest that shows no vessels there may be laid over by its surface alone,
and inside be anywhere.
"""

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from imaging.alignment import Alignment, Quality, Warp, invert
from imaging.filters import block_mean, thread_count
from imaging.geometry import index_of, points_mm
from imaging.lungs import Lungs
from imaging.vesselpoints import STEP_MM, Offsets, Raster, find_again, find_distinct, sample
from records.model import Volume

__all__ = ["align"]

FloatArray = NDArray[np.float64]

AFFINE_MM = 8.0
DEMONS = ((10.0, 40), (5.0, 30))  # step of the grid, mm, and rounds on it
DEMONS_SIGMA = 1.7  # smoothing of the displacement after each round, in steps
MARGIN_MM = 25.0
FAR_MM = 10.0  # depth is not followed further outside the lungs
TEXTURE_MM = 10.0  # what changes more slowly is the parenchyma's density
TEXTURE_HU = (-60.0, 250.0)
LUNG_HU = (-1000.0, -300.0)
REFINE_SIGMA_MM = 10.0
REFINE_DOUBT = 0.3  # weight of "no displacement" against that of the points around
OUTLIER_MM = 3.0  # off what its neighbours say
NEIGHBOURS = 8
HELD_OUT = 3  # every so many-th point measures and does not refine
MEASURED_DEPTH_MM = 12.0  # nearer to the pleura, a cube with a piece of it would vouch for the vessels


def align(baseline: Volume, baseline_lungs: Lungs, follow_up: Volume, follow_up_lungs: Lungs) -> Alignment:
    """Align a follow-up scan to a baseline scan of the same patient.

    Parameters
    ----------
    baseline, follow_up : Volume
        Any slice thickness, orientation and frame of reference.
    baseline_lungs, follow_up_lungs : Lungs
        From `imaging.lungs.segment_lungs`.

    Returns
    -------
    Alignment
        Always one; `is_good` and `reason` say whether to believe it. The same scans give the same one.
    """
    matrix, offset = _affine(baseline, baseline_lungs, follow_up, follow_up_lungs)
    warp = _demons(baseline, baseline_lungs, follow_up, follow_up_lungs, matrix, offset)
    low, high = _box_mm(baseline, baseline_lungs)
    shape = np.ceil((high - low) / STEP_MM).astype(int)[::-1] + 1
    raster = Raster(tuple(low.tolist()), STEP_MM, tuple(shape.tolist()))
    image = sample(baseline, raster)
    depth = _on_raster(baseline_lungs.depth_mm, baseline, baseline_lungs, raster)
    places = find_distinct(image, depth, raster)
    refines = np.arange(len(places)) % HELD_OUT != 0
    other = sample(follow_up, raster, matrix, offset, warp)
    found = find_again(image, other, places[refines], raster)
    warp = _refined(warp, raster.points_mm(places[refines]), found)
    other = sample(follow_up, raster, matrix, offset, warp)
    deep = depth[tuple(places.T)] >= MEASURED_DEPTH_MM
    measured = find_again(image, other, places[~refines & deep], raster)
    draft = Alignment(matrix, offset, warp, invert(warp), Quality(0.0, 0, 0.0, None, None))
    overlap = _overlap(draft, baseline, baseline_lungs, follow_up, follow_up_lungs)
    return Alignment(matrix, offset, warp, draft.backward, _quality(overlap, measured))


def _image(field: NDArray[np.generic], volume: Volume, lungs: Lungs) -> sitk.Image:
    """Return a field on the lungs' coarse grid as an image that knows where it lies."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(field, np.float32))
    first = points_mm(volume, ((np.array(lungs.block) - 1) / 2)[None])[0]
    image.SetOrigin(first.tolist())
    image.SetSpacing(lungs.coarse_spacing_mm[::-1])
    image.SetDirection(volume.axes[::-1].T.ravel().tolist())
    return image


def _box_mm(volume: Volume, lungs: Lungs) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and highest corner of the box around the lungs, LPS, without a margin."""
    corners = np.array([(s.start, s.stop - 1) for s in lungs.box], float)
    ends = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, 3)
    places = points_mm(volume, ends)
    return places.min(axis=0), places.max(axis=0)


def _reference(volume: Volume, lungs: Lungs, step_mm: float) -> sitk.Image:
    """Return an empty image along the patient's axes, around the lungs."""
    low, high = _box_mm(volume, lungs)
    size = np.ceil((high - low + 2 * MARGIN_MM) / step_mm).astype(int) + 1
    image = sitk.Image(size.tolist(), sitk.sitkFloat32)
    image.SetOrigin((low - MARGIN_MM).tolist())
    image.SetSpacing([step_mm] * 3)
    return image


def _affine(
    baseline: Volume, baseline_lungs: Lungs, follow_up: Volume, follow_up_lungs: Lungs
) -> tuple[FloatArray, FloatArray]:
    """Return matrix and offset that lay the surface of the lungs over each other."""
    nothing = sitk.Transform()
    fixed = sitk.Resample(
        _image(baseline_lungs.depth_mm, baseline, baseline_lungs),
        _reference(baseline, baseline_lungs, AFFINE_MM), nothing, sitk.sitkLinear, -FAR_MM,
    )  # fmt: skip
    moving = sitk.Resample(
        _image(follow_up_lungs.depth_mm, follow_up, follow_up_lungs),
        _reference(follow_up, follow_up_lungs, AFFINE_MM), nothing, sitk.sitkLinear, -FAR_MM,
    )  # fmt: skip
    here, there = _box_mm(baseline, baseline_lungs), _box_mm(follow_up, follow_up_lungs)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(np.diag((there[1] - there[0]) / (here[1] - here[0])).ravel().tolist())
    transform.SetCenter(((here[0] + here[1]) / 2).tolist())
    transform.SetTranslation(((there[0] + there[1] - here[0] - here[1]) / 2).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)  # sums over threads would depend on how many there are
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, 60, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    matrix = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    return matrix, np.array(transform.GetTranslation()) + centre - matrix @ centre


def _texture(volume: Volume, lungs: Lungs) -> NDArray[np.float32]:
    """Return what stands out of the parenchyma, HU; all that is no lung stands out."""
    inside = lungs.coarse > 0
    hu = np.clip(block_mean(volume.hu, lungs.block), *LUNG_HU)
    share = inside.astype(np.float32)
    sigma = TEXTURE_MM / np.array(lungs.coarse_spacing_mm)
    tissue = ndimage.gaussian_filter(hu * share, sigma, truncate=2.5)
    parenchyma = tissue / np.maximum(ndimage.gaussian_filter(share, sigma, truncate=2.5), 1e-3)
    return np.where(inside, np.clip(hu - parenchyma, *TEXTURE_HU), TEXTURE_HU[1]).astype(np.float32)


def _demons(
    baseline: Volume, baseline_lungs: Lungs, follow_up: Volume, follow_up_lungs: Lungs,
    matrix: FloatArray, offset_mm: FloatArray,
) -> Warp:  # fmt: skip
    """Return the displacement, in the baseline's frame, that the affine map leaves over."""
    fixed = _image(_texture(baseline, baseline_lungs), baseline, baseline_lungs)
    moving = _image(_texture(follow_up, follow_up_lungs), follow_up, follow_up_lungs)
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(matrix.ravel().tolist())
    affine.SetTranslation(offset_mm.tolist())
    field: sitk.Image | None = None
    for step_mm, rounds in DEMONS:
        reference = _reference(baseline, baseline_lungs, step_mm)
        here = sitk.Resample(
            _smoothed(fixed, step_mm), reference, sitk.Transform(), sitk.sitkLinear, TEXTURE_HU[1]
        )
        there = sitk.Resample(_smoothed(moving, step_mm), reference, affine, sitk.sitkLinear, TEXTURE_HU[1])
        demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        demons.SetNumberOfThreads(thread_count())
        demons.SetNumberOfIterations(rounds)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(DEMONS_SIGMA)
        if field is None:
            field = demons.Execute(here, there)
        else:
            start = sitk.Resample(field, reference, sitk.Transform(), sitk.sitkLinear, 0.0)
            field = demons.Execute(here, there, start)
    assert field is not None
    vectors = sitk.GetArrayFromImage(field).astype(np.float32)
    return Warp(np.array(field.GetOrigin()), field.GetSpacing()[0], vectors)


def _smoothed(image: sitk.Image, step_mm: float) -> sitk.Image:
    """Smooth an image so that a grid of this step misses nothing of it."""
    return sitk.SmoothingRecursiveGaussian(image, [max(0.4 * step_mm, 0.5 * s) for s in image.GetSpacing()])


def _refined(warp: Warp, places_mm: FloatArray, found: Offsets) -> Warp:
    """Return the warp with the offsets of vessel points, smoothed, taken in."""
    kept = found.is_found
    places, offsets, weights = places_mm[kept], found.offset_mm[kept], found.likeness[kept]
    if len(places) <= NEIGHBOURS:
        return warp
    _, near = cKDTree(places).query(places, NEIGHBOURS + 1)
    usual = np.median(offsets[near[:, 1:]], axis=1)
    agrees = np.linalg.norm(offsets - usual, axis=1) <= OUTLIER_MM
    change = warp.with_vectors(_spread(warp, places[agrees], offsets[agrees], weights[agrees]))
    moved = warp.grid_mm + change.at(warp.grid_mm)
    return warp.with_vectors(moved + warp.at(moved) - warp.grid_mm)


def _spread(warp: Warp, places_mm: FloatArray, offsets_mm: FloatArray, weights: FloatArray) -> FloatArray:
    """Return offsets at scattered places as a smooth field on the grid of a warp.

    Normalised convolution (Knutsson 1993) with a Gaussian; where points are few, no offset weighs in as well.
    """
    shape = warp.vectors_mm.shape[:3]
    totals = np.zeros((4, *shape))
    index = (places_mm - warp.low_mm)[:, ::-1] / warp.step_mm
    first = np.floor(index).astype(int)
    share = index - first
    for corner in np.ndindex(2, 2, 2):
        part = np.prod(np.where(corner, share, 1 - share), axis=1) * weights
        at = np.clip(first + corner, 0, np.array(shape) - 1)
        place = tuple(at.T)
        for axis in range(3):
            np.add.at(totals[axis], place, part * offsets_mm[:, axis])
        np.add.at(totals[3], place, part)
    sigma = REFINE_SIGMA_MM / warp.step_mm
    smooth = [ndimage.gaussian_filter(one, sigma, mode="constant") for one in totals]
    one_point = 1.0 / (sigma * np.sqrt(2 * np.pi)) ** 3  # what one point weighs at its own place
    weight = smooth[3] + REFINE_DOUBT * one_point
    return np.stack([part / weight for part in smooth[:3]], axis=-1)


def _on_raster(
    field: NDArray[np.float32], volume: Volume, lungs: Lungs, raster: Raster
) -> NDArray[np.float32]:
    """Return a field of the lungs' coarse grid on a raster."""
    image = sitk.Image(list(raster.shape[::-1]), sitk.sitkFloat32)
    image.SetOrigin(raster.low_mm)
    image.SetSpacing([raster.step_mm] * 3)
    moved = sitk.Resample(_image(field, volume, lungs), image, sitk.Transform(), sitk.sitkLinear, -FAR_MM)
    return np.asarray(sitk.GetArrayFromImage(moved), np.float32)


def _overlap(
    alignment: Alignment, baseline: Volume, baseline_lungs: Lungs, follow_up: Volume, follow_up_lungs: Lungs
) -> float:
    """Return the Dice coefficient of the lungs: voxels of each that lie in the other."""
    middle = (np.array(baseline_lungs.block) - 1) / 2
    index = np.argwhere(baseline_lungs.coarse > 0) * np.array(baseline_lungs.block) + middle
    there = index_of(follow_up, alignment.to_follow_up(points_mm(baseline, index)))
    forth = follow_up_lungs.sample(follow_up_lungs.coarse > 0, there, order=0) > 0.5
    middle = (np.array(follow_up_lungs.block) - 1) / 2
    index = np.argwhere(follow_up_lungs.coarse > 0) * np.array(follow_up_lungs.block) + middle
    here = index_of(baseline, alignment.to_baseline(points_mm(follow_up, index)))
    back = baseline_lungs.sample(baseline_lungs.coarse > 0, here, order=0) > 0.5
    return float((forth.sum() + back.sum()) / (forth.size + back.size))


def _quality(overlap: float, measured: Offsets) -> Quality:
    off_mm = np.linalg.norm(measured.offset_mm[measured.is_found], axis=1)
    if not off_mm.size:
        return Quality(overlap, len(measured.likeness), 0.0, None, None)
    return Quality(
        overlap,
        len(measured.likeness),
        float(measured.is_found.mean()),
        float(np.median(off_mm)),
        float(np.quantile(off_mm, 0.95)),
    )
