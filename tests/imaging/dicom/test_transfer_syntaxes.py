"""Every transfer syntax a PACS may send gives the same Hounsfield units, by encoders that are not ours."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from imaging.dicom import read_volume
from tests.imaging.dicom.making import chest, edit, export, only_series

EXPECTED = chest(12).hu

needs_dcmtk = pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="dcmtk is not installed")
needs_openjph = pytest.mark.skipif(
    shutil.which("ojph_compress") is None, reason="openjph-tools is not installed"
)


def assert_reads_back(folder: Path, syntax: str) -> None:
    series = only_series(folder)
    assert series.description.transfer_syntax == syntax
    np.testing.assert_array_equal(read_volume(series).hu, EXPECTED)


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
)
@pytest.mark.parametrize("is_signed", [True, False])
def test_syntaxes_that_pydicom_encodes(tmp_path, syntax, is_signed):
    paths = export(tmp_path, chest(12))
    if not is_signed:
        edit(paths, unsigned)
    edit(paths, lambda image: image.compress(syntax) if syntax.is_encapsulated else transfer(image, syntax))
    assert_reads_back(tmp_path, syntax)


def unsigned(image):
    # Stored 0 is -1024 HU and nothing is below, so that the same bits are valid unsigned.
    image.PixelRepresentation = 0


def transfer(image, syntax):
    image.file_meta.TransferSyntaxUID = syntax


def test_big_endian(tmp_path):
    for path in export(tmp_path, chest(12)):
        image = pydicom.dcmread(path)
        image.PixelData = image.pixel_array.byteswap().tobytes()
        image.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        pydicom.dcmwrite(path, image, implicit_vr=False, little_endian=False)
    assert_reads_back(tmp_path, ExplicitVRBigEndian)


@needs_dcmtk
@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        pytest.param(["+e1"], JPEGLosslessSV1, id="selection-value-1"),
        pytest.param(["+el", "+sv", "6"], JPEGLossless, id="process-14"),
        pytest.param(["+e1", "+fs", "1"], JPEGLosslessSV1, id="many-fragments"),
        pytest.param(["+e1", "-ot"], JPEGLosslessSV1, id="no-offset-table"),
    ],
)
def test_jpeg_lossless_of_dcmtk(tmp_path, option, syntax):
    for path in export(tmp_path, chest(12)):
        subprocess.run(["dcmcjpeg", *option, path, path], check=True, capture_output=True)
    assert_reads_back(tmp_path, syntax)


@needs_openjph
@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL])
def test_high_throughput_jpeg_2000_of_openjph(tmp_path, syntax):
    order = "RPCL" if syntax == HTJ2KLosslessRPCL else "LRCP"
    for path in export(tmp_path / "dicom", chest(12)):
        image = pydicom.dcmread(path)
        pixels = image.pixel_array.astype(">u2")
        pgm, codestream = tmp_path / "image.pgm", tmp_path / "image.j2c"
        pgm.write_bytes(b"P5 %d %d 65535\n" % pixels.shape[::-1] + pixels.tobytes())
        command = ["ojph_compress", "-i", pgm, "-o", codestream, "-reversible", "true", "-prog_order", order]
        subprocess.run(command, check=True, capture_output=True)
        image.PixelData = encapsulate([codestream.read_bytes()])
        image.PixelRepresentation = 0
        image.file_meta.TransferSyntaxUID = UID(syntax)
        image.save_as(path)
    assert_reads_back(tmp_path / "dicom", syntax)
