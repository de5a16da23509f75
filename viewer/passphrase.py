"""A reader's passphrase, from which the key is made that signs his reads.

What is kept is the public key and how it was made: that the passphrase is right
shows in that it makes the same public key again, and a guess takes as long as scrypt.
"""

import hashlib
import secrets
import unicodedata
from typing import Any

from viewer.pack import PackError
from viewer.signature import public_key_of

__all__ = ["SHORTEST", "is_kept", "new_key", "secret_of"]

SHORTEST = 8
COST = {"n": 2**15, "r": 8, "p": 1}  # scrypt (RFC 7914): 32 MiB and about 0.1 s a guess
MOST_COST = 2**24  # of a kept key, n times r: 2 GiB; more is no key of ours
SALT_BYTES, SECRET_BYTES = 16, 32


def new_key(text: str) -> dict[str, Any]:
    """Return what is kept of a new passphrase, as JSON values.

    Raises
    ------
    PackError
        If it is too short.
    """
    if len(text.strip()) < SHORTEST:
        raise PackError(f"a passphrase has at least {SHORTEST} characters")
    salt = secrets.token_bytes(SALT_BYTES)
    public_key = public_key_of(_scrypt(text, salt, **COST))
    return {"salt": salt.hex(), "public_key": public_key.hex(), **COST}


def is_kept(kept: Any) -> bool:
    """Whether this can be what is kept of a passphrase."""
    try:
        sizes = [len(bytes.fromhex(kept[name])) for name in ("salt", "public_key")]
        cost = [int(kept[name]) for name in COST]
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return sizes == [SALT_BYTES, SECRET_BYTES] and min(cost) > 0 and cost[0] * cost[1] <= MOST_COST


def secret_of(text: str, kept: dict[str, Any]) -> bytes | None:
    """Return the secret that a passphrase makes, or None if it is not the one of which `kept` was made."""
    cost = {name: int(kept[name]) for name in COST}
    secret = _scrypt(text, bytes.fromhex(kept["salt"]), **cost)
    return secret if public_key_of(secret).hex() == kept["public_key"] else None


def _scrypt(text: str, salt: bytes, *, n: int, r: int, p: int, length: int = SECRET_BYTES) -> bytes:
    # Two keyboards may spell one letter in two ways.
    plain = unicodedata.normalize("NFKC", text).encode()
    return hashlib.scrypt(plain, salt=salt, n=n, r=r, p=p, maxmem=2 * 128 * n * r, dklen=length)
