"""The header of one DICOM file, read once, up to its pixels."""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from imaging.dicom.files import Frame, PixelFormat, ProblemCode
from imaging.dicom.meta import META_BYTES, Meta, read_meta
from imaging.dicom.sources import BombError, Source, open_source
from imaging.dicom.values import (
    TAG,
    Raw,
    SeriesFacts,
    bytes_of,
    number_of,
    numbers_of,
    pixel_format_of,
    point_of,
    reconstruction_of,
    rescale_of,
    series_of,
    study_of,
    text_of,
    uid_of,
)
from records.model import Study

__all__ = ["CT_CLASSES", "Header", "HeaderError", "read_header"]

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
MULTI_FRAME = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
PIXEL_DATA = 0x7FE00010
PIXEL_ELEMENTS = frozenset({PIXEL_DATA, 0x7FE00008, 0x7FE00009})  # integer, float, double
LONG_VR = frozenset({"OB", "OW", "OF", "OD", "UN"})  # explicit VRs whose length takes four more bytes
UNDEFINED_LENGTH = 0xFFFFFFFF
TAGS = list(TAG.values())
PREFIX_BYTES = 2**15  # nearly every header is shorter, and memory is parsed faster than a file

# What a parser meets in bytes that are not what they claim to be: each of these was raised by
# pydicom on a damaged file, and none of them is a reason to lose the rest of the batch.
BROKEN = (
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
    except BROKEN as error:
        raise HeaderError(
            ProblemCode.DAMAGED, f"{source.name} is damaged: its header cannot be parsed"
        ) from error


class _StopAtPixels:
    """Tells pydicom where to stop, and remembers what was there."""

    def __init__(self) -> None:
        self.tag: int | None = None
        self.vr: str | None = None
        self.length = 0
        self.value_at = 0

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        if tag not in PIXEL_ELEMENTS:
            return False
        self.tag, self.vr, self.length = int(tag), vr, length
        return True


def _read(source: Source, file: BinaryIO) -> Header:
    head = file.read(PREFIX_BYTES)
    size = file.seek(0, 2)
    _check_is_dicom(source, head, size)
    stop = _StopAtPixels()
    meta, dataset = _parse(io.BytesIO(head), stop)
    if stop.tag is None and size > len(head):
        meta, dataset = _parse(file, stop)
    raw: Raw = {int(element.tag): element.value for element in dataset.values()}
    if meta.sop_class_uid == MediaStorageDirectoryStorage or TAG["DirectoryRecordSequence"] in raw:
        return _directory(source)
    study = study_of(raw)
    if not study.uid:
        cut = stop.tag is None
        raise HeaderError(
            ProblemCode.TRUNCATED if cut else ProblemCode.DAMAGED,
            f"{source.name} is {'cut off' if cut else 'damaged'}: it names no study",
        )
    frames, damage = _image(source, dataset, meta, raw, stop, size)
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


def _parse(file: BinaryIO, stop: "_StopAtPixels") -> tuple[Meta, Dataset]:
    """Parse up to the pixels; `stop` then knows where they are."""
    file.seek(0)
    meta = read_meta(file.read(META_BYTES))
    dataset: Dataset
    if meta:
        file.seek(meta.dataset_at)
        dataset = read_dataset(
            file, meta.is_implicit_vr, meta.is_little_endian, stop_when=stop, specific_tags=TAGS
        )
    else:  # an old or irregular file: pydicom finds out how it is written
        file.seek(0)
        dataset = found = read_partial(file, stop_when=stop, specific_tags=TAGS, force=True)
        meta = Meta(
            sop_class_uid=str(found.file_meta.get("MediaStorageSOPClassUID", "")),
            transfer_syntax=_syntax(found),
            dataset_at=0,
        )
    stop.value_at = file.tell() + (12 if stop.vr in LONG_VR else 8)  # pydicom stops before the tag
    return meta, dataset


def _syntax(found: FileDataset) -> str:
    """Return the transfer syntax that a file without meta information turned out to have."""
    said = str(found.file_meta.get("TransferSyntaxUID", ""))
    if said:
        return said
    is_implicit, is_little = found.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _image(
    source: Source, dataset: Dataset, meta: Meta, raw: Raw, stop: "_StopAtPixels", size: int
) -> tuple[tuple[Frame, ...], str]:
    """Return the frames of the file, and why they cannot be used if they cannot."""
    if text_of(raw, "SOPClassUID") not in CT_CLASSES and stop.tag is None:
        return (), ""
    image = pixel_format_of(raw, meta.is_little_endian, meta.transfer_syntax)
    damage = _damage(source, stop, image, size)
    if damage:
        return (), damage
    length = None if stop.length == UNDEFINED_LENGTH else stop.length
    return _frames(source, dataset, raw, image, stop.value_at, length), ""


def _check_is_dicom(source: Source, head: bytes, size: int) -> None:
    if size == 0:
        raise HeaderError(ProblemCode.EMPTY, f"{source.name} is empty (0 bytes)")
    # Some old exports lack preamble and prefix: their first element is of group 2 or 8.
    bare = head[:4] in {b"\x02\0\0\0", b"\x08\0\0\0", b"\x08\0\5\0", b"\x08\0\x08\0", b"\x08\0\x16\0"}
    if head[128:132] != b"DICM" and not bare:
        raise HeaderError(ProblemCode.NOT_DICOM, f"{source.name} is not a DICOM file")


def _damage(source: Source, stop: _StopAtPixels, image: PixelFormat, size: int) -> str:
    """Return why the pixels cannot be there, from lengths alone."""
    if stop.tag is None:
        return f"{source.name} ends before its pixel data"
    if stop.tag != PIXEL_DATA:
        return ""
    left = size - stop.value_at
    expected = image.frames * image.frame_bytes
    if stop.length == UNDEFINED_LENGTH:
        return f"{source.name} ends before its pixel data" if left <= 0 else ""
    if left < stop.length:
        found = max(left, 0)
        return f"{source.name} is cut off: {stop.length:,} bytes of pixel data expected, {found:,} found"
    if stop.length < expected:
        return (
            f"{source.name} holds {stop.length:,} bytes of pixel data, its header says "
            f"{image.rows} x {image.columns} pixels: {expected:,} bytes"
        )
    return ""


def _frames(
    source: Source, dataset: Dataset, raw: Raw, image: PixelFormat, pixels_at: int, length: int | None
) -> tuple[Frame, ...]:
    sop_class = text_of(raw, "SOPClassUID")
    if sop_class in MULTI_FRAME:
        from imaging.dicom.multiframe import read_frames

        return read_frames(source, dataset, sop_class, image, pixels_at, length)
    orientation = numbers_of(raw, "ImageOrientationPatient", 6)
    spacing = numbers_of(raw, "PixelSpacing", 2)
    frame = Frame(
        source=source,
        number=0,
        sop_instance_uid=uid_of(raw, "SOPInstanceUID"),
        instance_number=int(number_of(raw, "InstanceNumber") or 0),
        position_mm=point_of(numbers_of(raw, "ImagePositionPatient", 3)),
        orientation=orientation,
        pixel_spacing_mm=(spacing[0], spacing[1]) if spacing else None,
        rescale=rescale_of(
            bytes_of(raw, "RescaleSlope"), bytes_of(raw, "RescaleIntercept"), bytes_of(raw, "RescaleType")
        ),
        reconstruction=reconstruction_of(
            sop_class,
            bytes_of(raw, "ImageType"),
            bytes_of(raw, "ConvolutionKernel"),
            number_of(raw, "SliceThickness"),
            int(number_of(raw, "AcquisitionNumber") or 0),
        ),
        format=image,
        pixels_at=pixels_at,
        pixels_length=length,
    )
    return (frame,)


def _directory(source: Source) -> Header:
    nobody = Study("", "", "", "", "")
    return Header(source, nobody, SeriesFacts("", 0, "", "", "", "", "", ""), "", "", None, (), "", True)
