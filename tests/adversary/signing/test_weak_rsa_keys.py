"""Attack 12: RSA keys that a library loads and an attacker factors. No RSA key is accepted, weak or not."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from signing import SigningKey, VerifyingKey
from tests.adversary.signing import attacked_request as attack

_EXPONENT = 65537
# Public numbers alone: nobody needs to know a factor for the key to be a bad one.
_GOOD_2048 = (1 << 2047) | int.from_bytes(b"countermark TEST" * 15, "big") | 1
_WEAK = {
    "1536 bits": ((1 << 1535) | 0x10001, _EXPONENT),
    "exponent 3": (_GOOD_2048, 3),
    "even modulus": (_GOOD_2048 + 1, _EXPONENT),
    "divisible by 3": (_GOOD_2048 - _GOOD_2048 % 3 + 3, _EXPONENT),
    "2^2048 - 1": (2**2048 - 1, _EXPONENT),
    # ROCA (CVE-2017-15361): a modulus that is a power of 65537 modulo every small prime, as Infineon's were.
    "fingerprint of ROCA": (pow(65537, 128), _EXPONENT),
    "ordinary": (_GOOD_2048, _EXPONENT),
}


def _spki(modulus: int, exponent: int) -> bytes:
    """Write the key by hand: the library would not write some of these."""
    numbers = b"".join(_der(0x02, _unsigned(number)) for number in (modulus, exponent))
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    spki = _der(0x30, algorithm + _der(0x03, b"\x00" + _der(0x30, numbers)))
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(spki) + b"-----END PUBLIC KEY-----\n"


def _unsigned(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def _base64url(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@pytest.mark.parametrize(("modulus", "exponent"), _WEAK.values(), ids=_WEAK.keys())
def test_no_rsa_key_is_accepted_in_any_form(modulus: int, exponent: int) -> None:
    with attack.refused("key_refused"):
        VerifyingKey.from_spki_pem(_spki(modulus, exponent))
    jwk = {"kty": "RSA", "n": _base64url(modulus), "e": _base64url(exponent)}
    for more in ({}, {"alg": "PS512"}, {"crv": "P-256"}, {"crv": "Ed25519"}):
        with attack.refused("key_refused"):
            VerifyingKey.from_jwk(jwk | more)


def test_the_library_below_would_load_some_of_these_so_the_refusal_is_ours() -> None:
    loaded = 0
    for modulus, exponent in _WEAK.values():
        try:
            serialization.load_pem_public_key(_spki(modulus, exponent))
        except ValueError:
            continue
        loaded += 1

    assert loaded >= 3


def test_no_rsa_private_key_is_accepted() -> None:
    private = rsa.generate_private_key(_EXPONENT, 2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with attack.refused("key_refused"):
        SigningKey.from_pem(pem)
    with attack.refused("key_refused"):
        VerifyingKey(private.public_key())


@pytest.mark.parametrize("algorithm", ["rsa-pss-sha512", "rsa-v1_5-sha256"])
def test_no_rsa_algorithm_is_accepted(algorithm: str) -> None:
    with attack.refused("signature_malformed"):
        attack.accept(attack.payment_signed_with(attack.parameters(alg=f'"{algorithm}"')))
