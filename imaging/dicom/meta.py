"""File meta information: how a DICOM file is written, in its first few hundred bytes (PS3.10 7.1)."""

import struct
from dataclasses import dataclass
from pathlib import Path

from imaging.dicom.classes import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE

__all__ = ["META_BYTES", "Meta", "is_dicom", "read_meta"]

META_BYTES = 2**12  # more than any meta information without private data takes
PREAMBLE_BYTES = 128
LONG_VR = frozenset({b"OB", b"OW", b"UN", b"UT", b"SQ"})
SOP_CLASS, TRANSFER_SYNTAX = 0x0002, 0x0010  # elements of group 2


@dataclass(frozen=True, slots=True)
class Meta:
    """What the meta information says."""

    sop_class_uid: str
    transfer_syntax: str
    dataset_at: int  # bytes from the start of the file

    @property
    def is_deflated(self) -> bool:
        """Whether all after the meta information is deflated (PS3.5 A.5)."""
        return self.transfer_syntax == DEFLATED_EXPLICIT_LITTLE

    @property
    def is_implicit_vr(self) -> bool:
        """Whether elements do not say their value representation."""
        return self.transfer_syntax == IMPLICIT_LITTLE

    @property
    def is_little_endian(self) -> bool:
        """Whether the least significant byte comes first."""
        return self.transfer_syntax != EXPLICIT_BIG


def is_dicom(path: Path) -> bool:
    """Tell whether a file has the prefix of DICOM; one that may not be opened has none."""
    try:
        with path.open("rb") as file:
            return file.read(PREAMBLE_BYTES + 4)[PREAMBLE_BYTES:] == b"DICM"
    except OSError:
        return False


def read_meta(head: bytes) -> Meta | None:
    """Return what the meta information in `head` says, None if it is absent or irregular.

    The group is always explicit VR little endian, so that a walk over a dozen
    elements is enough; pydicom, which also repairs, takes five times as long.
    """
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        return None
    at = PREAMBLE_BYTES + 4
    values: dict[int, bytes] = {}
    while head[at : at + 2] == b"\x02\0" and at + 12 <= len(head):
        element, vr, length = struct.unpack_from("<H2sH", head, at + 2)
        start = at + 8
        if vr in LONG_VR:
            (length,) = struct.unpack_from("<I", head, at + 8)
            start = at + 12
        elif not vr.isalpha():
            return None
        values[element] = head[start : start + length]
        at = start + length
    syntax = _uid(values.get(TRANSFER_SYNTAX, b""))
    return Meta(_uid(values.get(SOP_CLASS, b"")), syntax, at) if syntax and at < len(head) else None


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")
