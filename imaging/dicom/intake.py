"""What a hospital hands over: folders, files, zip archives, a DICOMDIR, read into studies and series.

Headers are read once and no pixel is touched, in one process: two take longer,
since sending a header back costs as much as reading it. Nothing is lost in silence: a file
that is no image is counted, one that should have been is named with its reason.
"""

import os
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imaging.dicom.directory import referenced_files
from imaging.dicom.files import Intake, Problem, ProblemCode
from imaging.dicom.grouping import group_studies
from imaging.dicom.headers import Header, HeaderError, read_header
from imaging.dicom.sources import HEAD_BYTES, ZIP, BombError, Source, archive_kind, check_archive

__all__ = ["find_studies"]

Progress = Callable[[int, int], object]

BLOCK = 500  # headers read between two reports of progress
DISC_MAGIC_AT, DISC_MAGIC = 32769, b"CD001"  # ISO 9660 8.4.1 and 8.4.2
DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".dic"})


def find_studies(inputs: Sequence[Path], *, progress: Progress | None = None) -> Intake:
    """Return the studies that lie in `inputs`.

    Parameters
    ----------
    inputs : sequence of Path
        Folders of any depth with any file names, single files, zip archives, DICOMDIR files.
    progress : callable, optional
        Called with (files read, files in all) now and then.

    Returns
    -------
    Intake
        The same whatever the order of inputs and files; studies sorted by UID. What could not be
        used is in `problems`; files that never claimed to be DICOM are only counted.
    """
    found = _Found()
    for path in inputs:
        found.add(Path(path))
    sources = sorted(set(found.sources))
    headers: list[Header] = []
    for start in range(0, len(sources), BLOCK):
        for source, outcome in _read_block(sources[start : start + BLOCK]):
            if isinstance(outcome, Header):
                headers.append(outcome)
            elif outcome.code is ProblemCode.NOT_DICOM and not _claims_dicom(source):
                found.other_files += 1
            else:
                found.problems.append(outcome)
        if progress is not None:
            progress(min(start + BLOCK, len(sources)), len(sources))
    studies, problems = group_studies(header for header in headers if not header.is_directory)
    found.problems.extend(problems)
    ordered = sorted(set(found.problems), key=lambda problem: (problem.path, problem.code, problem.sentence))
    return Intake(studies=studies, other_files=found.other_files, problems=tuple(ordered))


@dataclass
class _Found:
    """Files to read, gathered input by input."""

    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    other_files: int = 0

    def add(self, path: Path) -> None:
        # os.path and not pathlib: a name may be too long to ask for.
        if os.path.isdir(path):
            for file in _walk(path, self._refuse):
                self._add_file(file)
        elif os.path.isfile(path):
            self._add_file(path)
            self._add_referenced(path)
        else:
            self._refuse(path, ProblemCode.MISSING, f"{path} is not there, or may not be looked at")

    def _refuse(self, path: Path, code: ProblemCode, sentence: str) -> None:
        self.problems.append(Problem(str(path), code, sentence))

    def _add_file(self, path: Path) -> None:
        kind = _archive_kind(path)
        if kind != ZIP:
            if kind:
                sentence = f"{path.name} is a {kind} archive; unpack it first, only zip is read"
                self._refuse(path, ProblemCode.ARCHIVE_REFUSED, sentence)
            else:
                self.sources.append(Source(str(path)))
            return
        try:
            members = check_archive(path)
        except BombError as error:
            self._refuse(path, ProblemCode.ARCHIVE_REFUSED, f"{path.name} is refused: {error}")
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            self._refuse(path, ProblemCode.ARCHIVE_REFUSED, f"{path.name} cannot be unpacked: {error}")
        else:
            self.sources.extend(members)

    def _add_referenced(self, path: Path) -> None:
        """Follow `path` if it is a DICOMDIR."""
        if path.name.upper().split(".")[0] != "DICOMDIR":
            return
        files, refused = referenced_files(path)
        self.problems.extend(refused)
        for file in files:
            if os.path.isfile(file):
                self._add_file(file)
            else:
                sentence = f"{path.name} names {file.name}, which is not there"
                self._refuse(file, ProblemCode.MISSING, sentence)


def _walk(folder: Path, refuse: Callable[[Path, ProblemCode, str], None]) -> Iterator[Path]:
    """Yield the regular files below `folder`.

    Links to folders are not followed, they may go in circles or anywhere; one that leads out is named.
    """
    inside = os.path.join(os.path.realpath(folder), "")

    def cannot_list(error: OSError) -> None:
        refuse(Path(error.filename), ProblemCode.UNREADABLE, f"{error.filename} cannot be listed")

    for root, folders, names in os.walk(folder, onerror=cannot_list):
        for name in folders:
            path = Path(root, name)
            if path.is_symlink() and not os.path.join(os.path.realpath(path), "").startswith(inside):
                sentence = f"{name} is a link to another folder and is not followed; give that folder too"
                refuse(path, ProblemCode.UNREADABLE, sentence)
        for name in names:
            path = Path(root, name)
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
            except OSError:
                refuse(path, ProblemCode.MISSING, f"{name} is a link to nowhere")


def _archive_kind(path: Path) -> str:
    """Return which kind of archive a file is, "" if it is none."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if any(head):
                return archive_kind(head)
            file.seek(DISC_MAGIC_AT)  # a disc image begins with 32 KiB that are free
            return "disc image" if file.read(len(DISC_MAGIC)) == DISC_MAGIC else ""
    except OSError:
        return ""  # read_header says why


def _claims_dicom(source: Source) -> bool:
    return Path(source.member or source.path).suffix.lower() in DICOM_SUFFIXES


Outcome = Header | Problem


def _read_block(sources: Sequence[Source]) -> list[tuple[Source, Outcome]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of each odd value; what matters here is checked here
        return [(source, _read_one(source)) for source in sources]


def _read_one(source: Source) -> Outcome:
    try:
        return read_header(source)
    except HeaderError as error:
        return Problem(str(source), error.code, error.sentence)
