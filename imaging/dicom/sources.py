"""Where the bytes of a DICOM object lie: in a file, or in a member of a zip archive.

Nothing is unpacked to disk: a member is read where it is, so that no name in an
archive can point outside a folder. Whatever is inflated is inflated up to a limit.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from imaging.dicom.meta import META_BYTES, read_meta

__all__ = [
    "HEAD_BYTES",
    "ZIP",
    "BombError",
    "Source",
    "archive_kind",
    "check_archive",
    "open_source",
    "open_stored",
]

HEAD_BYTES = 264  # of a file: enough to tell what it is
ZIP = "zip"
ARCHIVES = (  # how a file begins, from which byte on
    (ZIP, 0, b"PK\x03\x04"),
    (ZIP, 0, b"PK\x05\x06"),
    ("gzip", 0, b"\x1f\x8b"),
    ("7-Zip", 0, b"7z\xbc\xaf\x27\x1c"),
    ("RAR", 0, b"Rar!"),
    ("bzip2", 0, b"BZh"),
    ("xz", 0, b"\xfd7zXZ\0"),
    ("Zstandard", 0, b"\x28\xb5\x2f\xfd"),
    ("tar", 257, b"ustar"),
)

# CT slices deflate two- to threefold, reports twentyfold; a bomb a thousandfold (deflate's limit is 1032).
MAX_EXPANSION = 100
HARMLESS_BYTES = 64 * 2**20  # below this, expansion does not matter
MAX_MEMBER_BYTES = 8 * 2**30
MAX_MEMBERS = 2_000_000


class BombError(Exception):
    """Data that would expand absurdly; a sentence says how far."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A DICOM object on disk."""

    path: str
    member: str = ""  # of the zip archive at `path`

    def __str__(self) -> str:
        return f"{self.path} > {self.member}" if self.member else self.path

    @property
    def name(self) -> str:
        """The last part of the name, for sentences."""
        return Path(self.member or self.path).name


def archive_kind(head: bytes) -> str:
    """Return which kind of archive begins with `head`, "" if none does."""
    return next((kind for kind, at, magic in ARCHIVES if head.startswith(magic, at)), "")


@contextmanager
def open_source(source: Source) -> Iterator[BinaryIO]:
    """Open `source` for reading; behind the meta information, a deflated dataset comes inflated.

    Raises
    ------
    BombError
        If a deflated dataset or an archive member would expand absurdly.
    OSError, zipfile.BadZipFile, zlib.error
        If the bytes cannot be read.
    """
    with open_stored(source) as file:
        head = file.read(META_BYTES)
        meta = read_meta(head)
        if meta and meta.is_deflated:
            yield io.BytesIO(_inflated(head + file.read(), meta.dataset_at))
        else:
            file.seek(0)
            yield file


@contextmanager
def open_stored(source: Source) -> Iterator[BinaryIO]:
    """Open `source` as it is stored, for pydicom, which inflates by itself.

    Raises
    ------
    OSError, zipfile.BadZipFile, zlib.error
        If the bytes cannot be read.
    """
    if not source.member:
        with open(source.path, "rb") as file:
            yield file
        return
    archive = _archive(source.path, os.stat(source.path).st_mtime_ns, os.getpid())
    with archive.open(source.member) as member:
        yield io.BytesIO(member.read())


def check_archive(path: Path) -> list[Source]:
    """Return the members of a zip archive, in order of name.

    Raises
    ------
    BombError
        If the archive says it would expand absurdly. What it says binds: zipfile
        reads no more of a member than its directory declares.
    zipfile.BadZipFile
        If it is damaged, a member is encrypted, or two that differ have one name: only one could be read.
    """
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise BombError(f"the archive lists {len(members):,} files, at most {MAX_MEMBERS:,} are read")
    if any(member.flag_bits & 1 for member in members):
        raise zipfile.BadZipFile("the archive is encrypted; unpack it with its password first")
    names = {member.filename for member in members}
    differing = len({(member.filename, member.CRC, member.file_size) for member in members}) - len(names)
    if differing:
        bear = "bears" if differing == 1 else "bear"
        raise zipfile.BadZipFile(f"{differing} of its {len(members)} files {bear} the name of another one")
    largest = max((member.file_size for member in members), default=0)
    if largest > MAX_MEMBER_BYTES:
        raise BombError(f"a file in the archive would expand to {largest:,} bytes")
    for member in members:
        _check_expansion(member.compress_size, member.file_size)
    _check_expansion(path.stat().st_size, sum(member.file_size for member in members))
    return [Source(str(path), name) for name in sorted(names)]


def _check_expansion(packed: int, unpacked: int) -> None:
    if unpacked > max(HARMLESS_BYTES, MAX_EXPANSION * packed):
        raise BombError(
            f"{packed:,} bytes would expand to {unpacked:,}; at most {MAX_EXPANSION}-fold is accepted"
        )


@lru_cache(maxsize=4)
def _archive(path: str, mtime_ns: int, process: int) -> zipfile.ZipFile:
    """Keep an archive open; opened anew if it changed, and after a fork, which shares the offset."""
    return zipfile.ZipFile(path)


def _inflated(data: bytes, dataset_at: int) -> bytes:
    """Return a DICOM file with its deflated dataset inflated (PS3.5 A.5)."""
    packed = data[dataset_at:]
    limit = max(HARMLESS_BYTES, MAX_EXPANSION * len(packed))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    dataset = inflater.decompress(packed, limit)
    if inflater.unconsumed_tail:
        raise BombError(
            f"{len(packed):,} deflated bytes would expand to more than {limit:,}; "
            f"at most {MAX_EXPANSION}-fold is accepted"
        )
    return data[:dataset_at] + dataset
