"""A pack: everything one reader may see, and nothing else.

These records are all that the window is given of a case. They have no field for
a name, a date of the calendar, a treatment, a result of the screening or of
another reader, so none can be shown by mistake.

    pack.json       this record
    images/CODE/N/  de-identified CT of time point N, one series
    reads.jsonl     the ledger: signed reads (empty but for its opening entry)
    drafts/         made by the reading room
"""

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import cattrs

from records.files import replace_file
from viewer.reading import Mark

__all__ = [
    "BlindedCase",
    "Decision",
    "Pack",
    "PackError",
    "ReadingProtocol",
    "ShownRead",
    "TimePoint",
    "digest_of_description",
    "digest_of_images",
    "image_files",
    "images_of",
    "load_pack",
    "save_pack",
]

PACK_FILE = "pack.json"
FORMAT = 1
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # what a system leaves in folders that it shows
SHADOW = "._"  # begins what macOS writes beside a file on a disk that is not its own


class PackError(Exception):
    """A pack cannot be made, opened or collected: a sentence says why and what to do."""


class Decision(StrEnum):
    """What an adjudicator decides on a case."""

    LABEL = "label"  # by a read of the baseline
    RESPONSE = "response"  # whose measurements stand, by a choice at the last scan


@dataclass(frozen=True, slots=True)
class ReadingProtocol:
    """What is asked of the readers.

    Attributes
    ----------
    asks_recist : bool
        Lesions are entered, at baseline and at follow-ups.
    shows_marks : bool
        After a read is signed, the machine's marks may be shown, for a second, separate read.
    asks_passphrase : bool
        The reader chooses a passphrase at the first signature, and types it at each.
    """

    name: str = "two readers"
    asks_recist: bool = True
    shows_marks: bool = False
    asks_passphrase: bool = False


@dataclass(frozen=True, slots=True)
class TimePoint:
    """One scan of a case.

    Attributes
    ----------
    number : int
        1 is the baseline.
    day : int
        Days after the baseline.
    date : str
        ISO 8601, shifted by a number of days that is the case's own: that of the images in the pack.
    """

    number: int
    day: int
    date: str
    slices: int
    slice_spacing_mm: Decimal
    slice_thickness_mm: Decimal | None

    @property
    def name(self) -> str:
        """What the reader calls it."""
        return "Baseline" if self.number == 1 else f"Follow-up {self.number - 1}"

    @property
    def averaged_mm(self) -> Decimal:
        """How much tissue an image averages: the thickness, or the spacing where it is not given."""
        return self.slice_thickness_mm or self.slice_spacing_mm


@dataclass(frozen=True, slots=True)
class ShownRead:
    """A read of one scan that an adjudicator is shown, as reader 1 or 2 in the case's own order.

    Attributes
    ----------
    marks : tuple of Mark
        Where it was measured; without the images of the earlier pack.
    """

    label: str
    answers: dict[str, str]
    time_point: int = 1
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class BlindedCase:
    """A patient without identity: a code and scans in time order.

    Attributes
    ----------
    decides : tuple of Decision
        What is adjudicated; empty for a reader's own read.
    """

    code: str
    time_points: tuple[TimePoint, ...]
    earlier_reads: tuple[ShownRead, ...] = ()
    decides: tuple[Decision, ...] = ()

    def is_asked(self, number: int) -> bool:
        """Whether a scan has a form to sign; the others of an adjudicated case are there to be seen."""
        return not self.decides or (Decision.LABEL in self.decides and number == 1) or self.is_choice(number)

    def is_choice(self, number: int) -> bool:
        """Whether the form of a scan is the choice between two readers' measurements."""
        return Decision.RESPONSE in self.decides and number == self.time_points[-1].number


@dataclass(frozen=True, slots=True)
class Pack:
    """The worklist of one reader, in the order it is read."""

    pack_id: str
    reader: str
    protocol: ReadingProtocol
    cases: tuple[BlindedCase, ...]
    format: int = FORMAT

    @property
    def asked(self) -> tuple[tuple[BlindedCase, TimePoint], ...]:
        """Every scan that has a form to sign, with its case."""
        return tuple(
            (case, point) for case in self.cases for point in case.time_points if case.is_asked(point.number)
        )

    def case(self, code: str) -> BlindedCase:
        """Return a case by its code."""
        return next(case for case in self.cases if case.code == code)


def save_pack(pack: Pack, folder: Path) -> None:
    """Write the description of a pack into its folder."""
    values = _converter().unstructure(pack)
    replace_file(folder / PACK_FILE, (json.dumps(values, indent=1) + "\n").encode())


def load_pack(folder: Path) -> Pack:
    """Read the description of a pack.

    Raises
    ------
    PackError
        If the folder is no pack, or one of another format.
    """
    try:
        values = json.loads((folder / PACK_FILE).read_bytes())
        if values["format"] != FORMAT:
            raise PackError(f"the pack {folder} has format {values['format']}, this mipc reads {FORMAT}")
        return _converter().structure(values, Pack)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PackError(f"{folder} is no pack: it holds no {PACK_FILE}") from error
    except OSError as error:
        raise PackError(f"the {PACK_FILE} of {folder} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError, cattrs.BaseValidationError) as error:
        raise PackError(f"the {PACK_FILE} of {folder} is damaged; ask for the pack again") from error


def images_of(folder: Path, code: str, number: int) -> Path:
    """Return where the images of a time point lie in a pack."""
    return folder / "images" / code / str(number)


def image_files(folder: Path, code: str, number: int) -> list[Path]:
    """Return the images of a time point, in order of their names, without what the system left beside them.

    Raises
    ------
    OSError
        If they are not there.
    """
    found = sorted(images_of(folder, code, number).iterdir())
    return [path for path in found if path.name not in LITTER and not path.name.startswith(SHADOW)]


def digest_of_description(folder: Path) -> str:
    """Return the SHA-256 of `pack.json`."""
    return hashlib.sha256((folder / PACK_FILE).read_bytes()).hexdigest()


def digest_of_images(folder: Path, code: str, number: int) -> str:
    """Return one SHA-256 over the images of a time point, by which they are known again.

    Raises
    ------
    OSError
        If they are not there or can't be read.
    """
    whole = hashlib.sha256()
    for path in image_files(folder, code, number):
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Decimal, str)
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(str(value)))
    return converter
