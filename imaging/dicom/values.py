"""Raw header values and what they mean.

pydicom hands elements over as bytes. Most are the same in every file of a
series, so that a cache decodes each once; that makes the index of a hospital's
export twice as fast as converting each element.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TypeAlias

from imaging.dicom.files import PixelFormat, Reconstruction, Rescale
from imaging.dicom.uids import derive_uid, is_uid
from records.model import Point, Study

__all__ = [
    "TAG",
    "Raw",
    "SeriesFacts",
    "bytes_of",
    "free_text_of",
    "iso_date",
    "number_of",
    "numbers_of",
    "pixel_format_of",
    "pixel_spacing_of",
    "point_of",
    "reconstruction_of",
    "rescale_of",
    "series_of",
    "study_of",
    "text_of",
    "uid_of",
]

Raw: TypeAlias = dict[int, object]

PLAIN_SETS = frozenset({"", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192"})  # in these ASCII is ASCII
ESCAPE = b"\x1b"  # starts a code extension (PS3.5 6.1.2.5)
TEXT_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}  # where code extensions reset (PS3.5 6.1.2.5.3)
LONGEST_TEXT = 256  # a person name may have 3 groups of 64 characters; nothing honest is longer

TAG = {
    "SpecificCharacterSet": 0x00080005,
    "ImageType": 0x00080008,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020,
    "Modality": 0x00080060,
    "Manufacturer": 0x00080070,
    "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E,
    "ManufacturerModelName": 0x00081090,
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "BodyPartExamined": 0x00180015,
    "SliceThickness": 0x00180050,
    "ProtocolName": 0x00181030,
    "Exposure": 0x00181152,
    "ConvolutionKernel": 0x00181210,
    "MultienergyCTCharacteristicsSequence": 0x00189364,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "SeriesNumber": 0x00200011,
    "AcquisitionNumber": 0x00200012,
    "InstanceNumber": 0x00200013,
    "ImagePositionPatient": 0x00200032,
    "ImageOrientationPatient": 0x00200037,
    "FrameOfReferenceUID": 0x00200052,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "PixelRepresentation": 0x00280103,
    "PixelPaddingValue": 0x00280120,
    "PixelPaddingRangeLimit": 0x00280121,
    "RescaleIntercept": 0x00281052,
    "RescaleSlope": 0x00281053,
    "RescaleType": 0x00281054,
    "SharedFunctionalGroupsSequence": 0x52009229,
    "PerFrameFunctionalGroupsSequence": 0x52009230,
    "DirectoryRecordSequence": 0x00041220,
}


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What every file of a series says alike."""

    uid: str
    number: int
    description: str
    protocol: str
    body_part: str
    modality: str
    manufacturer: str
    scanner: str


def bytes_of(raw: Raw, keyword: str) -> bytes:
    """Return the value as it is in the file; b"" if absent."""
    value = raw.get(TAG[keyword])
    return value if isinstance(value, bytes) else b""


@lru_cache(maxsize=4096)
def plain_of(value: bytes) -> str:
    return value.decode("ascii", "replace").replace("\0", " ").strip()


def text_of(raw: Raw, keyword: str) -> str:
    """Return a code string or the like: ASCII, without padding."""
    return plain_of(bytes_of(raw, keyword))[:LONGEST_TEXT]


def uid_of(raw: Raw, keyword: str) -> str:
    """Return a UID safe in a file name: one that breaks the rules is replaced by a derived one."""
    value = plain_of(bytes_of(raw, keyword))
    return value if not value or is_uid(value) else derive_uid("irregular", value)


@lru_cache(maxsize=4096)
def _decimals(value: bytes) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.decode("ascii").replace("\0", " ").split("\\"))
    except ValueError:
        return ()
    return numbers if all(abs(number) < 1e9 for number in numbers) else ()  # false for nan and inf


def numbers_of(raw: Raw, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return `count` finite numbers, or None."""
    numbers = _decimals(bytes_of(raw, keyword))
    return numbers if len(numbers) == count else None


def number_of(raw: Raw, keyword: str) -> float | None:
    """Return the first number, or None."""
    numbers = _decimals(bytes_of(raw, keyword))
    return numbers[0] if numbers else None


def point_of(numbers: tuple[float, ...] | None) -> Point | None:
    """Return three numbers as a point."""
    return (numbers[0], numbers[1], numbers[2]) if numbers else None


def pixel_spacing_of(numbers: tuple[float, ...] | None) -> tuple[float, float] | None:
    """Return two distances as Pixel Spacing, None unless both are distances."""
    return (numbers[0], numbers[1]) if numbers and min(numbers) > 0 else None


@lru_cache(maxsize=4096)
def _person_text(value: bytes, character_set: bytes) -> str:
    """Decode text of any character set; control characters are dropped, absurd length cut."""
    name = character_set.decode("ascii", "replace").strip()
    if value.isascii() and name in PLAIN_SETS and ESCAPE not in value:
        text = value[: 4 * LONGEST_TEXT].decode("ascii")
    else:
        from pydicom.charset import convert_encodings, decode_bytes

        text = decode_bytes(value[: 4 * LONGEST_TEXT], convert_encodings(name.split("\\")), TEXT_DELIMITERS)
    return "".join(letter for letter in text if letter.isprintable()).strip()[:LONGEST_TEXT]


def free_text_of(raw: Raw, keyword: str) -> str:
    """Return text in its character set, printable and of sane length."""
    value = bytes_of(raw, keyword)
    return _person_text(value, bytes_of(raw, "SpecificCharacterSet")) if value else ""


@lru_cache(maxsize=1024)
def iso_date(value: str) -> str:
    """Return a DICOM date, also one with dots, as ISO 8601; "" if there is no such day.

    >>> iso_date("2020.01.02"), iso_date("00000000"), iso_date("20230231")
    ('2020-01-02', '', '')
    """
    digits = value.replace(".", "")
    if len(digits) != 8 or not (digits.isascii() and digits.isdigit()):
        return ""
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).isoformat()
    except ValueError:
        return ""


def study_of(raw: Raw) -> Study:
    """Return who and when."""
    return Study(
        uid=uid_of(raw, "StudyInstanceUID"),
        patient_id=free_text_of(raw, "PatientID"),
        patient_name=free_text_of(raw, "PatientName"),
        study_date=iso_date(text_of(raw, "StudyDate")),
        description=free_text_of(raw, "StudyDescription"),
    )


def series_of(raw: Raw) -> SeriesFacts:
    """Return what every file of the series says."""
    return SeriesFacts(
        uid=uid_of(raw, "SeriesInstanceUID"),
        number=int(number_of(raw, "SeriesNumber") or 0),
        description=free_text_of(raw, "SeriesDescription"),
        protocol=free_text_of(raw, "ProtocolName"),
        body_part=free_text_of(raw, "BodyPartExamined"),
        modality=text_of(raw, "Modality"),
        manufacturer=free_text_of(raw, "Manufacturer"),
        scanner=free_text_of(raw, "ManufacturerModelName"),
    )


@lru_cache(maxsize=4096)
def rescale_of(slope: bytes, intercept: bytes, rescale_type: bytes) -> Rescale | None:
    """Return the way to Hounsfield units, None if slope or intercept is absent."""
    slopes, intercepts = _decimals(slope), _decimals(intercept)
    if not slopes or not intercepts or slopes[0] == 0:
        return None
    return Rescale(slopes[0], intercepts[0], plain_of(rescale_type))


@lru_cache(maxsize=4096)
def reconstruction_of(
    sop_class: str,
    image_type: bytes,
    kernel: bytes,
    thickness_mm: float | None,
    acquisition: int,
    energy_kev: float | None,
) -> Reconstruction:
    """Return how the image was made; equal ones are one object."""
    types = tuple(part.strip().upper() for part in plain_of(image_type).split("\\"))
    # A Convolution Kernel may have two values (Siemens: I30f\2); the first names it.
    name = plain_of(kernel).split("\\")[0][:64]
    thick = thickness_mm if thickness_mm is not None and thickness_mm > 0 else None
    return Reconstruction(sop_class, types, name, thick, acquisition, energy_kev)


def pixel_format_of(raw: Raw, little: bool, syntax: str) -> PixelFormat:
    """Return how the pixels are stored; equal formats are one object."""
    shorts = tuple(
        int.from_bytes(bytes_of(raw, keyword)[:2], "little" if little else "big")
        if bytes_of(raw, keyword)
        else -1
        for keyword in (
            "Rows",
            "Columns",
            "SamplesPerPixel",
            "BitsAllocated",
            "BitsStored",
            "PixelRepresentation",
            "PixelPaddingValue",
            "PixelPaddingRangeLimit",
        )
    )
    return _interned_format(
        syntax, shorts, text_of(raw, "PhotometricInterpretation"), int(number_of(raw, "NumberOfFrames") or 1)
    )


@lru_cache(maxsize=1024)
def _interned_format(syntax: str, shorts: tuple[int, ...], photometric: str, frames: int) -> PixelFormat:
    rows, columns, samples, allocated, stored, representation, padding, limit = shorts
    return PixelFormat(
        transfer_syntax=syntax,
        rows=max(rows, 0),
        columns=max(columns, 0),
        samples=max(samples, 1),
        photometric=photometric,
        bits_allocated=max(allocated, 0),
        bits_stored=stored if 0 < stored <= allocated else max(allocated, 0),
        is_signed=representation == 1,
        padding=None if padding < 0 else (padding, padding if limit < 0 else limit),
        frames=max(frames, 1),
    )
