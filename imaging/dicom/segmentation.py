"""The reported nodules as a DICOM Segmentation: balls of their fitted diameter on the grid of the images.

All nodules are one segment. A segment of its own for each of 1,000 nodules stores the
same 512 x 512 bits once for each nodule that a slice shows, 100 MB where one segment
takes 10, and viewers list segments one by one. Each nodule keeps its own tracking
identifiers, diameter and place in the structured report; its voxels are those around it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imaging.dicom import codes
from imaging.dicom.evidence import Evidence, EvidenceError, equipment, stamp
from imaging.dicom.stack import Stack
from imaging.dicom.uids import derive_uid
from imaging.geometry import index_of
from records.model import Nodule, Screening

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["build_segmentation", "draw_balls"]

SERIES_NUMBER = 9002


def build_segmentation(screening: Screening, evidence: Evidence, *, series_uid: str, uid: str) -> "Dataset":
    """Return the segmentation of the reported nodules.

    Parameters
    ----------
    screening : Screening
        With at least one reported nodule.
    evidence : Evidence
        The series that was screened; a frame refers to the image it lies on.
    series_uid, uid : str
        Of the segmentation.

    Raises
    ------
    ValueError
        If no nodule is reported.
    EvidenceError
        If the series lies in several multi-frame files.
    """
    from highdicom import AlgorithmIdentificationSequence, seg

    reported = [nodule for nodule in screening.nodules if nodule.reported]
    if not reported:
        raise ValueError("a segmentation needs at least one reported nodule")
    made = screening.provenance
    segment = seg.SegmentDescription(
        segment_number=1,
        segment_label="MIPC nodules",
        segmented_property_category=codes.ABNORMAL,
        segmented_property_type=codes.NODULE,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name="mipc", family=codes.ARTIFICIAL_INTELLIGENCE, version=made.program_version
        ),
        tracking_uid=derive_uid("tracking", evidence.series.uid, "nodules"),
        tracking_id="MIPC nodules",
        anatomic_regions=[codes.LUNG],
    )
    mask = draw_balls(evidence.stack, _shape(evidence.stack), reported)
    result: Dataset = seg.Segmentation(
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        content_label="MIPC",
        content_description="Reported nodules, balls of the fitted diameter",
        series_description="MIPC nodules",
        **_frames(evidence, mask),
        **equipment(made),
    )
    stamp(result, made)
    return result


def draw_balls(stack: Stack, shape: tuple[int, int, int], nodules: Iterable[Nodule]) -> NDArray[np.uint8]:
    """Return 1 where a voxel's centre lies in a nodule's ball; each nodule has at least one voxel.

    Parameters
    ----------
    stack : Stack
        Where voxels lie.
    shape : tuple of int
        (planes, rows, columns).
    """
    mask = np.zeros(shape, np.uint8)
    spacing_mm = np.asarray(stack.spacing_mm)
    for nodule in nodules:
        radius_mm = nodule.diameter_mm.value / 2
        centre = index_of(stack, np.array([nodule.centre_mm]))[0]
        reach = radius_mm / spacing_mm
        start = np.clip(np.ceil(centre - reach).astype(int), 0, shape)
        stop = np.clip(np.floor(centre + reach).astype(int) + 1, start, shape)
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        away_mm = [
            (np.arange(a, b) - c) * s for a, b, c, s in zip(start, stop, centre, spacing_mm, strict=True)
        ]
        z, y, x = np.ix_(*away_mm)
        mask[box] |= z**2 + y**2 + x**2 <= radius_mm**2
        nearest = np.clip(np.rint(centre).astype(int), 0, np.asarray(shape) - 1)
        mask[tuple(nearest)] = 1
    return mask


def _shape(stack: Stack) -> tuple[int, int, int]:
    image = stack.frames[0].format
    return len(stack.frames), image.rows, image.columns


def _frames(evidence: Evidence, mask: NDArray[np.uint8]) -> dict[str, object]:
    """Return the frames to write and what says where they lie, as the constructor of highdicom takes them."""
    if evidence.is_multi_frame:
        return _frames_of_one_file(evidence, mask)
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence

    stack = evidence.stack
    first = stack.frames[0]
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    return {
        "source_images": [evidence.headers[plane] for plane in planes],
        "pixel_array": mask[planes],
        # From the stack itself, not from what headers may repeat wrongly.
        "pixel_measures": PixelMeasuresSequence(
            pixel_spacing=stack.spacing_mm[1:],
            slice_thickness=stack.slice_thickness_mm or stack.spacing_mm[0],
            spacing_between_slices=stack.spacing_mm[0],
        ),
        "plane_orientation": PlaneOrientationSequence("PATIENT", first.orientation),
        "plane_positions": [
            PlanePositionSequence("PATIENT", stack.frames[plane].position_mm) for plane in planes
        ],
    }


def _frames_of_one_file(evidence: Evidence, mask: NDArray[np.uint8]) -> dict[str, object]:
    """Return all frames in the order of a multi-frame file; those without a nodule are left out later."""
    if len(evidence.headers) > 1:
        raise EvidenceError(
            f"{evidence.series.label} lies in {len(evidence.headers)} multi-frame files; "
            "a segmentation can refer to one"
        )
    (header,) = evidence.headers
    frames = np.zeros((int(header.NumberOfFrames), *mask.shape[1:]), np.uint8)
    for frame, plane in zip(evidence.stack.frames, mask, strict=True):
        frames[frame.number] = plane
    return {"source_images": [header], "pixel_array": frames}
