"""What a reader does to a pack, by the names the ledger keeps, and whether his own passphrase signed it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from records.ledger import Entry
from viewer.pack import Pack
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
    "problems_of_signatures",
]

OPEN, SIGN, AMEND, SECOND_LOOK = "open pack", "sign", "amend", "second look"
SHOW_MARKS = "show marks"
PASSPHRASE, REFUSED = "set passphrase", "refuse signature"


def problems_of_signatures(pack: Pack, entries: Sequence[Entry]) -> Iterator[str]:
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
