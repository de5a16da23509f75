"""Stored values of CT images, whatever the transfer syntax, straight into a volume.

Uncompressed frames are read from their place in the file into their plane;
compressed ones are decoded by pydicom's codecs (CharLS, OpenJPEG, its own for
RLE) and, for JPEG Lossless, by ours.
"""

import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from imaging.dicom.classes import (
    EXPLICIT_BIG,
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000_LOSSLESS,
    JPEG_2000_LOSSY,
    JPEG_LOSSLESS_ANY,
    JPEG_LOSSLESS_FIRST,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    NATIVE,
)
from imaging.dicom.files import Frame, PixelFormat
from imaging.dicom.headers import broken
from imaging.dicom.sources import BombError, Source, open_source
from records.errors import Reason, SeriesError

__all__ = ["read_stored"]

Stored = NDArray[np.uint16]  # bit patterns: signed or not is the rescale's business

JPEG_2000 = frozenset({JPEG_2000_LOSSLESS, JPEG_2000_LOSSY, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K})

JPEG_LS = frozenset({JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS})
JPEG_LOSSLESS = frozenset({JPEG_LOSSLESS_ANY, JPEG_LOSSLESS_FIRST})

# Milliseconds a 512 x 512 slice: JPEG-LS by CharLS 6.2, by GDCM 9.5; OpenJPEG for JPEG 2000 and HTJ2K.
# JPEG Lossless is ours (2.3, and two at once): GDCM takes 8.2 and ends the program on a corrupt image.
PREFERRED_PLUGIN = {
    JPEG_LS_LOSSLESS: "pyjpegls",
    JPEG_LS_NEAR_LOSSLESS: "pyjpegls",
    JPEG_2000_LOSSLESS: "pylibjpeg",
    JPEG_2000_LOSSY: "pylibjpeg",
}


def read_stored(frames: Sequence[Frame], *, threads: int = 2) -> Stored:
    """Return the stored values of `frames`, in their order.

    Parameters
    ----------
    frames : sequence of Frame
        One matrix, 16 bits allocated.
    threads : int
        Files read at the same time.

    Returns
    -------
    (frames, rows, columns) uint16 ndarray
        Bit patterns as stored.

    Raises
    ------
    SeriesError
        `unreadable_pixels`, naming the first file that cannot be decoded.
    """
    image = frames[0].format
    stored: Stored = np.empty((len(frames), image.rows, image.columns), dtype=np.uint16)
    by_source: dict[Source, list[int]] = {}
    for plane, frame in enumerate(frames):
        by_source.setdefault(frame.source, []).append(plane)
    with ThreadPoolExecutor(threads) as pool:
        # Consuming the results raises the first error in order of planes.
        for _ in pool.map(lambda planes: _read_file(frames, planes, stored), by_source.values()):
            pass
    return stored


def _read_file(frames: Sequence[Frame], planes: Sequence[int], stored: Stored) -> None:
    source = frames[planes[0]].source
    try:
        with open_source(source) as file:
            if frames[planes[0]].format.transfer_syntax in NATIVE:
                _copy(file, frames, planes, stored)
            else:
                _decode(file, frames, planes, stored)
    except _undecodable() as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SeriesError(
            Reason.UNREADABLE_PIXELS, f"the pixels of {source.name} cannot be read: {reason[:200]}"
        ) from error


def _undecodable() -> tuple[type[Exception], ...]:
    return (*broken(), BombError, MemoryError, RuntimeError)


def _copy(file: BinaryIO, frames: Sequence[Frame], planes: Sequence[int], stored: Stored) -> None:
    """Read native frames into their planes."""
    for plane in planes:
        frame = frames[plane]
        size = frame.format.frame_bytes
        file.seek(frame.pixels_at + frame.number * size)
        found = file.readinto(memoryview(stored[plane]).cast("B"))  # type: ignore[attr-defined]
        if found != size:
            raise ValueError(f"{size:,} bytes of pixel data expected, {found:,} found")
        if frame.format.transfer_syntax == EXPLICIT_BIG:
            stored[plane].byteswap(inplace=True)


def _decode(file: BinaryIO, frames: Sequence[Frame], planes: Sequence[int], stored: Stored) -> None:
    """Decode encapsulated frames into their planes."""
    first = frames[planes[0]]
    image = first.format
    file.seek(first.pixels_at)
    data = file.read() if first.pixels_length is None else file.read(first.pixels_length)
    numbers = [frames[plane].number for plane in planes]
    decoded = (
        _decoded_here(data, image, numbers)
        if image.transfer_syntax in JPEG_LOSSLESS
        else _decoded_by_pydicom(data, image, numbers)
    )
    for plane, pixels in zip(planes, decoded, strict=True):
        if pixels.shape != stored.shape[1:] or pixels.dtype.itemsize != 2:
            raise ValueError(f"{image.rows} x {image.columns} 16-bit pixels expected, {pixels.shape} decoded")
        stored[plane] = pixels.view(np.uint16)


def _decoded_here(data: bytes, image: PixelFormat, numbers: Sequence[int]) -> Iterator[Stored]:
    from pydicom.encaps import generate_frames

    from imaging.dicom.jpeg_lossless import decode_jpeg_lossless  # compiled code: loaded where it is used

    codestreams = list(generate_frames(data, number_of_frames=image.frames))
    for number in numbers:
        yield decode_jpeg_lossless(codestreams[number], (image.rows, image.columns))


def _decoded_by_pydicom(data: bytes, image: PixelFormat, numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
    from pydicom.encaps import generate_frames
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    if image.transfer_syntax in JPEG_LS | JPEG_2000:
        for codestream in generate_frames(data, number_of_frames=image.frames):
            _check_codestream(codestream, image)
    decoded = get_decoder(UID(image.transfer_syntax)).iter_array(
        data,
        indices=numbers,
        raw=True,
        decoding_plugin=PREFERRED_PLUGIN.get(image.transfer_syntax, ""),
        rows=image.rows,
        columns=image.columns,
        number_of_frames=image.frames,
        samples_per_pixel=image.samples,
        photometric_interpretation=image.photometric,
        bits_allocated=image.bits_allocated,
        bits_stored=image.bits_stored,
        pixel_representation=int(image.is_signed),
        pixel_keyword="PixelData",
        pixel_vr="OW",
    )
    return (pixels for pixels, _ in decoded)


def _check_codestream(data: bytes, image: PixelFormat) -> None:
    """Refuse what the codecs do not.

    They believe any size; OpenJPEG makes a picture of half a JPEG 2000, and
    CharLS may search for seconds behind the end of a JPEG-LS that is cut off.
    """
    size = _declared_size(data)
    if size is None:
        raise ValueError("the codestream does not say its size")
    if size != (image.rows, image.columns):
        raise ValueError(
            f"the header says {image.rows} x {image.columns} pixels, its codestream {size[0]} x {size[1]}"
        )
    if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ValueError("the codestream is cut off: it has no end marker")


def _declared_size(data: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) of a JPEG-LS or JPEG 2000 codestream of one component, None if it has none."""
    if data[:4] == b"\xff\x4f\xff\x51" and len(data) >= 42:  # SOC, SIZ (ISO/IEC 15444-1 A.5.1)
        width, height, left, top = struct.unpack_from(">4I", data, 8)
        return (height - top, width - left) if data[40:42] == b"\0\1" else None
    at = 2 if data[:2] == b"\xff\xd8" else len(data)  # SOI (ISO/IEC 14495-1 C.1)
    while at + 10 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xF7:  # SOF55
            rows, columns = struct.unpack_from(">2H", data, at + 5)
            return (rows, columns) if data[at + 9] == 1 else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
