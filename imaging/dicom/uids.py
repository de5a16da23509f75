"""Unique identifiers: made from a seed, and checked before they are trusted."""

import re
from uuid import NAMESPACE_OID, uuid5

__all__ = ["derive_uid", "is_uid"]

# Leading zeros are against PS3.5 section 9.1 but common, and harmless.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def derive_uid(*seeds: str) -> str:
    """Return the DICOM UID that belongs to `seeds`: the same seeds, the same UID.

    Notes
    -----
    A name-based UUID written as `2.25.<integer>` (DICOM PS3.5 B.2).
    """
    return f"2.25.{uuid5(NAMESPACE_OID, '|'.join(seeds)).int}"


def is_uid(text: str) -> bool:
    """Tell whether `text` is digits and single dots, at most 64 of them: safe in a file name."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None
