"""The images a result stands on, as headers that other DICOM objects can refer to.

Who and when is taken from one file of the series, value by value and only where a
value is legal: what a result copies, an archive has to accept.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from imaging.dicom.files import Frame, SeriesFiles
from imaging.dicom.sources import open_stored
from imaging.dicom.stack import Stack, build_stack
from imaging.dicom.uids import derive_uid
from imaging.dicom.values import iso_date
from imaging.dicom.write import IMPLEMENTATION_UID
from records.model import Provenance

__all__ = ["WHOSE", "Evidence", "EvidenceError", "equipment", "gather_evidence", "stamp"]

TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?", re.ASCII)


class EvidenceError(Exception):
    """Nothing can refer to these images; a sentence says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One series that results were read from.

    Attributes
    ----------
    stack : Stack
        Its images in order, the most caudal first, and where they lie.
    headers : tuple of Dataset
        One a file, without pixels, in the order of the stack.
    """

    series: SeriesFiles
    stack: Stack
    headers: tuple[Dataset, ...]

    @property
    def is_multi_frame(self) -> bool:
        """Whether the images are frames of one file."""
        return len(self.headers) < len(self.stack.frames)


def gather_evidence(series: SeriesFiles) -> Evidence:
    """Return what results of `series` refer to.

    Raises
    ------
    GeometryError
        If the images make no regular stack.
    EvidenceError
        If their identifiers break the rules of DICOM, so that no reference to them would hold.
    """
    stack = build_stack(series.frames)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd is left out, not reported once more
        original = _read_header(stack.frames[0])
        _check_identifiers(original, series, stack.frames[0])
        whose = _whose(original)
        files = {frame.source: frame for frame in stack.frames}
        if len(files) < len(stack.frames):
            headers = tuple(_full_header(frame, whose) for frame in files.values())
        else:
            where = stack.frame_of_reference_uid or series.frame_of_reference_uid
            headers = tuple(_header(series, frame, whose, where) for frame in stack.frames)
    return Evidence(series, stack, headers)


def equipment(made: Provenance) -> dict[str, str]:
    """Return what made a result, as the constructors of highdicom take it."""
    return {
        "manufacturer": "mipc",
        "manufacturer_model_name": "mipc screening",
        "software_versions": f"mipc {made.program_version}, model {made.model_version}"[:64],
        "device_serial_number": "1",
    }


def stamp(result: Dataset, made: Provenance) -> None:
    """Say in a finished result which program and protocol made it."""
    result.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    result.file_meta.ImplementationVersionName = "MIPC"
    result.ProtocolName = f"{made.protocol_name} {made.protocol_sha256[:12]}"[:64]
    if result.Modality != "SR":  # a report shows no part of the body
        result.BodyPartExamined = "CHEST"
    result.InstanceCreatorUID = derive_uid("mipc", "device")


def _check_identifiers(original: Dataset, series: SeriesFiles, frame: Frame) -> None:
    """Refuse a series that intake had to give other identifiers than its files have."""
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    said = [str(original.get(keyword, "")) for keyword in keywords]
    if said != [series.study_uid, series.uid, frame.sop_instance_uid] or not series.frame_of_reference_uid:
        raise EvidenceError(
            f"{series.label} has identifiers that break the rules of DICOM; no report can refer to its images"
        )


def _read_header(frame: Frame) -> FileDataset:
    with open_stored(frame.source) as file:
        return dcmread(file, stop_before_pixels=True, force=True)


def _text(longest: int) -> Callable[[str], bool]:
    return lambda value: len(value) <= longest and value.isprintable() and "\\" not in value


def _is_date(value: str) -> bool:
    return len(value) == 8 and iso_date(value) != ""


LEGAL: dict[str, Callable[[str], bool]] = {
    "PatientName": _text(64 * 3 + 2),
    "PatientID": _text(64),
    "PatientBirthDate": _is_date,
    "PatientSex": lambda value: value in {"M", "F", "O"},
    "StudyDate": _is_date,
    "StudyTime": lambda value: bool(TIME.fullmatch(value)),
    "AccessionNumber": _text(16),
    "StudyID": _text(16),
    "StudyDescription": _text(64),
    "ReferringPhysicianName": _text(64 * 3 + 2),
}
WHOSE = ("SpecificCharacterSet", *LEGAL)


def _whose(original: Dataset) -> Dataset:
    """Return patient and study as far as their values are legal; empty where they are not."""
    whose = Dataset()
    whose.SpecificCharacterSet = "ISO_IR 192"
    for keyword, is_legal in LEGAL.items():
        value = str(original.get(keyword, "") or "").strip()
        setattr(whose, keyword, value if is_legal(value) else "")
    return whose


def _header(series: SeriesFiles, frame: Frame, whose: Dataset, frame_of_reference_uid: str) -> Dataset:
    """Return what can be said of a classic image without reading it again."""
    header = Dataset()
    header.update(whose)
    header.SOPClassUID = frame.reconstruction.sop_class_uid
    header.SOPInstanceUID = frame.sop_instance_uid
    header.StudyInstanceUID = series.study_uid
    header.SeriesInstanceUID = series.uid
    header.Modality = "CT"
    header.FrameOfReferenceUID = frame_of_reference_uid
    header.PositionReferenceIndicator = ""
    header.Rows, header.Columns = frame.format.rows, frame.format.columns
    header.ImagePositionPatient = list(frame.position_mm or ())
    header.ImageOrientationPatient = list(frame.orientation or ())
    header.PixelSpacing = list(frame.pixel_spacing_mm or ())
    header.SliceThickness = frame.reconstruction.slice_thickness_mm
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def _full_header(frame: Frame, whose: Dataset) -> Dataset:
    """Return the header of a multi-frame file, whose frames are told apart by its functional groups."""
    header = _read_header(frame)
    header.update(whose)
    return header
