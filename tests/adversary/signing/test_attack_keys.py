"""Keys under which a signature proves nothing, algorithm confusion, and second spellings of signatures."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from signing import (
    KeyRefused,
    RequestSignatureInvalid,
    SignatureMalformed,
    VerifyingKey,
    webhook_key_from_text,
)
from tests.adversary.signing import attacked_request as attack

_P = 2**255 - 19
_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
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
    with pytest.raises(KeyRefused):
        VerifyingKey.from_jwk(jwk)
    with pytest.raises(KeyRefused):
        VerifyingKey.from_spki_pem(pem)
    with pytest.raises(KeyRefused):
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
            with pytest.raises(KeyRefused, match="not canonical: y"):
                VerifyingKey(key)


def test_a_sign_of_zero_is_refused_as_not_canonical() -> None:
    for y in (1, _P - 1):
        key = ed25519.Ed25519PublicKey.from_public_bytes(_point(y | _SIGN))
        with pytest.raises(KeyRefused, match="sign bit"):
            VerifyingKey(key)


def test_keys_of_honest_generation_pass_the_check() -> None:
    for index in range(40):
        seed = hashlib.sha256(b"honest TEST key %d" % index).digest()
        public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()

        assert VerifyingKey(public).alg == "ed25519"


def test_a_point_off_p256_is_refused() -> None:
    jwk = attack.ALICE_P256.verifying_key.to_jwk()
    for x, y in ((jwk["y"], jwk["x"]), ("A" * 43, "A" * 43), (jwk["x"], jwk["x"])):
        with pytest.raises(KeyRefused):
            VerifyingKey.from_jwk({"kty": "EC", "crv": "P-256", "x": x, "y": y})


def test_an_ecdsa_twin_is_accepted_but_leaves_every_claim_as_it_was() -> None:
    request = attack.good(attack.ALICE_P256)
    first = attack.accept(request, attack.ALICE_P256.verifying_key)
    s = int.from_bytes(first.signature[32:], "big")
    twin = first.signature[:32] + (_ORDER_P256 - s).to_bytes(32, "big")
    encoded = f"countermark=:{base64.b64encode(twin).decode()}:"
    again = attack.accept(
        attack.changed(request, "signature", lambda _: encoded), attack.ALICE_P256.verifying_key
    )

    assert first.signature != again.signature
    assert (first.nonce, first.idempotency_key, first.signature_base) == (
        again.nonce,
        again.idempotency_key,
        again.signature_base,
    )


def test_an_ed25519_twin_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    request = attack.good()
    signature = attack.accept(request).signature
    s = int.from_bytes(signature[32:], "little") + order
    twin = base64.b64encode(signature[:32] + s.to_bytes(32, "little")).decode()
    with pytest.raises(RequestSignatureInvalid):
        attack.accept(attack.changed(request, "signature", lambda _: f"countermark=:{twin}:"))


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (_ORDER_P256, 1),
        (1, _ORDER_P256),
        (_ORDER_P256, _ORDER_P256),
        (2**256 - 1, 2**256 - 1),
    ],
)
def test_degenerate_ecdsa_values_are_refused(r: int, s: int) -> None:
    encoded = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
    request = attack.changed(
        attack.good(attack.ALICE_P256), "signature", lambda _: f"countermark=:{encoded}:"
    )
    with pytest.raises(RequestSignatureInvalid):
        attack.accept(request, attack.ALICE_P256.verifying_key)


def test_a_signed_algorithm_that_is_not_the_keys_is_refused() -> None:
    request = attack.payment_signed_with(attack.parameters(alg='"ecdsa-p256-sha256"'))
    with pytest.raises(RequestSignatureInvalid, match="algorithm"):
        attack.accept(request)


def test_a_public_key_is_no_hmac_secret() -> None:
    request = attack.good()
    parameters = attack.parameters(alg='"hmac-sha256"')
    base = "\n".join(
        [*attack.component_lines(request, attack.COVERED.split(" ")),
         f'"@signature-params": ({attack.COVERED}){parameters}']
    )  # fmt: skip
    spki = attack.ALICE.verifying_key.to_spki_pem()
    mac = hmac.HMAC(spki, hashes.SHA256())
    mac.update(base.encode())
    forged = base64.b64encode(mac.finalize() * 2).decode()
    request = attack.changed(
        request, "signature-input", lambda _: f"countermark=({attack.COVERED}){parameters}"
    )
    with pytest.raises(SignatureMalformed):
        attack.accept(attack.changed(request, "signature", lambda _: f"countermark=:{forged}:"))


def test_a_substituted_key_is_not_the_one_that_the_signature_names() -> None:
    # From a signature anyone can compute another P-256 key under which it verifies for the same bytes; the
    # thumbprint inside the signed bytes is what makes such a key useless.
    first = attack.accept(attack.good(attack.ALICE_P256), attack.ALICE_P256.verifying_key)
    other = _recovered_keys(first.signature, first.signature_base)
    substitutes = [key for key in other if key.key_id != attack.ALICE_P256.key_id]

    assert substitutes
    for key in substitutes:
        key.verify(first.signature, first.signature_base)
        with pytest.raises(RequestSignatureInvalid):
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
