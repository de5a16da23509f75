"""Cells of CSV tables that a spreadsheet shows and does not run.

Every table of ours is written through `guarded` and read through `unguarded`, so that a
patient's number is the same in all of them.
"""

import re
from collections.abc import Iterable
from typing import Protocol, TypeVar

__all__ = ["TableWriter", "guarded", "unguarded"]

# A spreadsheet runs a cell that begins so (OWASP, CSV Injection); a quote before it makes it text.
FORMULA = re.compile("'*[=+\\-@＝＋－＠\t\r\n]")
# These it only shows: a number, alone or with its interval.
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?( \([-–.\d]+\))?", re.ASCII | re.IGNORECASE)

# LibreOffice offers to part cells at semicolons and tabs too, unless they are quoted.
PARTED = re.compile('[",;\t\r\n]')

Cell = TypeVar("Cell")


class _Text(Protocol):
    def write(self, text: str, /) -> object: ...


class TableWriter:
    """Writes rows of CSV as `csv.writer` does, and quotes all that any spreadsheet would part.

    >>> import sys
    >>> TableWriter(sys.stdout).writerow(["a;b", 1.5, None, "c"])
    "a;b",1.5,,c
    """

    def __init__(self, file: _Text, *, lineterminator: str = "\n") -> None:
        self._file, self._end = file, lineterminator

    def writerow(self, cells: Iterable[object]) -> None:
        """Write one row."""
        self._file.write(",".join(map(_quoted, cells)) + self._end)

    def writerows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write rows."""
        for row in rows:
            self.writerow(row)


def _quoted(cell: object) -> str:
    text = "" if cell is None else str(cell)
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if PARTED.search(text) else text


def guarded(cell: Cell) -> Cell | str:
    """Return a cell as it may be written; what is no text is returned as it is.

    >>> guarded("=1+1"), guarded("-7"), guarded("-7+1")
    ("'=1+1", '-7', "'-7+1")
    """
    if isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def unguarded(cell: str) -> str:
    """Return what `guarded` was given.

    >>> unguarded("'=1+1"), unguarded("'twas")
    ('=1+1', "'twas")
    """
    return cell[1:] if cell[:1] == "'" and FORMULA.match(cell) else cell
