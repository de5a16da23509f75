"""An append-only audit trail: a line an entry, each line sealed by the hash of the one before.

Who did what, when, to which case, what it said before and after, and why. An
entry that is edited, removed, added or moved breaks the chain at that place, and
`verify_ledger` says where, from the file alone. A chain cannot tell that its *end*
was cut off, so a seal beside it keeps the count and the last hash; whoever collects
a ledger keeps that `Head` too, and then a history written anew from some point on,
seal and all, is seen as well.
"""

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from records.files import replace_file
from records.wording import counted

__all__ = ["Check", "Entry", "Head", "Ledger", "LedgerError", "verify_ledger"]

START = "0" * 64  # what the first entry follows
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # what such a folder answers


class LedgerError(Exception):
    """The ledger is not what was written: a sentence says where it breaks."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a ledger has come: its entries and the hash of the last."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing somebody did.

    Attributes
    ----------
    number : int
        From 1.
    at : str
        UTC, ISO 8601.
    before, after : JSON value
        What the subject was and became; None where there was nothing.
    why : str
        The meaning of a signature, the reason of an amendment.
    previous, hash : str
        SHA-256 of the entry before and of this one.
    """

    number: int
    at: str
    who: str
    action: str
    subject: str
    before: Any
    after: Any
    why: str
    previous: str
    hash: str = ""

    @property
    def true_hash(self) -> str:
        """The hash this entry has to have."""
        values = asdict(self)
        del values["hash"]
        return hashlib.sha256(_canonical(values)).hexdigest()

    @property
    def line(self) -> bytes:
        """The entry as it stands in the file."""
        return _canonical(asdict(self)) + b"\n"


@dataclass(frozen=True, slots=True)
class Check:
    """What a verification found.

    `problems` are signs of tampering, a sentence each; `notes` are the traces of a
    program that was stopped while it wrote. `entries` are those up to the first break.
    """

    entries: tuple[Entry, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def head(self) -> Head:
        """How far the unbroken part goes."""
        last = self.entries[-1] if self.entries else None
        return Head(len(self.entries), last.hash if last else START)


class Ledger:
    """A ledger file to read and to append to.

    Parameters
    ----------
    path : Path
        Made with its first entry. The seal lies beside it, with the suffix `.seal`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, the oldest first.

        Raises
        ------
        LedgerError
            If the ledger does not verify.
        """
        check = verify_ledger(self.path)
        if check.problems:
            raise LedgerError(check.problems[0])
        return check.entries

    def append(
        self,
        *,
        who: str,
        action: str,
        subject: str = "",
        before: Any = None,
        after: Any = None,
        why: str = "",
        at: datetime | None = None,
    ) -> Entry:
        """Write one entry; it is on the disk when this returns.

        Parameters
        ----------
        before, after : JSON value
        at : datetime, optional
            With a time zone; now if not given.

        Raises
        ------
        LedgerError
            If what is there does not verify: nothing is added to a broken ledger.
        OSError
            If it cannot be written: then the ledger is what it was before.
        """
        with _sole_writer(self.path) as file:
            earlier = self.entries()
            moment = (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
            previous = earlier[-1].hash if earlier else START
            entry = Entry(len(earlier) + 1, moment, who, action, subject, before, after, why, previous)
            entry = replace(entry, hash=entry.true_hash)
            end = sum(len(old.line) for old in earlier)
            os.ftruncate(file, end)  # drops a line cut off by a power failure
            try:
                _write_whole(file, end, entry.line)
                replace_file(_seal_path(self.path), _canonical(asdict(Head(entry.number, entry.hash))))
            except OSError:  # whoever is told that it was not written may trust that it was not
                os.ftruncate(file, end)
                raise
        return entry


def verify_ledger(path: Path, *, known: tuple[Head, ...] = ()) -> Check:
    """Check a ledger against its own hashes, its seal, and heads that were seen before.

    Parameters
    ----------
    path : Path
        A file that is not there is a ledger without entries.
    known : tuple of Head
        Kept elsewhere when the ledger was seen: it may only have grown since.

    Returns
    -------
    Check
    """
    text = path.read_bytes() if path.exists() else b""
    *lines, torn = text.split(b"\n")
    entries: list[Entry] = []
    problems: list[str] = []
    for line in lines:
        last = entries[-1] if entries else None
        entry, fault = _read_entry(line, last)
        if fault or entry is None:
            problems.append(f"{path.name}, line {len(entries) + 1}: {fault}")
            break
        entries.append(entry)
    notes = ["the last line was cut off while it was written, and is left out"] if torn else []
    seal = _read_seal(_seal_path(path))
    if not problems:
        fault = _against_seal(entries, seal)
        if fault == UNSEALED:
            notes.append(fault)
        elif fault:
            problems.append(f"{path.name}: {fault}")
    problems += (f"{path.name}: {said}" for head in known if (said := _against_head(entries, head)))
    return Check(tuple(entries), tuple(problems), tuple(notes))


UNSEALED = "the last entry was written as the program was stopped; its seal follows with the next"


def _against_seal(entries: list[Entry], seal: Head | None) -> str:
    """Return what the seal has against `entries`, or nothing."""
    if seal is None:
        if len(entries) > 1:
            return "the seal beside it is missing or no seal"
        return UNSEALED if entries else ""
    if seal.count > len(entries):
        return f"the seal counts {_entries(seal.count)}, {len(entries)} are there: the end was cut off"
    if seal.count and entries[seal.count - 1].hash != seal.hash:
        return f"the seal was made for another entry {seal.count}"
    if len(entries) > seal.count + 1:
        return f"the seal counts {_entries(seal.count)}, {len(entries)} are there: some were added by hand"
    return UNSEALED if len(entries) == seal.count + 1 else ""


def _against_head(entries: list[Entry], head: Head) -> str:
    """Return what a head that was seen before has against `entries`, or nothing."""
    if len(entries) < head.count:
        return (
            f"{counted(head.count, 'entry was', 'entries were')} collected before, {len(entries)} are there: "
            "an older copy, or history was rewritten"
        )
    if head.count and entries[head.count - 1].hash != head.hash:
        return f"entry {head.count} is not the one that was collected before; history was rewritten"
    return ""


def _entries(number: int) -> str:
    return counted(number, "entry", "entries")


def _read_entry(line: bytes, last: Entry | None) -> tuple[Entry | None, str]:
    """Return the entry of a line, and what is wrong with it."""
    try:
        values = json.loads(line)
        entry = Entry(**values) if isinstance(values, dict) else None
        is_own = entry is not None and entry.line == line + b"\n"  # a NaN is a ValueError
    except (ValueError, TypeError, RecursionError):
        entry, is_own = None, False
    if entry is None or not is_own:
        return None, f"it is no entry of a ledger ({len(fields(Entry))} values in their order)"
    if entry.hash != entry.true_hash:
        return None, "the entry was changed after it was written"
    number, previous = (last.number + 1, last.hash) if last else (1, START)
    if entry.number != number or entry.previous != previous:
        return (
            None,
            f"expected entry {number} of this chain, found entry {entry.number}: moved, removed or foreign",
        )
    return entry, ""


def _read_seal(path: Path) -> Head | None:
    try:
        values = json.loads(path.read_bytes())
        head = Head(int(values["count"]), str(values["hash"]))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return head if head.count >= 0 else None


def _seal_path(path: Path) -> Path:
    return path.with_name(path.name + ".seal")


def _canonical(values: Any) -> bytes:
    """Return the one JSON text of `values`: ASCII, keys sorted, no spaces."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


@contextmanager
def _sole_writer(path: Path) -> Iterator[int]:
    """Open the file for one writer at a time; others wait, except on a network folder that has no locks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)  # Windows would add CR
    try:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
        yield file
    finally:
        os.close(file)


def _write_whole(file: int, at: int, content: bytes) -> None:
    """Write at a place of the file and bring it to the disk; a disk that takes only a part is full."""
    os.lseek(file, at, os.SEEK_SET)
    if os.write(file, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)
