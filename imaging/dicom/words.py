"""Words in descriptions, whichever way they are joined."""

import re

__all__ = ["words"]


def words(*patterns: str) -> re.Pattern[str]:
    """Return a pattern that finds any of `patterns` as a whole word, whatever the case.

    >>> bool(words("mip").search("AX_MIP8mm")), bool(words("mip").search("mipc"))
    (True, False)
    """
    return re.compile(rf"(?<![a-z])(?:{'|'.join(patterns)})(?![a-z])", re.IGNORECASE)
