"""Whether 32 bytes are a safe Ed25519 public key: canonical, on the curve, of large order.

OpenSSL loads keys of small order and non-canonical encodings. Under such a key one
signature verifies for many messages, so its owner could later deny having signed
any of them. Verification keys are checked here once, when they are loaded.
Source: RFC 8032 §5.1; the attack is described in RFC 8032 §8.9 and eprint 2020/823.
"""

from __future__ import annotations

from .errors import KeyRefused

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_ENCODED_BYTES = 32


def require_safe_point(encoded: bytes) -> None:
    """Refuse an encoding that no honest key generation can produce.

    Args:
        encoded: the 32-byte public key of RFC 8032 §5.1.2.

    Raises:
        KeyRefused: wrong length, y not reduced, x = 0 with the sign bit set, not on the
            curve, or eight times the point is the identity.
    """
    if len(encoded) != _ENCODED_BYTES:
        raise KeyRefused(f"an Ed25519 public key has {_ENCODED_BYTES} bytes, not {len(encoded)}")
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        raise KeyRefused("the Ed25519 public key is not canonical: y is not below 2^255 - 19")
    x = _recover_x(y)
    if x == 0 and sign:
        raise KeyRefused("the Ed25519 public key is not canonical: x is 0 but its sign bit is set")
    for _ in range(3):
        x, y = _double(x, y)
    if (x, y) == (0, 1):
        raise KeyRefused("the Ed25519 public key has a small order: one signature would fit many messages")


def _recover_x(y: int) -> int:
    """Return one x on the curve for this y; either sign has the same order."""
    numerator = (y * y - 1) % _P
    denominator = (_D * y * y + 1) % _P
    x_squared = numerator * pow(denominator, -1, _P) % _P
    x = pow(x_squared, (_P + 3) // 8, _P)
    if x * x % _P == x_squared:
        return x
    x = x * _SQRT_MINUS_ONE % _P
    if x * x % _P != x_squared:
        raise KeyRefused("the Ed25519 public key is not a point of the curve")
    return x


def _double(x: int, y: int) -> tuple[int, int]:
    # Affine and complete: the denominators are never zero, because d is not a square (RFC 8032 §5.1.4).
    product = _D * x * x * y * y % _P
    return (
        2 * x * y * pow(1 + product, -1, _P) % _P,
        (y * y + x * x) * pow(1 - product, -1, _P) % _P,
    )
