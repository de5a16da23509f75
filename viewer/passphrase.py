"""A reader's passphrase, asked for at every signature, and kept as a salted hash that takes long to guess."""

import hashlib
import hmac
import secrets
import unicodedata
from typing import Any

from viewer.pack import PackError

__all__ = ["SHORTEST", "hash_passphrase", "is_passphrase"]

SHORTEST = 8
COST = {"n": 2**15, "r": 8, "p": 1}  # scrypt (RFC 7914): 32 MiB and about 0.1 s a guess


def hash_passphrase(text: str) -> dict[str, Any]:
    """Return what is kept of a new passphrase, as JSON values.

    Raises
    ------
    PackError
        If it is too short.
    """
    if len(text.strip()) < SHORTEST:
        raise PackError(f"a passphrase has at least {SHORTEST} characters")
    salt = secrets.token_bytes(16)
    return {"salt": salt.hex(), "hash": _scrypt(text, salt, **COST).hex(), **COST}


def is_passphrase(text: str, kept: dict[str, Any]) -> bool:
    """Whether a text is the passphrase of which `kept` was made."""
    cost = {name: int(kept[name]) for name in COST}
    found = _scrypt(text, bytes.fromhex(kept["salt"]), **cost)
    return hmac.compare_digest(found, bytes.fromhex(kept["hash"]))


def _scrypt(text: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    # Two keyboards may spell one letter in two ways.
    plain = unicodedata.normalize("NFKC", text).encode()
    return hashlib.scrypt(plain, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r)
