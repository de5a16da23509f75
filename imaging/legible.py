"""Text from DICOM headers, made fit to be shown.

A header may hold anything: control characters, halves of surrogate pairs, marks
that turn the direction of writing, ten thousand characters.
"""

import unicodedata

__all__ = ["legible"]

# Marks that reverse what follows them can make one name read as another (Unicode UAX 9, 2.1-2.5).
DIRECTION_MARKS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
REPLACEMENT = "\ufffd"


def legible(text: str, limit: int | None = None) -> str:
    r"""Return header text on one line that any file and screen takes.

    Line breaks and tabs become spaces; what cannot be shown becomes U+FFFD; text over
    `limit` characters is cut and says so with an ellipsis.

    >>> legible("Doe^Jane\0\n")
    'Doe^Jane\ufffd'
    >>> legible("x" * 10_000, limit=5)
    'xxxx…'
    """
    shown = "".join(_shown(character) for character in " ".join(text.split()))
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def _shown(character: str) -> str:
    hidden = character in DIRECTION_MARKS or unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co")
    return REPLACEMENT if hidden else character
