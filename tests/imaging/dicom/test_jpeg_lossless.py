"""JPEG Lossless against dcmtk's encoder, a plain encoder after T.81 for restarts, and spoilt bytes."""

import contextlib
import shutil
import struct
import subprocess

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from imaging.dicom.jpeg_lossless import decode_jpeg_lossless
from tests.imaging.dicom.making import chest, export

CODE_BITS = 5  # the plain encoder gives each of 17 symbols the code of its own number, in 5 bits


def encode(pixels: np.ndarray, *, restart_rows: int = 0) -> bytes:
    """Encode with the left neighbour as predictor (T.81 annex H), a restart every few rows."""
    rows, columns = pixels.shape
    frame = struct.pack(">BHHBBBB", 16, rows, columns, 1, 1, 0x11, 0)
    table = bytes([0]) + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    scan = struct.pack(">BBBBBB", 1, 1, 0, 1, 0, 0)
    segments = [(0xC3, frame), (0xC4, table), (0xDA, scan)]
    if restart_rows:
        segments.insert(0, (0xDD, struct.pack(">H", restart_rows * columns)))
    out = b"\xff\xd8" + b"".join(
        struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments
    )
    interval = restart_rows or rows
    parts = [entropy_coded(pixels[start : start + interval]) for start in range(0, rows, interval)]
    for number, part in enumerate(parts):
        out += (bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b"") + part
    return out + b"\xff\xd9"


def entropy_coded(pixels: np.ndarray) -> bytes:
    values = pixels.astype(np.int64)
    expected = np.empty_like(values)
    expected[:, 1:] = values[:, :-1]
    expected[1:, 0] = values[:-1, 0]
    expected[0, 0] = 1 << 15
    bits = "".join(map(code, ((values - expected + 32767) % 65536 - 32767).ravel().tolist()))
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return data.replace(b"\xff", b"\xff\0")


def code(difference: int) -> str:
    if difference == 32768:
        return f"{16:0{CODE_BITS}b}"
    size = abs(difference).bit_length()
    extra = difference if difference > 0 else difference + (1 << size) - 1
    return f"{size:0{CODE_BITS}b}" + (f"{extra:0{size}b}" if size else "")


@settings(max_examples=40, deadline=None)  # the first call compiles
@given(
    seed=st.integers(0, 2**32 - 1), restart_rows=st.integers(0, 5), spread=st.sampled_from([1, 300, 65535])
)
def test_any_image_with_any_restarts_comes_back(seed, restart_rows, spread):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, spread, rng.integers(1, 12, 2), endpoint=True).astype(np.uint16)
    decoded = decode_jpeg_lossless(encode(pixels, restart_rows=restart_rows), pixels.shape)
    np.testing.assert_array_equal(decoded, pixels)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmtk is not installed")
    return export(tmp_path_factory.mktemp("plain"), chest(1))[0]


def dcmtk(image, tmp_path, *options: str) -> bytes:
    out = tmp_path / "out.dcm"
    subprocess.run(["dcmcjpeg", "+el", *options, image, out], check=True, capture_output=True)
    return next(generate_frames(pydicom.dcmread(out).PixelData, number_of_frames=1))


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_dcmtk(image, tmp_path, predictor):
    codestream = dcmtk(image, tmp_path, "+sv", str(predictor))
    expected = pydicom.dcmread(image).pixel_array.view(np.uint16)
    np.testing.assert_array_equal(decode_jpeg_lossless(codestream, expected.shape), expected)


def test_a_point_transform_drops_low_bits(image, tmp_path):
    codestream = dcmtk(image, tmp_path, "+pt", "3")
    expected = pydicom.dcmread(image).pixel_array.view(np.uint16) >> 3 << 3
    np.testing.assert_array_equal(decode_jpeg_lossless(codestream, expected.shape), expected)


PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8) * 321
GOOD = encode(PIXELS, restart_rows=2)


@pytest.mark.parametrize(
    ("codestream", "sentence"),
    [
        pytest.param(b"", "is no JPEG", id="empty"),
        pytest.param(GOOD[:40], "ends before its image", id="cut-in-the-tables"),
        pytest.param(GOOD[:-30], "ends early|restart marker is missing", id="cut-in-the-image"),
        pytest.param(GOOD.replace(b"\xff\xc3", b"\xff\xc0"), "is not JPEG Lossless", id="baseline"),
        pytest.param(GOOD.replace(b"\xff\xd0", b"\0\0"), "restart marker|code|early", id="no-restart"),
        pytest.param(encode(PIXELS[:, :7]), "says 6 x 8 pixels, its codestream 6 x 7", id="size"),
    ],
)
def test_what_is_wrong_is_said(codestream, sentence):
    with pytest.raises(ValueError, match=sentence):
        decode_jpeg_lossless(codestream, PIXELS.shape)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(2, len(GOOD) - 1), value=st.integers(0, 255), length=st.integers(0, len(GOOD)))
def test_spoilt_bytes_give_pixels_or_a_sentence(at, value, length):
    data = bytearray(GOOD)
    data[at] = value
    for spoilt in (bytes(data), bytes(data[:length])):
        with contextlib.suppress(ValueError):
            assert decode_jpeg_lossless(spoilt, PIXELS.shape).shape == PIXELS.shape
