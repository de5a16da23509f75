"""A DICOMDIR: the table of contents of a CD or an export (PS3.10 8, PS3.3 F)."""

import os
import warnings
from pathlib import Path

from imaging.dicom.files import Problem, ProblemCode
from imaging.dicom.headers import broken

__all__ = ["referenced_files"]


def referenced_files(directory: Path) -> tuple[list[Path], list[Problem]]:
    """Return the files that a DICOMDIR names, and what was wrong with it.

    A name that leads out of the DICOMDIR's folder is refused. Upper and lower
    case are tried, since CDs are often copied to other file systems.
    """
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd is told below
            records = dcmread(directory).get("DirectoryRecordSequence") or []
            names = [record.ReferencedFileID for record in records if record.get("ReferencedFileID")]
        parts = [[name] if isinstance(name, str) else [str(part) for part in name] for name in names]
    except broken():
        sentence = f"{directory.name} cannot be read; give the folder instead"
        return [], [Problem(str(directory), ProblemCode.DAMAGED, sentence)]
    files, problems = [], []
    for part in parts:
        file = directory.parent.joinpath(*part)
        if any(piece in {"", ".", ".."} or "/" in piece or "\\" in piece or "\0" in piece for piece in part):
            problems.append(
                Problem(
                    str(directory),
                    ProblemCode.DAMAGED,
                    f"{directory.name} names a file outside its folder: {'/'.join(part)[:80]!r}",
                )
            )
            continue
        lower = directory.parent.joinpath(*(piece.lower() for piece in part))
        files.append(lower if not os.path.exists(file) and os.path.exists(lower) else file)
    return files, problems
