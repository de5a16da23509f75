"""What intake knows of files, images, series and studies: small enough to send to another process."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imaging.dicom.sources import Source
from records.errors import GeometryError
from records.model import Point, Series, Study

if TYPE_CHECKING:
    from imaging.dicom.stack import Stack

__all__ = [
    "Damage",
    "Frame",
    "Intake",
    "PixelFormat",
    "Problem",
    "ProblemCode",
    "Reconstruction",
    "Rescale",
    "SeriesFiles",
    "StudyFiles",
]


class ProblemCode(StrEnum):
    """Why a file that should have been an image is none."""

    ARCHIVE_REFUSED = "archive_refused"
    DAMAGED = "damaged"
    EMPTY = "empty"
    MISSING = "missing"
    NOT_DICOM = "not_dicom"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that was set aside, and why."""

    path: str
    code: ProblemCode
    sentence: str


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of an image are stored (PS3.3 C.7.6.3)."""

    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    padding: tuple[int, int] | None  # Pixel Padding Value and Range Limit, as unsigned bit patterns
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame that is not compressed."""
        return self.rows * self._row_bits // 8

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of pixels that are not compressed, at least 1."""
        return max(1, self._row_bits // 8)

    @property
    def _row_bits(self) -> int:
        # In YBR_FULL_422 two pixels share their colour (PS3.3 C.7.6.3.1.2).
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.columns * samples * self.bits_allocated


@dataclass(frozen=True, slots=True)
class Rescale:
    """From stored values to Hounsfield units (PS3.3 C.11.1)."""

    slope: float
    intercept: float
    type: str  # "" if not given


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How an image was made; images of one series may differ."""

    sop_class_uid: str
    image_type: tuple[str, ...]
    kernel: str
    slice_thickness_mm: float | None
    acquisition: int
    energy_kev: float | None = None  # of a virtual monoenergetic image, as its attributes say


@dataclass(frozen=True, slots=True)
class Frame:
    """One image: a classic file, or a frame of a multi-frame file."""

    source: Source
    number: int  # of the frame in its file, from 0
    sop_instance_uid: str
    instance_number: int
    position_mm: Point | None  # Image Position (Patient), LPS
    orientation: tuple[float, ...] | None  # Image Orientation (Patient): along a row, then down a column
    pixel_spacing_mm: tuple[float, float] | None  # between rows, between columns
    rescale: Rescale | None
    reconstruction: Reconstruction
    format: PixelFormat
    pixels_at: int  # of the Pixel Data value in the file, bytes
    pixels_length: int | None  # bytes; None if undefined (encapsulated)
    frame_of_reference_uid: str = ""  # in which `position_mm` is a place; "" if not given


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a series whose image cannot be used."""

    source: Source
    sentence: str


@dataclass(frozen=True, slots=True)
class SeriesFiles:
    """The files of one series."""

    uid: str
    study_uid: str
    number: int
    description_text: str
    protocol: str
    body_part: str
    modality: str
    manufacturer: str
    scanner: str
    frame_of_reference_uid: str
    exposure_mas: float | None
    frames: tuple[Frame, ...]
    damaged: tuple[Damage, ...]
    copies: int  # files left out: same SOP Instance UID as one that is kept
    other_objects: int  # without pixels: reports, structure sets, ...

    @property
    def label(self) -> str:
        """Name for a sentence: number and description."""
        return f"series {self.number}" + (f" '{self.description_text}'" if self.description_text else "")

    @property
    def copies_in_words(self) -> str:
        """What is said of files left out, "" if none was; whether their pixels differ nobody has looked."""
        what = "files left out since another one bears their SOP Instance UID"
        return f"{what}: {self.copies}" if self.copies else ""

    @property
    def description(self) -> Series:
        """The series as the headers of its stack describe it; spacing from Image Position (Patient)."""
        stack = _stack(self.frames)
        first = next(iter(stack.frames if stack else self.frames), None)
        first_thickness_mm = first.reconstruction.slice_thickness_mm if first else None
        return Series(
            uid=self.uid,
            study_uid=self.study_uid,
            description=self.description_text,
            image_type=first.reconstruction.image_type if first else (),
            manufacturer=self.manufacturer,
            scanner=self.scanner,
            kernel=first.reconstruction.kernel if first else "",
            slices=len(self.frames),
            rows=first.format.rows if first else 0,
            columns=first.format.columns if first else 0,
            slice_thickness_mm=stack.slice_thickness_mm if stack else first_thickness_mm,
            slice_spacing_mm=stack.spacing_mm[0] if stack else None,
            tube_current_time_product_mas=self.exposure_mas,
            transfer_syntax=first.format.transfer_syntax if first else "",
        )


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """The files of one study."""

    study: Study
    series: tuple[SeriesFiles, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """What was found in the input."""

    studies: tuple[StudyFiles, ...]
    other_files: int
    problems: tuple[Problem, ...]


def _stack(frames: Sequence[Frame]) -> "Stack | None":
    from imaging.dicom.stack import build_stack

    try:
        return build_stack(frames)
    except GeometryError:
        return None
