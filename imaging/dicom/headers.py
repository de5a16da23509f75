"""The header of one DICOM file, read once, up to its pixels."""

import errno
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from imaging.dicom.classes import (
    CT_CLASSES,
    ENHANCED_CT_IMAGE,
    LEGACY_ENHANCED_CT_IMAGE,
    MEDIA_DIRECTORY,
)
from imaging.dicom.energy import stated_kev
from imaging.dicom.files import Frame, PixelFormat, ProblemCode
from imaging.dicom.parsing import PIXEL_DATA, UNDEFINED_LENGTH, Parsed, parse
from imaging.dicom.sources import HEAD_BYTES, ZIP, BombError, Source, archive_kind, open_source
from imaging.dicom.values import (
    TAG,
    SeriesFacts,
    bytes_of,
    number_of,
    numbers_of,
    pixel_format_of,
    pixel_spacing_of,
    point_of,
    reconstruction_of,
    rescale_of,
    series_of,
    study_of,
    text_of,
    uid_of,
)
from records.model import Study

__all__ = ["Header", "HeaderError", "broken", "read_header"]

MULTI_FRAME = frozenset({ENHANCED_CT_IMAGE, LEGACY_ENHANCED_CT_IMAGE})


def broken() -> tuple[type[Exception], ...]:
    """Return what a parser meets in bytes that are not what they claim to be.

    Each of these was raised by pydicom on a damaged file, and none of them is a reason to lose the rest of
    the batch. Asked for where something was raised, so that pydicom is not loaded before.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    return (
        ArithmeticError,
        AssertionError,
        AttributeError,
        BytesLengthException,
        EOFError,
        InvalidDicomError,
        LookupError,
        NotImplementedError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
    )


class HeaderError(Exception):
    """A file that gives no header."""

    def __init__(self, code: ProblemCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Header:
    """One DICOM file as intake sees it."""

    source: Source
    study: Study
    series: SeriesFacts
    sop_instance_uid: str
    frame_of_reference_uid: str
    exposure_mas: float | None
    frames: tuple[Frame, ...]
    damage: str  # why its image cannot be used, "" if it can or if there is none
    is_directory: bool = False


def read_header(source: Source) -> Header:
    """Read what intake needs of one file.

    Raises
    ------
    HeaderError
        If the file is empty, is not DICOM, or cannot be parsed; says which.
    """
    try:
        with open_source(source) as file:
            return _read(source, file)
    except BombError as error:
        raise HeaderError(ProblemCode.ARCHIVE_REFUSED, f"{source.name} is refused: {error}") from error
    except PermissionError as error:
        raise HeaderError(ProblemCode.UNREADABLE, f"{source.name} may not be opened") from error
    except broken() as error:
        # The system's word on a file (gone, no handle left, a disk that fails) says nothing of its content;
        # a place before the start of a file is what a damaged header asks for.
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            sentence = f"{source.name} cannot be read now: {error.strerror}"
            raise HeaderError(ProblemCode.UNREADABLE, sentence) from error
        raise HeaderError(
            ProblemCode.DAMAGED, f"{source.name} is damaged: its header cannot be parsed"
        ) from error


def _read(source: Source, file: BinaryIO) -> Header:
    head = file.read(HEAD_BYTES)
    size = file.seek(0, 2)
    _check_is_dicom(source, head, size)
    parsed = parse(file, size)
    raw = parsed.raw
    if parsed.meta.sop_class_uid == MEDIA_DIRECTORY or TAG["DirectoryRecordSequence"] in raw:
        return _directory(source)
    study = study_of(raw)
    if not study.uid:
        cut = parsed.pixels_tag is None
        raise HeaderError(
            ProblemCode.TRUNCATED if cut else ProblemCode.DAMAGED,
            f"{source.name} is {'cut off' if cut else 'damaged'}: it names no study",
        )
    frames, damage = _image(source, parsed, size)
    return Header(
        source=source,
        study=study,
        series=series_of(raw),
        sop_instance_uid=uid_of(raw, "SOPInstanceUID"),
        frame_of_reference_uid=uid_of(raw, "FrameOfReferenceUID"),
        exposure_mas=number_of(raw, "Exposure"),
        frames=frames,
        damage=damage,
    )


def _image(source: Source, parsed: Parsed, size: int) -> tuple[tuple[Frame, ...], str]:
    """Return the frames of the file, and why they cannot be used if they cannot."""
    if text_of(parsed.raw, "SOPClassUID") not in CT_CLASSES and parsed.pixels_tag is None:
        return (), ""
    image = pixel_format_of(parsed.raw, parsed.meta.is_little_endian, parsed.meta.transfer_syntax)
    damage = _damage(source, parsed, image, size)
    return ((), damage) if damage else (_frames(source, parsed, image), "")


def _check_is_dicom(source: Source, head: bytes, size: int) -> None:
    if size == 0:
        raise HeaderError(ProblemCode.EMPTY, f"{source.name} is empty (0 bytes)")
    kind = archive_kind(head) if source.member else ""
    if kind and (kind != ZIP or source.name.lower().endswith(".zip")):  # a document may be zipped too
        sentence = f"{source.name} is a {kind} archive in an archive; unpack it first"
        raise HeaderError(ProblemCode.ARCHIVE_REFUSED, sentence)
    # Some old exports lack preamble and prefix: their first element is of group 2 or 8.
    bare = head[:4] in {b"\x02\0\0\0", b"\x08\0\0\0", b"\x08\0\5\0", b"\x08\0\x08\0", b"\x08\0\x16\0"}
    if head[128:132] != b"DICM" and not bare:
        raise HeaderError(ProblemCode.NOT_DICOM, f"{source.name} is not a DICOM file")


def _damage(source: Source, parsed: Parsed, image: PixelFormat, size: int) -> str:
    """Return why the pixels cannot be there, from lengths alone."""
    if parsed.pixels_tag is None:
        return f"{source.name} ends before its pixel data"
    if parsed.pixels_tag != PIXEL_DATA:
        return ""
    if not image.rows or not image.columns:
        return f"{source.name} says that its image has {image.rows} x {image.columns} pixels"
    described = _described(parsed)
    if described is not None and described < image.frames:
        return f"{source.name} says that it holds {image.frames:,} frames, and describes {described:,}"
    found = max(size - parsed.pixels_at, 0)
    expected = image.frames * image.frame_bytes
    if parsed.pixels_length == UNDEFINED_LENGTH:
        return "" if found else f"{source.name} ends before its pixel data"
    if found < parsed.pixels_length:
        length = parsed.pixels_length
        return f"{source.name} is cut off: {length:,} bytes of pixel data expected, {found:,} found"
    if not expected <= parsed.pixels_length < expected + image.row_bytes:  # less than a row is padding
        return (
            f"{source.name} holds {parsed.pixels_length:,} bytes of pixel data, its header says "
            f"{image.rows} x {image.columns} pixels: {expected:,} bytes"
        )
    return ""


def _described(parsed: Parsed) -> int | None:
    """Return how many frames a multi-frame file describes, None for any other file."""
    if text_of(parsed.raw, "SOPClassUID") not in MULTI_FRAME:
        return None
    return len(parsed.dataset.get("PerFrameFunctionalGroupsSequence") or ()) if parsed.dataset else 0


def _frames(source: Source, parsed: Parsed, image: PixelFormat) -> tuple[Frame, ...]:
    raw = parsed.raw
    sop_class = text_of(raw, "SOPClassUID")
    pixels_length = None if parsed.pixels_length == UNDEFINED_LENGTH else parsed.pixels_length
    if sop_class in MULTI_FRAME:
        from pydicom.dataset import Dataset

        from imaging.dicom.multiframe import read_frames

        groups = parsed.dataset or Dataset()
        return read_frames(source, groups, sop_class, image, parsed.pixels_at, pixels_length)
    frame = Frame(
        source=source,
        number=0,
        sop_instance_uid=uid_of(raw, "SOPInstanceUID"),
        instance_number=int(number_of(raw, "InstanceNumber") or 0),
        position_mm=point_of(numbers_of(raw, "ImagePositionPatient", 3)),
        orientation=numbers_of(raw, "ImageOrientationPatient", 6),
        pixel_spacing_mm=pixel_spacing_of(numbers_of(raw, "PixelSpacing", 2)),
        rescale=rescale_of(
            bytes_of(raw, "RescaleSlope"), bytes_of(raw, "RescaleIntercept"), bytes_of(raw, "RescaleType")
        ),
        reconstruction=reconstruction_of(
            sop_class,
            bytes_of(raw, "ImageType"),
            bytes_of(raw, "ConvolutionKernel"),
            number_of(raw, "SliceThickness"),
            int(number_of(raw, "AcquisitionNumber") or 0),
            stated_kev(parsed.dataset) if parsed.dataset else None,
        ),
        format=image,
        pixels_at=parsed.pixels_at,
        pixels_length=pixels_length,
        frame_of_reference_uid=uid_of(raw, "FrameOfReferenceUID"),
    )
    return (frame,)


def _directory(source: Source) -> Header:
    nobody = Study("", "", "", "", "")
    return Header(source, nobody, SeriesFacts("", 0, "", "", "", "", "", ""), "", "", None, (), "", True)
