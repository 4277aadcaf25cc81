"""Verification of ed25519 signatures. Source: RFC 8032, sections 5.1 and 6.

The standard library has none, and a bare Debian has no `openssl` command. Verification handles nothing secret, so
arithmetic that takes a varying time gives nothing away; signing does, and is not here.
"""

import hashlib
from typing import NamedTuple

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)


class Point(NamedTuple):
    """A point in extended coordinates: x = X/Z, y = Y/Z, x*y = T/Z."""

    x: int
    y: int
    z: int
    t: int


NEUTRAL = Point(0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points; the same formula doubles."""
    e = (a.y - a.x) * (b.y - b.x) % P
    f = (a.y + a.x) * (b.y + b.x) % P
    g = 2 * a.t * b.t * D % P
    h = 2 * a.z * b.z % P
    return Point((f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P)


def multiply(scalar: int, point: Point) -> Point:
    """Return a point added to itself `scalar` times."""
    total = NEUTRAL
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def equal(a: Point, b: Point) -> bool:
    """Whether two points are the same, whatever their Z."""
    return (a.x * b.z - b.x * a.z) % P == 0 and (a.y * b.z - b.y * a.z) % P == 0


def decompress(encoded: bytes) -> Point | None:
    """Return the point of 32 bytes, None when they are no point or not its only encoding."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return Point(x, y, 1, x * y % P)


_BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _BASE is not None
BASE = _BASE


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a 64-byte signature of the message was made with the private half of a 32-byte key."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, nonce = decompress(public_key), decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= ORDER:
        return False
    # A key of small order would take one signature for many messages.
    if equal(multiply(8, key), NEUTRAL):
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    return equal(multiply(scalar, BASE), add(nonce, multiply(challenge, key)))
