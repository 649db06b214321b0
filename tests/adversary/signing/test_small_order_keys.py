"""Attack 10: Ed25519 keys under which one signature fits every message, and second spellings of keys."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from signing import KeyRefused, VerifyingKey, webhook_key_from_text
from tests.adversary.signing import attacked_request as attack

_P = 2**255 - 19


_SIGN = 1 << 255


_Y_OF_ORDER_8 = (
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
)


# Every encoding of a point whose order divides 8, and those that OpenSSL reads as one of them.
_SMALL = {
    "identity": 1,
    "identity with sign": 1 | _SIGN,
    "identity not reduced": _P + 1,
    "identity not reduced with sign": (_P + 1) | _SIGN,
    "order 2": _P - 1,
    "order 2 with sign": (_P - 1) | _SIGN,
    "order 4": 0,
    "order 4 with sign": _SIGN,
    "order 4 not reduced": _P,
    "order 4 not reduced with sign": _P | _SIGN,
    **{f"order 8, {y:x}"[:12]: y for y in _Y_OF_ORDER_8},
    **{f"order 8 with sign, {y:x}"[:22]: y | _SIGN for y in _Y_OF_ORDER_8},
}


def _point(number: int) -> bytes:
    return number.to_bytes(32, "little")


@pytest.mark.parametrize("number", _SMALL.values(), ids=_SMALL.keys())
def test_a_small_order_or_non_canonical_key_is_refused_in_every_form(number: int) -> None:
    raw = _point(number)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
    prefix = bytes.fromhex("302a300506032b6570032100")
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(prefix + raw) + b"\n-----END PUBLIC KEY-----\n"
    with attack.refused("key_refused"):
        VerifyingKey.from_jwk(jwk)
    with attack.refused("key_refused"):
        VerifyingKey.from_spki_pem(pem)
    with attack.refused("key_refused"):
        webhook_key_from_text("whpk_" + base64.b64encode(raw).decode())


def test_without_the_check_one_signature_would_fit_every_message() -> None:
    key = ed25519.Ed25519PublicKey.from_public_bytes(_point(_SMALL["identity"]))
    signature = _point(1) + bytes(32)
    key.verify(signature, b"pay 1")
    key.verify(signature, b"pay 1000000")

    assert len(signature) == 64


def test_a_y_that_is_on_no_point_is_refused() -> None:
    refused = 0
    for y in range(2, 40):
        try:
            VerifyingKey(ed25519.Ed25519PublicKey.from_public_bytes(_point(y)))
        except KeyRefused:
            refused += 1

    assert 10 < refused < 30  # about half of all numbers are the y of a point


def test_every_y_that_is_not_reduced_is_refused_as_not_canonical() -> None:
    for surplus in range(19):
        for sign in (0, _SIGN):
            key = ed25519.Ed25519PublicKey.from_public_bytes(_point((_P + surplus) | sign))
            with attack.refused("key_refused", match="not canonical: y"):
                VerifyingKey(key)


def test_a_sign_of_zero_is_refused_as_not_canonical() -> None:
    for y in (1, _P - 1):
        key = ed25519.Ed25519PublicKey.from_public_bytes(_point(y | _SIGN))
        with attack.refused("key_refused", match="sign bit"):
            VerifyingKey(key)


def test_keys_of_honest_generation_pass_the_check() -> None:
    for index in range(40):
        seed = hashlib.sha256(b"honest TEST key %d" % index).digest()
        public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()

        assert VerifyingKey(public).alg == "ed25519"


def test_a_point_off_p256_is_refused() -> None:
    jwk = attack.ALICE_P256.verifying_key.to_jwk()
    for x, y in ((jwk["y"], jwk["x"]), ("A" * 43, "A" * 43), (jwk["x"], jwk["x"])):
        with attack.refused("key_refused"):
            VerifyingKey.from_jwk({"kty": "EC", "crv": "P-256", "x": x, "y": y})
