"""Content items of a structured report, encoded as they are made.

A report of 1,000 nodules is a tree of 60,000 datasets, most of them the same few coded
words. Built and written as objects that takes half a minute; here a word is encoded
once and an item is the bytes it will be in the file, explicit VR little endian.
"""

import struct
from collections.abc import Sequence
from functools import cache

from pydicom.sr.coding import Code

__all__ = ["code", "container", "content_sequence", "image", "number", "region", "text", "uid_reference"]

CONTENT, NAME, TEMPLATE = 0x0040A730, 0x0040A043, 0x0040A504
LONG_LENGTH = frozenset({"SQ", "UC", "UT", "OB"})  # VRs with a length of 32 bits (PS3.5 7.1.2)


def content_sequence(children: Sequence[bytes]) -> bytes:
    """Return the Content Sequence element of `children`: the last element of a report's dataset."""
    return _sequence(CONTENT, *children)


def container(relation: str, name: Code, children: Sequence[bytes], *, template: str | None = None) -> bytes:
    """Return a CONTAINER item."""
    elements = {0x0040A050: _element(0x0040A050, "CS", "SEPARATE")}
    if template:
        elements[TEMPLATE] = _template(template)
    return _item(relation, "CONTAINER", name, elements, children)


def code(relation: str, name: Code, value: Code, children: Sequence[bytes] = ()) -> bytes:
    """Return a CODE item."""
    return _item(relation, "CODE", name, {0x0040A168: _coded(0x0040A168, value)}, children)


def text(relation: str, name: Code, value: str) -> bytes:
    """Return a TEXT item."""
    return _item(relation, "TEXT", name, {0x0040A160: _element(0x0040A160, "UT", value)})


def uid_reference(relation: str, name: Code, uid: str) -> bytes:
    """Return a UIDREF item."""
    return _item(relation, "UIDREF", name, {0x0040A124: _element(0x0040A124, "UI", uid)})


def number(relation: str, name: Code, value: float, unit: Code, children: Sequence[bytes] = ()) -> bytes:
    """Return a NUM item; a Decimal String keeps four decimals, or fewer of a large number."""
    decimal = f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 1e9 else f"{value:.8g}"
    measured = _coded(0x004008EA, unit) + _element(0x0040A30A, "DS", decimal)
    return _item(relation, "NUM", name, {0x0040A300: _sequence(0x0040A300, measured)}, children)


def region(
    relation: str, name: Code, kind: str, points: Sequence[float], source: bytes, frame: bool
) -> bytes:
    """Return a SCOORD item: (column, row) pairs on one image."""
    elements = {
        0x00700022: _element(0x00700022, "FL", struct.pack(f"<{len(points)}f", *points)),
        0x00700023: _element(0x00700023, "CS", kind),
    }
    if frame:
        elements[0x00480301] = _element(0x00480301, "CS", "FRAME")
    return _item(relation, "SCOORD", name, elements, [source])


def image(relation: str, sop_class_uid: str, sop_instance_uid: str, frame_number: int | None = None) -> bytes:
    """Return an IMAGE item."""
    reference = _element(0x00081150, "UI", sop_class_uid) + _element(0x00081155, "UI", sop_instance_uid)
    if frame_number is not None:
        reference += _element(0x00081160, "IS", str(frame_number))
    return _item(relation, "IMAGE", None, {0x00081199: _sequence(0x00081199, reference)})


def _item(
    relation: str,
    value_type: str,
    name: Code | None,
    elements: dict[int, bytes],
    children: Sequence[bytes] = (),
) -> bytes:
    """Return one item, its elements in the order of their tags."""
    elements[0x0040A010] = _element(0x0040A010, "CS", relation)
    elements[0x0040A040] = _element(0x0040A040, "CS", value_type)
    if name is not None:
        elements[NAME] = _coded(NAME, name)
    if children:
        elements[CONTENT] = content_sequence(children)
    return b"".join(elements[tag] for tag in sorted(elements))


@cache
def _coded(tag: int, word: Code) -> bytes:
    return _sequence(
        tag,
        _element(0x00080100, "SH", word.value)
        + _element(0x00080102, "SH", word.scheme_designator)
        + _element(0x00080104, "LO", word.meaning),
    )


@cache
def _template(number: str) -> bytes:
    return _sequence(TEMPLATE, _element(0x00080105, "CS", "DCMR") + _element(0x0040DB00, "CS", number))


def _sequence(tag: int, *items: bytes) -> bytes:
    body = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return _element(tag, "SQ", body)


def _element(tag: int, vr: str, value: str | bytes) -> bytes:
    """Return one element, padded to an even length (PS3.5 6.2)."""
    data = value.encode("utf-8") if isinstance(value, str) else value
    if len(data) % 2:
        data += b"\0" if vr == "UI" else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("ascii")
    length = struct.pack("<xxI", len(data)) if vr in LONG_LENGTH else struct.pack("<H", len(data))
    return head + length + data
