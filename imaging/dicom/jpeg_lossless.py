"""JPEG Lossless (ITU-T T.81, process 14), the commonest compression of CT in a PACS.

The codec at hand ends the whole program on a corrupt image, and holds the
interpreter while it works. This one says what is wrong, and two threads decode
two images at once.
"""

import struct
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_jpeg_lossless"]

# Signed throughout: in compiled code an unsigned and a signed integer make a float.
Signed = NDArray[np.int16]

# Markers (T.81 table B.1)
SOI, EOI, SOS, DHT, DRI, SOF3 = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD, 0xC3
OTHER_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})

OK, BAD_CODE, ENDED_EARLY, NO_RESTART = 0, 1, 2, 3
SAID = {
    BAD_CODE: "a Huffman code that its table does not have",
    ENDED_EARLY: "the compressed data ends early",
    NO_RESTART: "a restart marker is missing",
}


@dataclass
class _Scan:
    """What the marker segments say."""

    rows: int = 0
    columns: int = 0
    precision: int = 0
    restart_rows: int = 0
    predictor: int = 0
    point_transform: int = 0
    lengths: Signed | None = None  # of the code that each 16-bit prefix starts with, 0 if none
    symbols: Signed | None = None
    data_at: int = 0


def decode_jpeg_lossless(codestream: bytes, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Decode one image of one component.

    Parameters
    ----------
    codestream : bytes
        From SOI on.
    shape : (rows, columns)
        What the DICOM header says.

    Returns
    -------
    (rows, columns) uint16 ndarray
        Bit patterns.

    Raises
    ------
    ValueError
        If the codestream is corrupt, of another process, or of another size.
    """
    scan = _read_segments(codestream)
    if (scan.rows, scan.columns) != shape:
        raise ValueError(
            f"the header says {shape[0]} x {shape[1]} pixels, its codestream {scan.rows} x {scan.columns}"
        )
    pixels = np.empty(shape, dtype=np.int32)
    data = np.frombuffer(codestream, dtype=np.uint8).astype(np.int16)
    fault = _decode_scan(
        data,
        scan.data_at,
        pixels,
        scan.lengths,
        scan.symbols,
        scan.predictor,
        1 << (scan.precision - scan.point_transform - 1),
        scan.restart_rows,
    )
    if fault != OK:
        raise ValueError(SAID[fault])
    return (pixels << scan.point_transform).astype(np.uint16)


def _read_segments(data: bytes) -> _Scan:
    """Read marker segments up to the entropy-coded data (T.81 B.2)."""
    if data[:2] != bytes((0xFF, SOI)):
        raise ValueError("the codestream is no JPEG")
    scan, tables, restart_interval = _Scan(), {}, 0
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at + 4 : at + 2 + length]
        if length < 2 or len(segment) != length - 2:
            break
        if marker in OTHER_FRAMES:
            raise ValueError("the codestream is not JPEG Lossless")
        if marker == SOF3:
            _read_frame(segment, scan)
        elif marker == DHT:
            tables.update(_read_tables(segment))
        elif marker == DRI:
            restart_interval = int.from_bytes(segment[:2], "big")
        elif marker == SOS:
            _read_scan(segment, scan, tables, restart_interval)
            scan.data_at = at + 2 + length
            return scan
        at += 2 + length
    raise ValueError("the codestream ends before its image")


def _read_frame(segment: bytes, scan: _Scan) -> None:
    if len(segment) < 9 or segment[5] != 1:
        raise ValueError("a CT image has one component")
    scan.precision, scan.rows, scan.columns = struct.unpack_from(">BHH", segment)
    if not 2 <= scan.precision <= 16:
        raise ValueError(f"{scan.precision} bits a pixel are not JPEG Lossless")


def _read_tables(segment: bytes) -> dict[int, tuple[Signed, Signed]]:
    """Return Huffman tables as lookups by 16-bit prefix (T.81 annex C)."""
    tables = {}
    at = 0
    while at + 17 <= len(segment):
        identity, counts = segment[at], segment[at + 1 : at + 17]
        symbols = segment[at + 17 : at + 17 + sum(counts)]
        if len(symbols) != sum(counts) or any(symbol > 16 for symbol in symbols):
            raise ValueError("a Huffman table is damaged")
        lengths = np.repeat(np.arange(1, 17, dtype=np.int16), list(counts))
        spans = 1 << (16 - lengths.astype(np.int64))  # prefixes that start with each code
        if spans.sum() > 2**16:
            raise ValueError("a Huffman table holds too many codes")
        by_length, by_symbol = np.zeros((2, 2**16), dtype=np.int16)
        by_length[: spans.sum()] = np.repeat(lengths, spans)
        by_symbol[: spans.sum()] = np.repeat(np.frombuffer(symbols, dtype=np.uint8), spans)
        tables[identity] = (by_length, by_symbol)
        at += 17 + len(symbols)
    return tables


def _read_scan(
    segment: bytes, scan: _Scan, tables: dict[int, tuple[Signed, Signed]], restart_interval: int
) -> None:
    if len(segment) < 6 or segment[0] != 1 or not scan.rows or not scan.columns:
        raise ValueError("the codestream has no image of one component")
    table = tables.get(segment[2] >> 4)
    if table is None:
        raise ValueError("a Huffman table is missing")
    scan.lengths, scan.symbols = table
    scan.predictor, scan.point_transform = segment[3], segment[5] & 15
    if not 1 <= scan.predictor <= 7 or scan.point_transform >= scan.precision:
        raise ValueError("the predictor of the codestream is none of JPEG Lossless")
    if restart_interval % scan.columns:
        raise ValueError("restart intervals of JPEG Lossless are whole rows")  # T.81 H.1.1
    scan.restart_rows = restart_interval // scan.columns


@numba.njit(cache=True, nogil=True)
def _expected(
    pixels: NDArray[np.int32], row: int, column: int, start_row: int, predictor: int, first: int
) -> int:
    """Predict a pixel from its neighbours (T.81 table H.1)."""
    if row == start_row:
        return first if column == 0 else int(pixels[row, column - 1])
    above = int(pixels[row - 1, column])
    if column == 0 or predictor == 2:
        return above
    left = int(pixels[row, column - 1])
    if predictor == 1:
        return left
    corner = int(pixels[row - 1, column - 1])
    if predictor == 3:
        return corner
    if predictor == 4:
        return left + above - corner
    if predictor == 5:
        return left + ((above - corner) >> 1)
    if predictor == 6:
        return above + ((left - corner) >> 1)
    return (left + above) >> 1


@numba.njit(cache=True, nogil=True)
def _restart(data: Signed, at: int) -> int:
    """Return the place after the restart marker that comes next, -1 if none does (T.81 B.2.1)."""
    while at + 1 < data.size:
        if data[at] == 0xFF and data[at + 1] != 0:
            return at + 2 if 0xD0 <= data[at + 1] <= 0xD7 else -1
        at += 1
    return -1


@numba.njit(cache=True, nogil=True)
def _decode_scan(
    data: Signed,
    at: int,
    pixels: NDArray[np.int32],
    lengths: Signed,
    symbols: Signed,
    predictor: int,
    first: int,
    restart_rows: int,
) -> int:
    """Decode the entropy-coded data at `at` into `pixels`; return a fault (T.81 H.1.2, F.2.2)."""
    bits, held = 0, 0  # the bits read and not yet used, and how many
    invented = 0  # zero bits put in behind the end; more of them than are held means they were used
    start_row = 0
    for row in range(pixels.shape[0]):
        if restart_rows > 0 and row > 0 and row % restart_rows == 0:
            at = _restart(data, at)
            if at < 0:
                return NO_RESTART
            bits, held, invented, start_row = 0, 0, 0, row
        for column in range(pixels.shape[1]):
            while held <= 32:  # a code and its extra bits take 32 at most
                byte = 0
                is_stuffed = at + 1 < data.size and data[at] == 0xFF and data[at + 1] == 0
                if at < data.size and (data[at] != 0xFF or is_stuffed):
                    byte = int(data[at])
                    at += 2 if is_stuffed else 1
                else:
                    invented += 8
                bits = (bits << 8) | byte
                held += 8
            prefix = (bits >> (held - 16)) & 0xFFFF
            length = int(lengths[prefix])
            if length == 0:
                return BAD_CODE
            held -= length
            size = int(symbols[prefix])
            difference = 0
            if size == 16:  # stands for itself (T.81 H.1.2.2)
                difference = 32768
            elif size > 0:
                held -= size
                difference = (bits >> held) & ((1 << size) - 1)
                if difference < 1 << (size - 1):
                    difference -= (1 << size) - 1
            bits &= (1 << held) - 1
            expected = _expected(pixels, row, column, start_row, predictor, first)
            pixels[row, column] = (expected + difference) & 0xFFFF
        if invented > held:
            return ENDED_EARLY
    return OK
