"""Text from DICOM headers, made fit to be shown.

A header may hold anything: control characters, halves of surrogate pairs, marks
that turn the direction of writing, ten thousand characters.
"""

__all__ = ["legible"]

JOINERS = "\u200c\u200d"  # invisible, and part of how Persian and Indic names are spelled
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
    shown = " ".join(text.split())
    if not shown.isprintable():
        shown = "".join(_shown(character) for character in shown)
    return shown if limit is None or len(shown) <= limit else shown[: limit - 1] + "…"


def _shown(character: str) -> str:
    return character if character.isprintable() or character in JOINERS else REPLACEMENT
