"""The quick walk over a header finds what pydicom finds, or leaves it to pydicom."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from imaging.dicom.meta import META_BYTES, read_meta
from imaging.dicom.parsing import parse, walk
from imaging.dicom.values import TAG
from tests.imaging.dicom.making import chest, edit, export
from tests.shared import CT

SCANS = ["lidc_0001", "lidc_0003", "lidc_0004", "lidc_0006", "ricord_000082"]


def raw_of_pydicom(path: Path) -> dict[int, object]:
    image = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAG.values()))
    return filled({int(element.tag): element.value for element in image.values()})


def filled(raw: dict[int, object]) -> dict[int, object]:
    """Leave out what is empty, and the character set, which pydicom has decoded already."""
    return {tag: value for tag, value in raw.items() if value and tag != TAG["SpecificCharacterSet"]}


def walked(path: Path):
    head = path.read_bytes()[:32768]
    return walk(head, read_meta(head[:META_BYTES]))


@pytest.mark.parametrize("scan", SCANS)
def test_real_headers_are_walked_as_pydicom_reads_them(scan):
    if not CT.is_dir():
        pytest.skip("the real scans of shared/ct are not here")
    path = min((CT / scan).glob("*.dcm"))
    found = walked(path)
    assert filled(found.raw) == raw_of_pydicom(path)
    assert path.read_bytes()[found.pixels_at - 12 :][:4] == b"\xe0\x7f\x10\x00"


def test_the_value_of_the_pixels_is_where_it_is_said_to_be(tmp_path):
    (path,) = export(tmp_path, chest(1))
    found = walked(path)
    pixels = pydicom.dcmread(path).PixelData
    assert path.read_bytes()[found.pixels_at :][: found.pixels_length] == pixels


@pytest.mark.parametrize("is_undefined_item", [True, False])
@pytest.mark.parametrize("is_undefined", [True, False])
def test_sequences_before_the_pixels_are_stepped_over(tmp_path, is_undefined, is_undefined_item):
    (path,) = export(tmp_path, chest(1))

    def refer(image):
        inner = Dataset()
        inner.SeriesInstanceUID = "4.5.6"
        item = Dataset()
        item.StudyInstanceUID = "1.2.3"  # another study's, inside a sequence: not this image's
        item.ReferencedSeriesSequence = [inner]
        item.SeriesInstanceUID = "7.8.9"
        image.ReferencedStudySequence = [item, item]
        for holder in (image["ReferencedStudySequence"], item["ReferencedSeriesSequence"]):
            holder.is_undefined_length = is_undefined
            for part in holder.value:
                part.is_undefined_length_sequence_item = is_undefined_item

    edit(path, refer)
    assert filled(walked(path).raw) == raw_of_pydicom(path)


def test_a_header_longer_than_the_first_block(tmp_path):
    (path,) = export(tmp_path, chest(1))
    edit(path, lambda image: image.add_new(0x00290010, "LO", "SOMEBODY"))
    edit(path, lambda image: image.add_new(0x00291001, "OB", bytes(100_000)))
    assert walked(path) is None
    with path.open("rb") as file:
        found = parse(file, path.stat().st_size)
    assert found.pixels_length == 48 * 48 * 2
    assert found.pixels_at > 100_000


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_encodings_are_left_to_pydicom(tmp_path, syntax):
    (path,) = export(tmp_path, chest(1))
    image = pydicom.dcmread(path)
    image.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, image, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    with path.open("rb") as file:
        found = parse(file, path.stat().st_size)
    assert found.dataset is not None
    assert found.pixels_length == 48 * 48 * 2


@pytest.mark.parametrize("head", [b"", b"DICM", bytes(128) + b"DICM", bytes(200), b"\xff" * 5000])
def test_what_has_no_meta_information(head):
    assert read_meta(head) is None
