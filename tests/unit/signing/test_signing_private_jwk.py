from __future__ import annotations

import base64
import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import KeyRefused, SigningKey, signing_key_from_jwk, signing_key_to_jwk
from signing.private_jwk import signing_key_from_jwk_document
from tests.unit.signing import signing_samples as samples

KEYS = samples.MERCHANT_KEYS
# RFC 8037 appendix A.1 and RFC 7517 appendix A.2, the P-256 key; both are published test keys.
RFC_8037 = {
    "kty": "OKP", "crv": "Ed25519", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}  # fmt: skip
RFC_7517 = {
    "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
}  # fmt: skip
ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _text(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
def test_a_key_survives_the_round_trip(key: SigningKey) -> None:
    jwk = signing_key_to_jwk(key)
    again = signing_key_from_jwk_document(json.dumps(jwk).encode())

    assert key.verifying_key == again.verifying_key
    assert key.verifying_key.to_jwk() | {"d": jwk["d"]} == jwk
    again.verifying_key.verify(again.sign(b"base"), b"base")


@pytest.mark.parametrize("jwk", [RFC_8037, RFC_7517], ids=["RFC 8037", "RFC 7517"])
def test_the_published_keys_load(jwk: dict[str, object]) -> None:
    assert jwk["x"] == signing_key_from_jwk(jwk).verifying_key.to_jwk()["x"]


@pytest.mark.parametrize("jwk", [RFC_8037, RFC_7517], ids=["ed25519", "p256"])
@pytest.mark.parametrize(
    "change",
    [
        {"d": None}, {"d": ""}, {"d": 5}, {"d": "A" * 42}, {"d": "A" * 44}, {"d": "A" * 42 + "B"},
        {"d": "A" * 42 + "="}, {"d": "+" * 42 + "A"}, {"kid": "wrong"}, {"use": "enc"}, {"key_ops": ["sign"]},
        {"k": "x"}, {"p": "x"}, {"alg": "RS256"}, {"crv": "Ed448"}, {"kty": "oct"}, {"x": "A" * 43},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_strictly_a_private_jwk_is_refused(
    jwk: dict[str, object], change: dict[str, object]
) -> None:
    with pytest.raises(KeyRefused):
        signing_key_from_jwk(jwk | change)


@pytest.mark.parametrize("number", [0, ORDER_P256, ORDER_P256 + 1, 2**256 - 1])
def test_a_scalar_outside_the_group_is_refused(number: int) -> None:
    with pytest.raises(KeyRefused):
        signing_key_from_jwk(RFC_7517 | {"d": _text(number)})


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
def test_the_halves_of_two_keys_are_not_one_key(key: SigningKey) -> None:
    other = signing_key_to_jwk(SigningKey.generate(key.alg))
    with pytest.raises(KeyRefused, match="two different keys"):
        signing_key_from_jwk(signing_key_to_jwk(key) | {"d": other["d"]})


def test_the_negative_of_a_scalar_is_another_key() -> None:
    # It has the same x, so that a check of x alone would take it.
    scalar = int.from_bytes(base64.urlsafe_b64decode(RFC_7517["d"] + "="), "big")
    with pytest.raises(KeyRefused, match="two different keys"):
        signing_key_from_jwk(RFC_7517 | {"d": _text(ORDER_P256 - scalar)})


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{", b"\xff", b"null", b'"x"', b"[" * 5000, b'{"kty":"OKP","kty":"OKP"}',
     json.dumps(RFC_8037).encode() + b" " * 4096, json.dumps(RFC_8037).encode("utf-16")],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_json_object_with_distinct_members_is_refused(document: bytes) -> None:
    with pytest.raises(KeyRefused):
        signing_key_from_jwk_document(document)


@given(st.sampled_from(["d", "x", "kty", "crv", "kid"]), st.text(max_size=50) | st.integers() | st.none())
def test_no_error_holds_the_private_part(name: str, value: object) -> None:
    secret = RFC_8037["d"]
    document = json.dumps(RFC_8037 | {name: value}).encode()
    error: KeyRefused | None = None
    try:
        signing_key_from_jwk_document(document)
    except KeyRefused as refused:
        error = refused
    shown = "" if error is None else "".join(traceback.format_exception(error)) + repr(error.__context__)

    assert secret not in shown
