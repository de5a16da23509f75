"""What may leave the hospital: a list of attributes, each with the check that its value has to pass.

DICOM PS3.15 annex E names some six hundred attributes to remove or replace, and
grows every year. A list of what stays cannot forget one: what is not named here
does not leave. It holds what reading, measuring and drawing a CT takes. Text
stays only as words of a closed vocabulary (Clean Descriptors Option).
"""

import re
from collections.abc import Callable, MutableSequence
from typing import TypeAlias

from imaging.dicom.plain import NOT_ANATOMY
from imaging.dicom.rules import NAMED_OTHERWISE
from imaging.dicom.words import words

__all__ = ["DATES", "KEPT", "SEQUENCES", "UIDS", "Check", "clean_text"]

Check: TypeAlias = Callable[[object], object | None]  # the value that may stay, None if none may

UIDS = frozenset("StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID".split())
DATES = frozenset("StudyDate SeriesDate AcquisitionDate ContentDate".split())
SEQUENCES = frozenset(
    """
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelMeasuresSequence
    PlanePositionSequence PlaneOrientationSequence PixelValueTransformationSequence FrameContentSequence
    CTImageFrameTypeSequence CTReconstructionSequence CTExposureSequence FrameVOILUTSequence
    MultienergyCTCharacteristicsSequence
    """.split()
)

NUMBERS = """
    Rows Columns SamplesPerPixel BitsAllocated BitsStored HighBit PixelRepresentation NumberOfFrames
    PixelPaddingValue PixelPaddingRangeLimit SmallestImagePixelValue LargestImagePixelValue
    PixelSpacing ImagePositionPatient ImageOrientationPatient SliceThickness SpacingBetweenSlices
    SliceLocation RescaleSlope RescaleIntercept WindowCenter WindowWidth KVP XRayTubeCurrent ExposureTime
    Exposure ReconstructionDiameter DataCollectionDiameter GantryDetectorTilt TableHeight SpiralPitchFactor
    SeriesNumber AcquisitionNumber InstanceNumber FrameAcquisitionNumber TemporalPositionIndex
    InStackPositionNumber DimensionIndexValues ExposureInmAs PatientSize PatientWeight PregnancyStatus
    MonoenergeticEnergyEquivalent
""".split()
LONGEST_NUMBER = 20  # characters; a Decimal String has 16, some scanners write a few more

TERMS = {
    "ImageType": f"""ORIGINAL DERIVED PRIMARY SECONDARY AXIAL VOLUME NONE OTHER AVERAGE
        HELIX SEQ SPI CT_SOM5 RESAMPLED VMI {" ".join(sorted(NOT_ANATOMY))}""",
    "Modality": "CT",
    "PhotometricInterpretation": "MONOCHROME1 MONOCHROME2",
    "PatientSex": "M F O",
    "SmokingStatus": "YES NO UNKNOWN",
    "PatientPosition": "HFS HFP HFDL HFDR FFS FFP FFDL FFDR",
    "BodyPartExamined": "CHEST THORAX LUNG CHESTABDOMEN CHESTABDPELVIS ABDOMEN",
    "LossyImageCompression": "00 01",
    "RotationDirection": "CW CC",
    "VolumetricProperties": "VOLUME SAMPLED DISTORTED MIXED",
}
TERMS["FrameType"] = TERMS["ImageType"]

VENDORS = words(
    "ge(?: medical systems| healthcare)?", "siemens(?: healthineers)?", "philips(?: medical systems)?",
    "toshiba(?:_mec)?", "canon(?:_mec)?", "hitachi", "neusoft", "united imaging(?: healthcare)?", "uih",
    "mipc",
)  # fmt: skip
KERNEL = re.compile(
    r"(?:[BIHUTJ]|B[rflv]|Q[r]|H[rfc])\d{2}[a-z]?|FC\d{2}|STANDARD|SOFT|LUNG|CHEST|BONE(?:PLUS)?|DETAIL|EDGE|"
    r"[A-EL]|Y[ABC]",
    re.IGNORECASE,
)
DESCRIPTORS = words(
    "ct", "chest", "thorax", "thx", "lungs?", "abdomen", "axial", "ax", "thin", "thick", "soft", "tissue",
    "standard", "std", "routine", "low", "dose", "ld", "hr", "hrct", "contrast", "without", "with", "non",
    "con", "iv", "native", "arterial", "venous", "inspiration", "expiration", "mip", "mpr", "coronal",
    "sagittal", "scout", "topogram", "localizer", r"[0-9](?:\.[0-9]{1,3})?\s?mm", r"[0-9]{2,3}\s?kev",
)  # fmt: skip
AGE = re.compile(r"(\d{3})([DWMY])")
OLDEST_YEARS = 89  # above, an age identifies (45 CFR 164.514(b)(2)(i)(C))


def clean_text(text: object) -> str:
    """Return the words of `text` that say nothing about anybody.

    >>> clean_text("CHEST thin 1.25 mm, Mr. Doe, room 12")
    'CHEST thin 1.25 mm'
    """
    return " ".join(found[0] for found in DESCRIPTORS.finditer(str(text)))


def _series_description(text: object) -> str:
    """Return the words that say nothing about anybody; what names no plain scan goes on naming none."""
    said = clean_text(text)
    is_lost = NAMED_OTHERWISE.search(str(text)) and not NAMED_OTHERWISE.search(said)
    return f"{said} reformat".strip() if is_lost else said


def _values(value: object) -> list[object]:
    return list(value) if isinstance(value, MutableSequence) else [value]


def _numbers(value: object) -> object | None:
    texts = [str(one) for one in _values(value)]
    try:
        fits = all(abs(float(text)) < 1e9 and len(text) <= LONGEST_NUMBER for text in texts)
    except ValueError:
        return None
    return value if fits else None


def _terms(allowed: frozenset[str]) -> Check:
    def check(value: object) -> object | None:
        kept = [term for one in _values(value) if (term := _term(str(one), allowed))]
        return kept if len(kept) > 1 else kept[0] if kept else None

    return check


def _term(text: str, allowed: frozenset[str]) -> str:
    """Return the words of one value that are allowed, whole or in their parts."""
    kept: list[str] = []
    for word in text.upper().replace("/", " ").split():
        kept += [word] if word in allowed else [part for part in word.split("_") if part in allowed]
    return " ".join(kept)


def _unit(value: object) -> object | None:
    """Return the unit of pixels. Without any they would be Hounsfield units, so another is unspecified."""
    text = str(value or "").strip()
    return text if text in {"", "HU"} else "US"


def _vendor(value: object) -> object | None:
    found = VENDORS.search(str(value))
    return found[0] if found else None


def _kernel(value: object) -> object | None:
    first = str(_values(value)[0])
    return first if KERNEL.fullmatch(first) else None


def _age(value: object) -> object | None:
    found = AGE.fullmatch(str(value))
    if not found:
        return None
    return "090Y" if found[2] == "Y" and int(found[1]) > OLDEST_YEARS else found[0]


KEPT: dict[str, Check] = (
    dict.fromkeys(NUMBERS, _numbers)
    | {keyword: _terms(frozenset(terms.split())) for keyword, terms in TERMS.items()}
    | {
        "RescaleType": _unit,
        "Manufacturer": _vendor,
        "ConvolutionKernel": _kernel,
        "PatientAge": _age,
        "StudyDescription": clean_text,
        "SeriesDescription": _series_description,
    }
)
