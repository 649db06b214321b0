"""Attack 9: another key is computed under which a signature that exists verifies (RFC 9421 §7.3.7)."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signing import VerifyingKey
from tests.adversary.signing import attacked_request as attack

_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_a_substituted_key_is_not_the_one_that_the_signature_names() -> None:
    # From a signature anyone can compute another P-256 key under which it verifies for the same bytes; the
    # thumbprint inside the signed bytes is what makes such a key useless.
    first = attack.accept(attack.good(attack.ALICE_P256), attack.ALICE_P256.verifying_key)
    other = _recovered_keys(first.signature, first.signature_base)
    substitutes = [key for key in other if key.key_id != attack.ALICE_P256.key_id]

    assert substitutes
    for key in substitutes:
        key.verify(first.signature, first.signature_base)
        with attack.refused("signature_invalid"):
            attack.accept(attack.good(attack.ALICE_P256), key)


def _recovered_keys(signature: bytes, base: bytes) -> list[VerifyingKey]:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    digest = int.from_bytes(hashlib.sha256(base).digest(), "big")
    inverse = pow(r, -1, _ORDER_P256)
    keys = []
    for parity in (b"\x02", b"\x03"):
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), parity + signature[:32])
        numbers = point.public_numbers()
        candidate = _combine(
            (numbers.x, numbers.y), s * inverse % _ORDER_P256, -digest * inverse % _ORDER_P256
        )
        encoded = ec.EllipticCurvePublicNumbers(*candidate, ec.SECP256R1()).public_key()
        pem = encoded.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        keys.append(VerifyingKey.from_spki_pem(pem))
    return keys


_P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


_GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def _combine(point: tuple[int, int], times: int, generator_times: int) -> tuple[int, int]:
    return _add(_multiply(point, times), _multiply(_GENERATOR, generator_times))


def _multiply(point: tuple[int, int], times: int) -> tuple[int, int]:
    result = point
    for bit in bin(times)[3:]:
        result = _add(result, result)
        if bit == "1":
            result = _add(result, point)
    return result


def _add(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    if left == right:
        slope = (3 * left[0] ** 2 - 3) * pow(2 * left[1], -1, _P256) % _P256
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, _P256) % _P256
    x = (slope * slope - left[0] - right[0]) % _P256
    return x, (slope * (left[0] - x) - left[1]) % _P256
