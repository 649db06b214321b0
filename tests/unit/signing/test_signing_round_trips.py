"""Whatever this package writes it reads back as the same value, for every form and any content."""

from __future__ import annotations

import string

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from signing import (
    Request,
    Response,
    SigningKey,
    VerifyingKey,
    keys_from_jwks,
    keys_to_jwks,
    parse_registration_statement,
    parse_request,
    registration_statement,
    sign_receipt,
    sign_request,
    sign_webhook,
    verify_receipt,
    verify_request,
    verify_webhook,
    webhook_key_from_text,
    webhook_public_key,
)
from signing.message_file import request_from_file, request_to_json, response_from_file
from tests.unit.signing import signing_samples as samples

_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_WORD = string.ascii_letters + string.digits + "_-"

_ed25519_keys = st.binary(min_size=32, max_size=32).map(
    lambda seed: SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
)
_p256_keys = st.integers(1, _ORDER_P256 - 1).map(
    lambda number: SigningKey(ec.derive_private_key(number, ec.SECP256R1()))
)
_keys = _ed25519_keys | _p256_keys
_texts = st.text(st.characters(), max_size=40)  # lone surrogates included, as servers decode bytes to them
_times = st.integers(0, 10**12 - 301)
_nonces = st.text(_WORD, min_size=22, max_size=64)
_words = st.text(_WORD, min_size=1, max_size=12)
_bodies = st.binary(min_size=1, max_size=200)
_targets = st.lists(_words, min_size=1, max_size=4).map(
    lambda segments: f"{samples.ORIGIN}/v1/" + "/".join(segments)
)
_idempotency_keys = st.text(_WORD, min_size=16, max_size=64)
_latin = st.characters(codec="latin-1", exclude_characters="\r\n")
_values = st.text(_latin, max_size=30).map(lambda text: text.strip(" \t"))
_fields = st.lists(
    st.tuples(st.text(string.ascii_letters + "-_.~!#", min_size=1, max_size=12), _values), max_size=5
).map(tuple)


@st.composite
def _unsigned(draw: st.DrawFn) -> Request:
    target = draw(_targets)
    if draw(st.booleans()):
        return Request("GET", target, (), None)
    method = draw(st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]))
    key = draw(_idempotency_keys)
    headers = (("content-type", "application/json"), ("IDEMPOTENCY-KEY", f'"{key}"'))
    return Request(method, target, headers, draw(_bodies))


@settings(max_examples=60)
@given(_unsigned(), _keys, _times, _nonces, st.integers(1, 300))
def test_what_is_signed_is_what_is_read_and_verified(
    unsigned: Request, key: SigningKey, now: int, nonce: str, lifetime_s: int
) -> None:
    fields = sign_request(unsigned, key, now=now, nonce=nonce, lifetime_s=lifetime_s)
    request = unsigned.with_headers(fields)
    signed = parse_request(request, origins=samples.ORIGINS)
    verified = verify_request(signed, key.verifying_key, now=now)

    assert (now, now + lifetime_s, nonce) == (verified.created, verified.expires, verified.nonce)
    assert (key.key_id, key.alg, request) == (verified.key_id, verified.alg, verified.request)
    assert signed == parse_request(request_from_file(request_to_json(request), None), origins=samples.ORIGINS)


@settings(max_examples=60)
@given(_unsigned(), _keys, st.integers(200, 599), st.binary(max_size=200), st.integers(-30, 10**9))
def test_what_is_receipted_is_what_is_verified(
    unsigned: Request, key: SigningKey, status: int, body: bytes, delay_s: int
) -> None:
    request = samples.signed(unsigned)
    answer, now = samples.answer(status, body), samples.NOW + delay_s
    answered = answer.with_headers(sign_receipt(samples.parsed(request), answer, key, now=now))
    receipt = verify_receipt(request, answered, {key.key_id: key.verifying_key}.get, now=now)

    assert (status, now, key.key_id, key.alg) == (
        receipt.status,
        receipt.created,
        receipt.key_id,
        receipt.alg,
    )
    assert (answered, samples.parsed(request)) == (receipt.response, receipt.signed)


@given(st.text(_WORD, min_size=1, max_size=64), _keys, st.integers(0, 10**12 - 1))
def test_a_registration_statement_says_what_it_was_made_of(
    merchant_id: str, key: SigningKey, issued_at: int
) -> None:
    statement = registration_statement(merchant_id, key.key_id, key.alg, issued_at)
    read = parse_registration_statement(statement)

    assert (merchant_id, key.key_id, key.alg, issued_at) == (
        read.merchant_id,
        read.key_id,
        read.alg,
        read.issued_at,
    )


@given(st.lists(_keys, max_size=6, unique_by=lambda key: key.key_id))
def test_keys_survive_every_form_they_are_written_in(keys: list[SigningKey]) -> None:
    public = [key.verifying_key for key in keys]

    assert public == [VerifyingKey.from_jwk(key.to_jwk()) for key in public]
    assert public == [VerifyingKey.from_spki_pem(key.to_spki_pem()) for key in public]
    assert {key.key_id: key for key in public} == keys_from_jwks(keys_to_jwks(public))
    assert public == [SigningKey.from_pem(key.to_pem()).verifying_key for key in keys]


@settings(max_examples=10)  # a password is stretched on purpose
@given(_keys, st.binary(min_size=1, max_size=64))
def test_an_encrypted_key_survives_its_password(key: SigningKey, password: bytes) -> None:
    assert key.key_id == SigningKey.from_pem(key.to_pem(password), password).key_id


@given(_ed25519_keys)
def test_a_webhook_key_survives_its_text(key: SigningKey) -> None:
    text = webhook_public_key(key.verifying_key)

    assert key.verifying_key == webhook_key_from_text(text)
    assert text == webhook_public_key(webhook_key_from_text(text))


@given(
    st.text(_WORD, min_size=1, max_size=128),
    st.integers(1, 10**12 - 1),
    st.binary(max_size=200),
    _ed25519_keys,
)
def test_a_webhook_is_read_as_it_was_signed(
    message_id: str, timestamp: int, body: bytes, key: SigningKey
) -> None:
    headers = sign_webhook(message_id, timestamp, body, key, also=[samples.GATEWAY])
    read = verify_webhook(headers, body, [key.verifying_key], now=timestamp)

    assert (message_id, timestamp, body, key.key_id) == (
        read.message_id,
        read.timestamp,
        read.body,
        read.key_id,
    )


@given(
    st.builds(
        Request,
        method=_texts,
        target_uri=_texts,
        headers=st.lists(st.tuples(_texts, _texts), max_size=4).map(tuple),
        body=st.none() | st.binary(max_size=60),
    )
)
@example(Request("\ud800", "\x00", (("\udfff", '"\\\n'),), b""))
def test_any_request_survives_its_json_file(request_kept: Request) -> None:
    assert request_kept == request_from_file(request_to_json(request_kept), None)


@given(
    st.sampled_from(["GET", "POST", "patch"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30),
    _fields,
    st.binary(max_size=60),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_request_survives_its_http_text(
    method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes, line_end: str
) -> None:
    lines = [f"{method} https://a{target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    text = line_end.join(lines).encode("latin-1") + line_end.encode() * 2 + body

    assert Request(method, f"https://a{target}", headers, body or None) == request_from_file(text, None)


@given(st.integers(200, 599), _fields, st.binary(max_size=60), st.sampled_from(["\n", "\r\n"]))
def test_a_response_survives_its_http_text(
    status: int, headers: tuple[tuple[str, str], ...], body: bytes, line_end: str
) -> None:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers)]
    before = f"HTTP/1.1 100 Continue{line_end * 2}"
    text = before.encode() + line_end.join(lines).encode("latin-1") + line_end.encode() * 2 + body

    assert Response(status, headers, body) == response_from_file(text)
