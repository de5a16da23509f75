"""Signatures that anyone can check offline: Ed25519 (RFC 8032), by the cryptography library."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["is_signature", "public_key_of", "sign"]


def public_key_of(seed: bytes) -> bytes:
    """Return the public key, 32 bytes, of a secret of 32 bytes.

    Raises
    ------
    ValueError
        If the secret has another length; so does `sign`.
    """
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the signature, 64 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def is_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` was made of `message` by who holds the secret of `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
