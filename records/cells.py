"""Cells of CSV tables that a spreadsheet shows and does not run.

Every table of ours is written through `guarded` and read through `unguarded`, so that a
patient's number is the same in all of them.
"""

import re
from typing import TypeVar

__all__ = ["guarded", "unguarded"]

# A spreadsheet runs a cell that begins so (OWASP, CSV Injection); a quote before it makes it text.
FORMULA = re.compile("'*[=+\\-@＝＋－＠\t\r\n]")
# These it only shows: a number, alone or with its interval.
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?( \([-–.\d]+\))?", re.ASCII | re.IGNORECASE)

Cell = TypeVar("Cell")


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
