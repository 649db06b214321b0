"""No input makes a parser of this package raise anything but one of its own refusals (attack 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signing import (
    Response,
    SigningError,
    SigningKey,
    VerifyingKey,
    keys_from_jwks,
    parse_registration_statement,
    sign_receipt,
    signature_base,
    verify_possession,
    verify_receipt,
    verify_webhook,
    webhook_key_from_text,
)
from signing.message_file import request_from_file, response_from_file
from tests.adversary.signing import attacked_request as attack

_KEY = attack.ALICE.verifying_key
_GOOD = attack.good()
_text = st.text(st.characters(), max_size=40)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_member = st.sampled_from(["kty", "crv", "x", "y", "d", "kid", "use", "alg"])
_plausible = st.sampled_from(
    ["OKP", "EC", "RSA", "Ed25519", "P-256", "sig", "EdDSA", "ES256", "A" * 43, *_KEY.to_jwk().values()]
)
_names = st.sampled_from(["webhook-id", "Webhook-Timestamp", "webhook-signature"]) | _text
_PARSERS: dict[str, Callable[[bytes], object]] = {
    "jwks": keys_from_jwks,
    "registration": parse_registration_statement,
    "public pem": VerifyingKey.from_spki_pem,
    "private pem": SigningKey.from_pem,
    "encrypted pem": lambda octets: SigningKey.from_pem(octets, b"password"),
    "request file": lambda octets: request_from_file(octets, attack.ORIGIN),
    "response file": response_from_file,
    "webhook key": lambda octets: webhook_key_from_text(octets.decode("utf-8", "surrogateescape")),
}


def _refused_or_read(parse: Callable[[], object]) -> None:
    try:
        parse()
    except SigningError as refusal:
        assert type(refusal).code != SigningError.code  # noqa: PT017 - the kind of refusal is the point


@pytest.mark.parametrize("parser", _PARSERS.values(), ids=_PARSERS.keys())
@settings(max_examples=150)
@given(data=st.data())
def test_any_bytes_are_read_or_refused(parser: Callable[[bytes], object], data: st.DataObject) -> None:
    octets = data.draw(
        st.binary(max_size=120) | _text.map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
    _refused_or_read(lambda: parser(octets))


_SEEDS = {
    "public pem": _KEY.to_spki_pem(),
    "private pem": attack.ALICE.to_pem(),
    "jwks": b'{"keys":[]}',
    "request file": b"POST /v1/payments HTTP/1.1\r\nA: b\r\n\r\n{}",
    "response file": b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}",
}


@pytest.mark.parametrize("name", _SEEDS)
@settings(max_examples=150)
@given(start=st.integers(0, 250), length=st.integers(0, 8), piece=st.binary(max_size=4))
def test_a_file_with_any_edit_is_read_or_refused(name: str, start: int, length: int, piece: bytes) -> None:
    seed = _SEEDS[name]
    _refused_or_read(lambda: _PARSERS[name](seed[:start] + piece + seed[start + length :]))


@given(st.dictionaries(_member | _text, _plausible | _json, max_size=8))
@example({"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43})
@example({"kty": ["EC"], "crv": {}, "x": 1})
@example({"kty": "OKP", "crv": "Ed25519", "x": "A" * 42 + "é"})
def test_any_jwk_is_read_or_refused(jwk: dict[str, Any]) -> None:
    _refused_or_read(lambda: VerifyingKey.from_jwk(jwk))


@settings(max_examples=200)
@given(
    status=st.integers(-1, 1000),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["content-type", "content-digest", "signature", "signature-input"]) | _text, _text
        ),
        max_size=6,
    ).map(tuple),
    body=st.binary(max_size=40),
)
def test_any_response_is_a_receipt_or_refused(
    status: int, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    response = Response(status, headers, body)
    _refused_or_read(lambda: verify_receipt(_GOOD, response, {_KEY.key_id: _KEY}.get, now=attack.NOW))


_ANSWER = Response(202, (("Content-Type", "application/json"),), b"{}")
_RECEIPTED = _ANSWER.with_headers(
    sign_receipt(attack.accept(_GOOD).signed, _ANSWER, attack.ALICE, now=attack.NOW)
)


@settings(max_examples=300)
@given(
    field=st.integers(0, len(_RECEIPTED.headers) - 1),
    start=st.integers(0, 500),
    length=st.integers(0, 8),
    piece=st.text(st.characters(), max_size=3),
)
def test_a_receipt_with_any_edit_is_refused(field: int, start: int, length: int, piece: str) -> None:
    name, old = _RECEIPTED.headers[field]
    new = old[:start] + piece + old[start + length :]
    headers = list(_RECEIPTED.headers)
    headers[field] = (name, new)
    edited = Response(_RECEIPTED.status, tuple(headers), _RECEIPTED.body)
    if new == old:
        assert 202 == verify_receipt(_GOOD, edited, {_KEY.key_id: _KEY}.get, now=attack.NOW).status
        return
    with pytest.raises(SigningError) as refusal:
        verify_receipt(_GOOD, edited, {_KEY.key_id: _KEY}.get, now=attack.NOW)
    assert refusal.value.code.startswith("receipt_")


@given(st.lists(st.tuples(_names, _text), max_size=5), st.binary(max_size=20), st.integers())
def test_any_webhook_is_verified_or_refused(headers: list[tuple[str, str]], body: bytes, now: int) -> None:
    _refused_or_read(lambda: verify_webhook(headers, body, [_KEY], now=now))


@given(st.binary(max_size=200), st.binary(max_size=80), _text)
def test_any_proof_of_possession_is_verified_or_refused(
    statement: bytes, signature: bytes, merchant_id: str
) -> None:
    _refused_or_read(
        lambda: verify_possession(statement, signature, _KEY, merchant_id=merchant_id, now=attack.NOW)
    )


@given(st.lists(st.tuples(_text, _text), max_size=4).map(tuple), _text, _text)
def test_any_request_has_a_base_or_is_refused(
    headers: tuple[tuple[str, str], ...], method: str, target: str
) -> None:
    request = type(_GOOD)(method, target, _GOOD.headers + headers, _GOOD.body)
    _refused_or_read(lambda: signature_base(request))


# What the fuzzer found, each under the name of what it was.
_FOUND = {
    "a private key with the object id of X448 and 32 bytes": (
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VvBCIEIG8R1pQ5oWZCS6xXXIL/qdFpANRvr0WQXw9PTrWVLwkt\n"
        b"-----END PRIVATE KEY-----\n"
    ),
}


@pytest.mark.parametrize("octets", _FOUND.values(), ids=_FOUND.keys())
def test_what_was_found_is_refused(octets: bytes) -> None:
    with attack.refused("key_refused"):
        SigningKey.from_pem(octets)
