"""What a reader does to a pack, by the names the ledger keeps, and whether it was he, in the room."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from records.ledger import Entry
from viewer.pack import Pack
from viewer.passphrase import is_kept
from viewer.reading import form_from_json
from viewer.signature import is_signature

__all__ = [
    "AMEND",
    "OPEN",
    "PASSPHRASE",
    "REFUSED",
    "SECOND_LOOK",
    "SHOW_MARKS",
    "SIGN",
    "message",
    "problems_of_reads",
]

OPEN, SIGN, AMEND, SECOND_LOOK = "open pack", "sign", "amend", "second look"
SHOW_MARKS = "show marks"
PASSPHRASE, REFUSED = "set passphrase", "refuse signature"


def problems_of_reads(pack: Pack, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a sentence for each entry that a reader at this pack did not write in the reading room."""
    yield from _problems_of_order(pack, entries)
    yield from _problems_of_signatures(pack, entries)


def _problems_of_order(pack: Pack, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what the room would not have let happen.

    Whoever writes entries by hand can make their hashes; without passphrases that is all there is.
    """
    codes = {f"{case.code}/{point.number}": case.code for case, point in pack.asked}
    signed: set[str] = set()
    shown: set[str] = set()  # codes of the cases whose marks were shown
    for entry in entries:
        if entry.action == PASSPHRASE and not _holds_a_key(entry):
            yield f"entry {entry.number} sets no passphrase"
        if entry.action not in (SIGN, AMEND, SECOND_LOOK, SHOW_MARKS):
            continue
        number, subject = entry.number, str(entry.subject)
        if subject not in codes or entry.who != pack.reader:
            yield f"entry {number} is no read of this pack"
        elif entry.action == SHOW_MARKS:
            shown.add(codes[subject])
        elif not _holds_a_form(entry):
            yield f"entry {number} holds no read"
        elif entry.action == SIGN:
            if subject in signed:
                yield f"entry {number} signs {subject} a second time"
            signed.add(subject)
        elif subject not in signed:
            yield f"entry {number} changes {subject}, which was not signed"
        elif entry.action == AMEND and codes[subject] in shown:
            yield f"entry {number} amends {subject} after its marks were shown"


def _holds_a_form(entry: Entry) -> bool:
    try:
        form_from_json(entry.after["form"])
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _holds_a_key(entry: Entry) -> bool:
    try:
        return is_kept(entry.after["key"])
    except (TypeError, KeyError):
        return False


def _problems_of_signatures(pack: Pack, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield a sentence for each read that the reader's own passphrase did not sign.

    Whoever edits a read can make the chain of hashes anew, and cannot make the signature.
    """
    if not pack.protocol.asks_passphrase:
        return
    chosen = [entry for entry in entries if entry.action == PASSPHRASE]
    if len(chosen) > 1:
        yield f"entry {chosen[1].number} sets a second passphrase"
    for entry in entries:
        if entry.action not in (SIGN, AMEND, SECOND_LOOK):
            continue
        if not chosen or entry.number < chosen[0].number:
            yield f"entry {entry.number} is signed before a passphrase was chosen"
        elif not _is_signed(pack.pack_id, entry, chosen[0]):
            yield f"entry {entry.number} is not signed with the passphrase of this pack"


def _is_signed(pack_id: str, entry: Entry, chosen: Entry) -> bool:
    try:
        after = dict(entry.after)
        signature = bytes.fromhex(after.pop("signature"))
        public_key = bytes.fromhex(chosen.after["key"]["public_key"])
    except (KeyError, TypeError, ValueError):
        return False
    values = {name: getattr(entry, name) for name in ("who", "action", "subject", "before", "why")}
    signed = message(pack_id, entry.number, entry.previous, {**values, "after": after})
    return is_signature(public_key, signed, signature)


def message(pack_id: str, number: int, previous: str, values: Mapping[str, Any]) -> bytes:
    """Return what a signature signs: the read, its meaning, and its place in the chain."""
    signed = {**values, "pack": pack_id, "number": number, "previous": previous}
    return json.dumps(signed, sort_keys=True, separators=(",", ":")).encode("ascii")
