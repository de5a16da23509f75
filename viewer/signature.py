"""Ed25519 (RFC 8032, 5.1), after the reference code of the RFC: signatures that anyone can check offline.

It signs a few reads a day. It is not made to withstand somebody who measures on
the reader's own computer how long a signature takes.
"""

import hashlib
from functools import cache
from typing import TypeAlias

__all__ = ["is_signature", "public_key_of", "sign"]

Point: TypeAlias = tuple[int, int, int, int]  # x, y, z, x y / z: extended homogeneous coordinates

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493  # order of the group
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of -1
NEUTRAL: Point = (0, 1, 1, 0)


def public_key_of(seed: bytes) -> bytes:
    """Return the public key, 32 bytes, of a secret of 32 bytes."""
    scalar, _ = _expanded(seed)
    return _encoded(_times(scalar, _base()))


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the signature, 64 bytes."""
    scalar, prefix = _expanded(seed)
    public_key = _encoded(_times(scalar, _base()))
    nonce = _hashed(prefix, message)
    commitment = _encoded(_times(nonce, _base()))
    answer = (nonce + _hashed(commitment, public_key, message) * scalar) % Q
    return commitment + answer.to_bytes(32, "little")


def is_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` was made of `message` by who holds the secret of `public_key`."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, commitment = _decoded(public_key), _decoded(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or answer >= Q:
        return False
    challenge = _hashed(signature[:32], public_key, message)
    return _are_equal(_times(answer, _base()), _sum(commitment, _times(challenge, key)))


def _expanded(seed: bytes) -> tuple[int, bytes]:
    if len(seed) != 32:
        raise ValueError(f"a secret has 32 bytes, got {len(seed)}")
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


def _hashed(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % Q


def _sum(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    product = NEUTRAL
    while scalar:
        if scalar & 1:
            product = _sum(product, point)
        point = _sum(point, point)
        scalar >>= 1
    return product


def _are_equal(one: Point, other: Point) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (
        one[1] * other[2] - other[1] * one[2]
    ) % P == 0


@cache
def _base() -> Point:
    y = 4 * pow(5, -1, P) % P
    x = _x_of(y, 0)
    if x is None:
        raise ArithmeticError("the base point of the curve is not on the curve")
    return x, y, 1, x * y % P


def _x_of(y: int, sign_bit: int) -> int | None:
    """Return the x of a point by its y and the lowest bit of x, or None if there is none."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if square == 0:
        return None if sign_bit else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign_bit else x


def _encoded(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(text: bytes) -> Point | None:
    number = int.from_bytes(text, "little")
    y = number & (1 << 255) - 1
    x = _x_of(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)
