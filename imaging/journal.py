"""The log of a run: one JSON object a line, appended as things happen, without names.

A log is what people send each other when something fails, so it says which study by
its UID and holds no patient: a traceback may quote a header or a path, and the words
of the patient's name and number are taken out of it.
"""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from records.model import Study

__all__ = ["LOG", "Journal", "without_patient"]

LOG = "log.jsonl"  # in the folder of a run

WITHHELD = "[patient]"
TELLING_LENGTH = 4  # a shorter word is taken out only where it stands alone


class Journal:
    """An open log; a context manager that closes it.

    Parameters
    ----------
    path : Path
        Appended to, so that the runs that made one store are one log. A last line that a power cut
        left unfinished stays a line of its own.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                self._file.write("" if file.read() == b"\n" else "\n")

    def write(self, event: str, **facts: object) -> None:
        """Add a line, at once on disk as far as other processes can see."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def without_patient(text: str, study: Study) -> str:
    """Return text without the words of a patient's name and number.

    >>> study = Study("1.2", "A-4711", "Doe^Li", "", "")
    >>> without_patient("cannot read /export/DOE_LI/A-4711/1.dcm: line 12", study)
    'cannot read /export/[patient]_[patient]/[patient]/1.dcm: line 12'
    """
    parts = {*re.split(r"[\W_]+", study.patient_name), study.patient_id, study.patient_name}
    words = [_pattern(part) for part in sorted(parts, key=len, reverse=True) if part.strip()]
    return re.sub("|".join(words), WITHHELD, text, flags=re.IGNORECASE) if words else text


def _pattern(part: str) -> str:
    word = re.escape(part)
    return word if len(part) >= TELLING_LENGTH else rf"(?<![^\W_]){word}(?![^\W_])"
