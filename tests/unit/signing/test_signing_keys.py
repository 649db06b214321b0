from __future__ import annotations

import json
import pickle

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from signing import (
    Algorithm,
    KeyRefused,
    SignatureInvalid,
    SigningKey,
    VerifyingKey,
    keys_from_jwks,
    keys_to_jwks,
)
from tests.unit.signing import signing_samples as samples

_ALGORITHMS: list[Algorithm] = ["ed25519", "ecdsa-p256-sha256"]
_SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


@pytest.mark.parametrize("alg", _ALGORITHMS)
def test_a_generated_key_survives_every_form_it_is_stored_in(alg: Algorithm) -> None:
    key = SigningKey.generate(alg)
    public = key.verifying_key

    assert key.key_id == SigningKey.from_pem(key.to_pem()).key_id
    assert key.key_id == SigningKey.from_pem(key.to_pem(b"pass"), b"pass").key_id
    assert public == VerifyingKey.from_jwk(public.to_jwk())
    assert public == VerifyingKey.from_spki_pem(public.to_spki_pem())
    assert (alg, alg) == (key.alg, public.alg)
    assert len(key.key_id) == 43


@settings(max_examples=25)
@given(base=st.binary(max_size=600), alg=st.sampled_from(_ALGORITHMS))
def test_a_signature_has_64_bytes_and_verifies_over_its_bytes_alone(base: bytes, alg: Algorithm) -> None:
    key = samples.MERCHANT_ED25519 if alg == "ed25519" else samples.MERCHANT_P256
    signature = key.sign(base)

    assert len(signature) == 64
    key.verifying_key.verify(signature, base)
    with pytest.raises(SignatureInvalid):
        key.verifying_key.verify(signature, base + b"\x00")


@given(signature=st.binary(max_size=80), index=st.integers(0, 1))
def test_random_bytes_are_never_a_signature(signature: bytes, index: int) -> None:
    with pytest.raises(SignatureInvalid):
        samples.MERCHANT_KEYS[index].verifying_key.verify(signature, b"base")


def test_the_thumbprint_is_the_one_of_rfc_8037_appendix_a() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}

    assert VerifyingKey.from_jwk(jwk).key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_wrong_or_missing_or_needless_password_is_refused() -> None:
    pem = samples.MERCHANT_P256.to_pem(b"right")
    for attempt, password in ((pem, b"wrong"), (pem, None), (samples.MERCHANT_P256.to_pem(), b"needless")):
        with pytest.raises(KeyRefused):
            SigningKey.from_pem(attempt, password)


def _public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, _SPKI)


@pytest.mark.parametrize(
    "pem",
    [
        _public_pem(rsa.generate_private_key(65537, 2048)),
        _public_pem(ec.generate_private_key(ec.SECP384R1())),
        _public_pem(ec.generate_private_key(ec.SECP256K1())),
        _public_pem(ed448.Ed448PrivateKey.generate()),
        b"",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        samples.MERCHANT_ED25519.to_pem(),
    ],
    ids=["rsa", "p-384", "secp256k1", "ed448", "empty", "garbage", "private"],
)
def test_only_public_keys_of_the_two_algorithms_load(pem: bytes) -> None:
    with pytest.raises(KeyRefused):
        VerifyingKey.from_spki_pem(pem)


def test_only_private_keys_of_the_two_algorithms_load() -> None:
    foreign: list[ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey | dsa.DSAPrivateKey] = [
        ec.generate_private_key(ec.SECP384R1()),
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(1024),
    ]
    for key in foreign:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with pytest.raises(KeyRefused):
            SigningKey.from_pem(pem)
    with pytest.raises(KeyRefused):
        SigningKey.generate("rsa")  # type: ignore[arg-type]  # the wrong word is the test


_ED_JWK = samples.MERCHANT_ED25519.verifying_key.to_jwk()
_EC_JWK = samples.MERCHANT_P256.verifying_key.to_jwk()


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        _ED_JWK | {"x": _ED_JWK["x"] + "="},
        _ED_JWK | {"x": _ED_JWK["x"][:-1]},
        _ED_JWK | {"x": _ED_JWK["x"][:-1] + "B"},
        _ED_JWK | {"x": " " + _ED_JWK["x"]},
        _ED_JWK | {"x": 7},
        _ED_JWK | {"kty": "EC"},
        _ED_JWK | {"crv": "X25519"},
        _ED_JWK | {"kid": _EC_JWK["kid"]},
        _ED_JWK | {"alg": "ES256"},
        _ED_JWK | {"alg": ["EdDSA"]},
        _ED_JWK | {"use": "enc"},
        _ED_JWK | {"d": _ED_JWK["x"]},
        _ED_JWK | {"y": _EC_JWK["y"]},
        _ED_JWK | {"key_ops": ["verify"]},
        _EC_JWK | {"crv": "P-384"},
        _EC_JWK | {"y": _EC_JWK["x"]},
        _EC_JWK | {"x": "A" * 43},
        _EC_JWK | {"y": "AA" + _EC_JWK["y"]},
        {name: value for name, value in _EC_JWK.items() if name != "y"},
    ],
    ids=str,
)
def test_a_jwk_has_one_spelling(jwk: dict[str, object]) -> None:
    with pytest.raises(KeyRefused):
        VerifyingKey.from_jwk(jwk)


def test_a_private_key_shows_neither_in_its_text_nor_in_a_pickle() -> None:
    key = samples.MERCHANT_ED25519

    assert f"SigningKey(ed25519, {key.key_id})" == repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)


def test_a_key_set_comes_back_as_it_was_written() -> None:
    keys = [key.verifying_key for key in (samples.GATEWAY, samples.GATEWAY_P256)]
    document = keys_to_jwks(keys)

    assert {key.key_id: key for key in keys} == keys_from_jwks(document)
    assert keys_from_jwks(keys_to_jwks([])) == {}


def _key_set(*keys: object, **members: object) -> bytes:
    return json.dumps({"keys": list(keys), **members}).encode()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"\xff",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[1]}',
        b'{"keys":[],"keys":[]}',
        b"[" * 20_000,
        b'{"keys":[' + b" " * 65_536 + b"]}",
        _key_set(_ED_JWK, _ED_JWK),
        _key_set(_ED_JWK, next=1),
        _key_set(_ED_JWK, {"kty": "RSA"}),
    ],
    ids=range(12),
)
def test_a_key_set_is_read_strictly(document: bytes) -> None:
    with pytest.raises(KeyRefused):
        keys_from_jwks(document)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_key_loader_fail_in_another_way(content: bytes) -> None:
    with pytest.raises(KeyRefused):
        VerifyingKey.from_spki_pem(content)
    with pytest.raises(KeyRefused):
        SigningKey.from_pem(content)
    with pytest.raises(KeyRefused):
        keys_from_jwks(content)


def test_a_key_set_holds_at_most_256_keys() -> None:
    with pytest.raises(KeyRefused, match="256"):
        keys_to_jwks([samples.GATEWAY.verifying_key] * 257)


def test_a_private_jwk_is_refused_with_a_warning_to_keep_it() -> None:
    with pytest.raises(KeyRefused, match="private key: keep it"):
        VerifyingKey.from_jwk(_ED_JWK | {"d": _ED_JWK["x"]})
