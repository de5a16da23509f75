"""De-identification of CT by DICOM PS3.15, basic profile with three options.

Clean Descriptors, Retain Longitudinal Temporal Information (dates shifted per
patient), Retain Patient Characteristics (sex, age, size, weight, smoking and
pregnancy status; the ethnic group is free text and goes), and UIDs mapped
consistently. What stays is named in `imaging.dicom.profile`; pixels are
decoded and written anew, so that nothing rides on a codestream's comments or in
bits above the image.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from imaging.dicom.files import Frame, SeriesFiles
from imaging.dicom.headers import broken
from imaging.dicom.intake import find_studies
from imaging.dicom.pixels import read_stored
from imaging.dicom.profile import DATES, KEPT, SEQUENCES, UIDS
from imaging.dicom.relink import Key, open_key, save_key
from imaging.dicom.sources import Source, open_stored
from imaging.dicom.values import iso_date
from imaging.dicom.write import IMPLEMENTATION_UID
from records.errors import ScreeningError
from records.files import replace_file
from records.wording import counted

__all__ = ["WORDS", "Deidentified", "Withheld", "deidentify", "why_withheld"]

Progress = Callable[[int, int], object]

# PS3.16 context group 7050
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
)
CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage})
EMPTY = """
    AccessionNumber ReferringPhysicianName StudyID PatientBirthDate PatientSex StudyTime Manufacturer KVP
    SeriesNumber AcquisitionNumber InstanceNumber PositionReferenceIndicator
""".split()  # type 2: have to be there, may be empty
PICTURES = frozenset({"SCREEN SAVE", "SECONDARY", "DOSE_INFO"})  # names are often burned into these


class Withheld(StrEnum):
    """Why an image may not leave."""

    NO_CT = "no_ct_image"
    BURNED_IN_TEXT = "burned_in_text"
    PICTURE = "picture_of_images"
    NO_CT_PIXELS = "no_ct_pixels"
    OTHER_PATIENT = "other_patient"
    UNREADABLE = "unreadable"


WORDS = {
    Withheld.NO_CT: "is no CT or Enhanced CT image; only those are written, since others often show names",
    Withheld.BURNED_IN_TEXT: "has text burned into its pixels",
    Withheld.PICTURE: "is a picture made from images, which may show names",
    Withheld.NO_CT_PIXELS: "is a picture, not a CT",
    Withheld.OTHER_PATIENT: "names another patient than its study",
    Withheld.UNREADABLE: "cannot be read",
}


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What was written and what was kept back; no name in either."""

    written: tuple[Path, ...]
    refused: tuple[str, ...]  # a sentence a file, by its number in the input
    unsure: tuple[str, ...]  # a sentence a series that was written and has to be looked at


def deidentify(
    inputs: Sequence[Path], out: Path, *, key_path: Path, progress: Progress | None = None
) -> Deidentified:
    """Write every CT image of `inputs` without what tells who it is of.

    Parameters
    ----------
    inputs : sequence of Path
        What `find_studies` takes.
    out : Path
        Folder; files are named by their new UIDs.
    key_path : Path
        The key that re-links, made if it is not there. It must not lie in `out`.
    progress : callable, optional
        Called with (studies written, studies in all).

    Returns
    -------
    Deidentified
        Files whose pixels may show text, files that are no CT, and damaged files are
        refused, each with a sentence. Series that do not say whether text is burned into
        them, as most CT do not, are written and named.
    """
    if key_path.resolve().is_relative_to(out.resolve()):
        raise ValueError("the key must not lie in the folder that is handed out")
    key = open_key(key_path)
    save_key(key, key_path)  # before anything is out that only it can lead back
    done = _Done()
    intake = find_studies(inputs)
    for number, study in enumerate(intake.studies, start=1):
        # Studies that name no patient are not one patient's.
        patient_id = study.study.patient_id or study.study.uid
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's would quote what is not to be told
            for series in study.series:
                _deidentify_series(series, patient_id, out, key, done)
        # The key is kept before the next study, so that no pseudonym is out without it.
        save_key(key, key_path)
        if progress is not None:
            progress(number, len(intake.studies))
    done.refused += [f"a file was set aside: {problem.code.value}" for problem in intake.problems]
    return Deidentified(tuple(done.written), tuple(done.refused), tuple(done.unsure))


def why_withheld(series: SeriesFiles, patient_id: str) -> Withheld | None:
    """Return why an image of `series` may not leave as one of this patient; None if all may."""
    for source, frame in {frame.source: frame for frame in series.frames}.items():
        try:
            fault = _why_not(_read(source), frame, patient_id)
        except broken():
            fault = Withheld.UNREADABLE
        if fault is not None:
            return fault
    return None


@dataclass
class _Done:
    """What has been done so far, as `Deidentified` will tell it."""

    written: list[Path] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)


def _deidentify_series(series: SeriesFiles, patient_id: str, out: Path, key: Key, done: _Done) -> None:
    by_file: dict[Source, list[Frame]] = {}
    for frame in series.frames:
        by_file.setdefault(frame.source, []).append(frame)
    where = f"study {key.uid(series.study_uid)}, series {series.number}"
    is_silent = False
    if series.copies:
        done.refused.append(
            f"{where}: {counted(series.copies, 'file bears', 'files bear')} the identifier of another one"
        )
    if series.other_objects:
        done.refused.append(
            f"{where}: {counted(series.other_objects, 'file is no image', 'files are no images')}"
        )
    for number, (source, frames) in enumerate(by_file.items(), start=1):
        try:
            original = _read(source)
        except broken():
            done.refused.append(f"{where}, file {number}: {WORDS[Withheld.UNREADABLE]}")
            continue
        fault = _why_not(original, frames[0], patient_id)
        if fault is not None:
            done.refused.append(f"{where}, file {number}: {WORDS[fault]}")
            continue
        try:
            image = _clean_image(original, frames, patient_id, key)
        except ScreeningError as error:
            done.refused.append(f"{where}, file {number}: {error.reason.value}")
            continue
        path = (
            out / str(image.StudyInstanceUID) / str(image.SeriesInstanceUID) / f"{image.SOPInstanceUID}.dcm"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = io.BytesIO()
        image.save_as(whole, enforce_file_format=True)
        replace_file(path, whole.getvalue())
        key.studies[str(image.StudyInstanceUID)] = str(original.StudyInstanceUID)
        done.written.append(path)
        is_silent |= "BurnedInAnnotation" not in image
    if is_silent:
        done.unsure.append(f"{where}: its images do not say whether text is burned into their pixels")


def _read(source: Source) -> Dataset:
    with open_stored(source) as file:
        return dcmread(file, stop_before_pixels=True)


def _why_not(original: Dataset, frame: Frame, patient_id: str) -> Withheld | None:
    """Return why an image may not leave under the pseudonym of its study, None if it may."""
    if original.get("SOPClassUID") not in CLASSES:
        return Withheld.NO_CT
    if _burned_in(original) == "YES":
        return Withheld.BURNED_IN_TEXT
    if set(frame.reconstruction.image_type) & PICTURES:
        return Withheld.PICTURE
    if frame.format.samples != 1 or frame.format.bits_allocated != 16:
        return Withheld.NO_CT_PIXELS
    named = str(original.get("PatientID", "") or "").strip()
    return Withheld.OTHER_PATIENT if named and named != patient_id else None


def _burned_in(original: Dataset) -> str:
    """Return what an image says of text in its pixels: YES, NO, or nothing that can be relied on."""
    return str(original.get("BurnedInAnnotation", "")).strip().upper()


def _clean_image(original: Dataset, frames: Sequence[Frame], patient_id: str, key: Key) -> FileDataset:
    image = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = original.SOPClassUID
    _copy_kept(original, image)
    for keyword in UIDS:
        if original.get(keyword):
            setattr(image, keyword, key.uid(str(original[keyword].value)))
    for keyword in DATES:
        setattr(image, keyword, _shifted(str(original.get(keyword, "")), key.shift_days(patient_id)))
    for keyword in EMPTY:
        if keyword not in image:
            setattr(image, keyword, None)
    image.PatientID = key.pseudonym(patient_id)
    image.PatientName = image.PatientID + "^"
    image.PatientIdentityRemoved = "YES"
    image.LongitudinalTemporalInformationModified = "MODIFIED"
    if _burned_in(original) == "NO":  # its word; without the Clean Pixel Data Option we have none of our own
        image.BurnedInAnnotation = "NO"
    image.DeidentificationMethod = "mipc"
    image.DeidentificationMethodCodeSequence = [_code(*method) for method in METHODS]

    stored = read_stored(frames)
    mask = np.uint16(2 ** frames[0].format.bits_stored - 1)
    image.PixelData = (stored & mask).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    image.file_meta.ImplementationVersionName = "MIPC"
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def _copy_kept(original: Dataset, image: Dataset) -> None:
    """Copy what the profile lets through; private and unknown elements have no keyword and stay behind."""
    for element in original:
        if element.keyword in SEQUENCES and element.VR == "SQ":
            items = []
            for item in element.value:
                copy = Dataset()
                _copy_kept(item, copy)
                items.append(copy)
            setattr(image, element.keyword, items)
        elif element.keyword in KEPT and element.value is not None:
            value = KEPT[element.keyword](element.value)
            if value is not None:
                image.add_new(element.tag, element.VR, value)


def _shifted(day: str, days: int) -> str:
    """Return a DICOM date that many days earlier, "" if it is none."""
    try:
        return f"{date.fromisoformat(iso_date(day.strip())) - timedelta(days=days):%Y%m%d}"
    except (ValueError, OverflowError):
        return ""


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
