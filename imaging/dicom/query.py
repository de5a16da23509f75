"""What is asked of an archive, and what it says it has."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from imaging.dicom.nodes import PacsError
from records.cells import unguarded

__all__ = ["Archive", "Keep", "Query", "SeriesMatch", "StudyMatch", "read_registry"]

ID_COLUMNS = ("patient_id", "patientid", "patient id", "pid", "id")


@dataclass(frozen=True, slots=True)
class StudyMatch:
    """A study that an archive has."""

    study_uid: str
    patient_id: str
    study_date: str  # ISO 8601, "" if it does not say
    description: str
    accession: str
    modalities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SeriesMatch:
    """A series that an archive has."""

    study_uid: str
    series_uid: str
    modality: str
    description: str


@dataclass(frozen=True, slots=True)
class Query:
    """Which studies are asked for; what is empty does not matter.

    Attributes
    ----------
    description : str
        `*` stands for anything; capitals do not matter.
    """

    patient_id: str = ""
    first_day: date | None = None
    last_day: date | None = None
    modality: str = "CT"
    description: str = ""
    accession: str = ""

    @property
    def date_range(self) -> str:
        """The dates as DICOM asks for them (PS3.4 C.2.2.2.5), "" for any."""
        if self.first_day is None and self.last_day is None:
            return ""
        first, last = (f"{day:%Y%m%d}" if day else "" for day in (self.first_day, self.last_day))
        return first if first == last else f"{first}-{last}"

    @property
    def keys(self) -> dict[str, str]:
        """What an archive is asked, by keyword; what only is to be returned is empty."""
        return {
            "PatientID": self.patient_id,
            "StudyDate": self.date_range,
            "ModalitiesInStudy": self.modality,
            "StudyDescription": "",  # capitals matter to some archives: all are asked for, and sorted here
            "AccessionNumber": self.accession,
        }

    def fits(self, match: StudyMatch) -> bool:
        """Return whether a study is one that was asked for.

        Archives may ignore keys they do not support, and read `*` and `?` in a patient's
        number as wildcards; a date or modality they do not return cannot be held against it.
        """
        day = match.study_date
        return (
            (not self.patient_id or match.patient_id == self.patient_id)
            and not (day and self.first_day and day < self.first_day.isoformat())
            and not (day and self.last_day and day > self.last_day.isoformat())
            and (not self.modality or not match.modalities or self.modality in match.modalities)
            and (not self.description or fnmatchcase(match.description.lower(), self.description.lower()))
            and (not self.accession or match.accession == self.accession)
        )


Keep = Callable[[str, bytes], None]  # SOP Instance UID and the file as it came


class Archive(Protocol):
    """What can be asked of an archive, whatever it speaks. Every method may raise PacsError."""

    def echo(self) -> None:
        """Ask whether it is there and lets us in."""
        ...

    def find_studies(self, query: Query) -> list[StudyMatch]:
        """Return the studies that fit."""
        ...

    def find_series(self, study_uid: str) -> list[SeriesMatch]:
        """Return the series of a study."""
        ...

    def find_instances(self, study_uid: str, series_uid: str) -> frozenset[str]:
        """Return the SOP Instance UIDs of a series."""
        ...

    def retrieve(self, study_uid: str, series_uid: str, wanted: frozenset[str], keep: Keep) -> None:
        """Have the instances `wanted` of a series sent; `keep` is called with each as it arrives."""
        ...

    def store(self, paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
        """Send files; yield each with why it was refused, "" if it was taken."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


def read_registry(path: Path) -> tuple[str, ...]:
    """Return the patient numbers of a cancer registry's list, each once, in its order.

    Parameters
    ----------
    path : Path
        CSV with a heading `patient_id`; commas, semicolons or tabs.

    Raises
    ------
    PacsError
        If it has no such column, or no number in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PacsError(f"{path} cannot be read as text: {error}") from error
    heading = text.partition("\n")[0]
    separator = max(",;\t", key=heading.count)
    rows = csv.DictReader(text.splitlines(), delimiter=separator)
    names = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    column = next((names[name] for name in ID_COLUMNS if name in names), None)
    if column is None:
        raise PacsError(f"{path.name} has no column patient_id; its first line is {heading[:80].strip()!r}")
    numbers = dict.fromkeys(unguarded((row[column] or "").strip()) for row in rows)
    numbers.pop("", None)
    if not numbers:
        raise PacsError(f"{path.name} has no patient number in column {column}")
    odd = [
        number for number in numbers if re.search(r"[\\*?]|[^\x20-\U0010ffff]", number) or len(number) > 64
    ]
    if odd:
        raise PacsError(f"{path.name}: {odd[0]!r} cannot be a patient number (64 letters, none of \\ * ?)")
    return tuple(numbers)
