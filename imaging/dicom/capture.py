"""The marked projections as Secondary Capture: what a reader sees first, in any viewer.

One picture a plane, the slab with most reported nodules, with a circle around each.
They hold no text, so that nothing identifying is burned in.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from imaging.dicom import codes
from imaging.dicom.evidence import Evidence, equipment, stamp
from imaging.dicom.uids import derive_uid
from imaging.pictures import Pictures, Plane, Slab
from records.model import Nodule, Point, Screening

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["build_captures", "mark"]

SERIES_NUMBER = 9003
MARK = (255, 209, 102)  # as on the report's film
GAP_MM = 2.0  # between a nodule and its circle, so that the circle hides nothing
LINE = 4  # the circles are drawn this many times finer, then shrunk: smooth without a font or a library


def build_captures(
    screening: Screening, evidence: Evidence, pictures: Pictures, *, series_uid: str, uid: str
) -> "Iterator[tuple[Plane, Dataset]]":
    """Yield the first look of each plane, with the reported nodules marked.

    Parameters
    ----------
    pictures : Pictures
        Of the series that was screened.
    series_uid : str
        Of the captures.
    uid : str
        What their own UIDs are derived from.
    """
    reported = [nodule for nodule in screening.nodules if nodule.reported]
    for number, index in enumerate(pictures.first_looks, start=1):
        slab = pictures.slabs[index]
        yield slab.plane, _capture(screening, evidence, slab, reported, series_uid, uid, number)


def mark(slab: Slab, nodules: list[Nodule]) -> NDArray[np.uint8]:
    """Return (height, width, 3) RGB: the slab with a circle around each nodule that reaches into it."""
    film = Image.open(io.BytesIO(slab.jpeg)).convert("RGB")
    ink = Image.new("L", (slab.width * LINE, slab.height * LINE), 0)
    pen = ImageDraw.Draw(ink)
    for nodule in nodules:
        if slab.shows(nodule):
            column, row, _ = slab.locate(nodule.centre_mm)
            radius = (nodule.diameter_mm.value / 2 + GAP_MM) / slab.pixel_mm * LINE
            x, y = (column + 0.5) * LINE, (row + 0.5) * LINE
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=255, width=LINE)
    film.paste(MARK, mask=ink.resize(film.size, Image.Resampling.BOX))
    return np.asarray(film)


def _capture(
    screening: Screening,
    evidence: Evidence,
    slab: Slab,
    nodules: list[Nodule],
    series_uid: str,
    uid: str,
    number: int,
) -> "Dataset":
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset

    made, header = screening.provenance, evidence.headers[0]
    device = equipment(made)
    orientation = [_towards(slab.right), _towards(slab.down)]
    capture: Dataset = SCImage(
        pixel_array=mark(slab, nodules),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=evidence.series.study_uid,
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=derive_uid(uid, str(number)),
        instance_number=number,
        manufacturer=device["manufacturer"],
        patient_id=header.PatientID,
        patient_name=header.PatientName,
        patient_birth_date=header.PatientBirthDate or None,
        patient_sex=header.PatientSex or None,
        accession_number=header.AccessionNumber,
        study_id=header.StudyID,
        study_date=header.StudyDate or None,
        study_time=header.StudyTime or None,
        referring_physician_name=header.ReferringPhysicianName,
        pixel_spacing=(slab.pixel_mm, slab.pixel_mm),
        patient_orientation=tuple(letters[0] for letters in orientation),  # highdicom takes one letter each
        series_description="MIPC marked MIP",
        specific_character_set="ISO_IR 192",
        manufacturer_model_name=device["manufacturer_model_name"],
        software_versions=device["software_versions"],
        device_serial_number=device["device_serial_number"],
    )
    capture.PatientOrientation = orientation
    capture.ImageType = ["DERIVED", "SECONDARY", "MIP"]
    capture.BurnedInAnnotation = "NO"
    capture.DerivationDescription = (
        f"{slab.plane} maximum intensity projection, {slab.thickness_mm:.1f} mm, reported nodules circled"
    )
    capture.LossyImageCompression = "01"  # the pictures are kept as JPEG
    capture.LossyImageCompressionMethod = "ISO_10918_1"
    capture.LossyImageCompressionRatio = round(max(1.0, slab.width * slab.height / len(slab.jpeg)), 1)
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = codes.SOURCE_IMAGE[:3]
    capture.SourceImageSequence = _references(evidence, _planes(evidence, slab), purpose)
    stamp(capture, made)
    return capture


def _planes(evidence: Evidence, slab: Slab) -> list[int]:
    """Return the planes of the stack that a slab was projected from."""
    stack = evidence.stack
    across = np.cross(slab.right, slab.down)
    along = float(stack.axes[0] @ across)
    if abs(along) < 0.5:  # the slab cuts through all planes
        return list(range(len(stack.frames)))
    depths = (np.asarray(stack.origin_mm) - slab.centre_mm) @ across + (
        np.arange(len(stack.frames)) * stack.spacing_mm[0] * along
    )
    inside = np.flatnonzero(np.abs(depths) <= slab.thickness_mm / 2)
    return inside.tolist() or [int(np.argmin(np.abs(depths)))]


def _references(evidence: Evidence, planes: list[int], purpose: "Dataset") -> "list[Dataset]":
    """Return one reference to each file that holds any of `planes`, if multi-frame to those frames."""
    from pydicom.dataset import Dataset

    frames: dict[str, list[int]] = {}
    for plane in planes:
        frame = evidence.stack.frames[plane]
        frames.setdefault(frame.sop_instance_uid, []).append(frame.number + 1)
    references = []
    for uid, numbers in frames.items():
        item = Dataset()
        item.ReferencedSOPClassUID = evidence.stack.frames[0].reconstruction.sop_class_uid
        item.ReferencedSOPInstanceUID = uid
        if evidence.is_multi_frame:
            item.ReferencedFrameNumber = sorted(numbers)
        item.PurposeOfReferenceCodeSequence = [purpose]
        references.append(item)
    return references


def _towards(direction: Point) -> str:
    """Return the letters of a direction, the main one first (PS3.3 C.7.6.1.1.1)."""
    letters = [("L", "R"), ("P", "A"), ("H", "F")]
    order = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    named = [letters[axis][direction[axis] < 0] for axis in order if abs(direction[axis]) > 0.1]
    return "".join(named)
