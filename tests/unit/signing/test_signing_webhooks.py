from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import (
    KeyRefused,
    VerifiedWebhook,
    VerifyingKey,
    WebhookBodyNotRaw,
    WebhookBodyReserialised,
    WebhookExpired,
    WebhookMalformed,
    WebhookRefused,
    WebhookSignatureInvalid,
    sign_webhook,
    verify_webhook,
    webhook_key_from_text,
    webhook_public_key,
)
from tests.unit.signing import signing_samples as samples

NEXT = samples.ed25519_key("gateway, next")
KEYS = [samples.GATEWAY.verifying_key]
BODY = b'{"type":"payment.captured"}'
HEADERS = sign_webhook("msg_1", samples.NOW, BODY, samples.GATEWAY)


def _changed(name: str, value: str) -> tuple[tuple[str, str], ...]:
    return tuple((field, value if field == name else old) for field, old in HEADERS)


@given(body=st.binary(max_size=200), message_id=st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True))
def test_a_signed_webhook_verifies(body: bytes, message_id: str) -> None:
    headers = sign_webhook(message_id, samples.NOW, body, samples.GATEWAY)
    webhook = verify_webhook(headers, body, KEYS, now=samples.NOW)

    assert (message_id, samples.NOW, body) == (webhook.message_id, webhook.timestamp, webhook.body)
    assert samples.GATEWAY.key_id == webhook.key_id


def test_the_signed_bytes_are_those_of_standard_webhooks() -> None:
    version, _, encoded = dict(HEADERS)["webhook-signature"].partition(",")
    content = f"msg_1.{samples.NOW}.".encode() + BODY

    assert version == "v1a"
    samples.GATEWAY.verifying_key.verify(base64.b64decode(encoded), content)


def test_during_a_rotation_either_key_verifies() -> None:
    headers = sign_webhook("msg_1", samples.NOW, BODY, samples.GATEWAY, also=[NEXT])
    for key in (samples.GATEWAY, NEXT):
        webhook = verify_webhook(headers, BODY, [key.verifying_key], now=samples.NOW)

        assert key.key_id == webhook.key_id


def test_signatures_of_other_versions_are_passed_over() -> None:
    signature = dict(HEADERS)["webhook-signature"]
    headers = _changed("webhook-signature", f"v1,AAAA {signature} v2,zz")
    webhook = verify_webhook(headers, BODY, KEYS, now=samples.NOW)

    assert webhook.message_id == "msg_1"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_the_id_and_the_time_are_signed(name: str) -> None:
    value = {"webhook-id": "msg_2", "webhook-timestamp": str(samples.NOW + 1)}[name]
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(_changed(name, value), BODY, KEYS, now=samples.NOW)


def test_another_body_or_another_key_is_refused() -> None:
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(HEADERS, BODY + b"\n", KEYS, now=samples.NOW)
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(
            HEADERS, BODY, [NEXT.verifying_key, samples.GATEWAY_P256.verifying_key], now=samples.NOW
        )
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(HEADERS, BODY, [], now=samples.NOW)


@pytest.mark.parametrize(("offset_s", "refused"), [(-301, True), (-300, False), (300, False), (301, True)])
def test_a_webhook_lives_five_minutes(offset_s: int, refused: bool) -> None:
    if refused:
        with pytest.raises(WebhookExpired):
            verify_webhook(HEADERS, BODY, KEYS, now=samples.NOW + offset_s)
    else:
        webhook = verify_webhook(HEADERS, BODY, KEYS, now=samples.NOW + offset_s)

        assert webhook.timestamp == samples.NOW


@pytest.mark.parametrize(
    "headers",
    [
        HEADERS[1:],
        HEADERS[:2],
        HEADERS + HEADERS[:1],
        _changed("webhook-id", "msg.1"),
        _changed("webhook-id", ""),
        _changed("webhook-timestamp", f" {samples.NOW}"),
        _changed("webhook-timestamp", "٣"),
        _changed("webhook-timestamp", "1" * 400),
        _changed("webhook-signature", " ".join(["v1a,"] * 9)),
        _changed("webhook-signature", "v" * 3000),
    ],
    ids=range(10),
)
def test_a_malformed_webhook_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(WebhookMalformed):
        verify_webhook(headers, BODY, KEYS, now=samples.NOW)


def test_what_receivers_would_refuse_is_not_signed() -> None:
    for message_id, timestamp in (("a.b", samples.NOW), ("", samples.NOW), ("a", -1)):
        with pytest.raises(WebhookMalformed):
            sign_webhook(message_id, timestamp, BODY, samples.GATEWAY)
    with pytest.raises(WebhookMalformed):
        sign_webhook("a", samples.NOW, BODY, samples.GATEWAY, also=[NEXT] * 8)
    with pytest.raises(KeyRefused):
        sign_webhook("a", samples.NOW, BODY, samples.GATEWAY_P256)


def test_a_webhook_key_has_one_text() -> None:
    text = webhook_public_key(samples.GATEWAY.verifying_key)

    assert samples.GATEWAY.verifying_key == webhook_key_from_text(text)
    wrong = [
        text.removeprefix("whpk_"),
        text[:-1],
        text + " ",
        text[:-2] + "/=",
        "whsk_" + text[5:],
        "whpk_é",
    ]
    for changed in wrong:
        if changed != text:
            with pytest.raises(KeyRefused):
                webhook_key_from_text(changed)
    with pytest.raises(KeyRefused):
        webhook_public_key(samples.GATEWAY_P256.verifying_key)


_names = st.sampled_from([name for name, _ in HEADERS]) | st.text(max_size=5)
_values = st.sampled_from([value for _, value in HEADERS]) | st.text(max_size=20)


@given(st.lists(st.tuples(_names, _values), max_size=5))
def test_no_webhook_makes_verification_fail_in_another_way(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(WebhookRefused):
        verify_webhook(headers, b"another body", KEYS, now=samples.NOW)


EVENT: dict[str, object] = {"type": "payment.captured", "data": {"name": "Grüße", "amounts": [1, 2]}}
COMPACT = json.dumps(EVENT, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"indent": 2},
        {"ensure_ascii": False},
        {"separators": (",", ":")},
        {"indent": 2, "ensure_ascii": False},
        {"indent": 4},
        {"indent": "\t"},
    ],
    ids=str,
)
def test_a_body_that_was_parsed_and_written_again_is_told_apart(options: dict[str, Any]) -> None:
    headers = sign_webhook("msg_1", samples.NOW, COMPACT, samples.GATEWAY)
    rewritten = json.dumps(json.loads(COMPACT), **options).encode()
    with pytest.raises(WebhookBodyReserialised, match="raw bytes") as refused:
        verify_webhook(headers, rewritten, [NEXT.verifying_key, *KEYS], now=samples.NOW)

    assert isinstance(refused.value, WebhookSignatureInvalid)
    assert "webhook_body_reserialised" == refused.value.code


def test_a_sender_that_indents_is_told_apart_too() -> None:
    headers = sign_webhook("msg_1", samples.NOW, json.dumps(EVENT, indent=2).encode(), samples.GATEWAY)
    with pytest.raises(WebhookBodyReserialised):
        verify_webhook(headers, COMPACT, KEYS, now=samples.NOW)


@pytest.mark.parametrize(
    "body", [b'{"type":"payment.failed"}', b"", b"{", b"\xff", b"[" * 100_000, b'"' + b"x" * 70_000 + b'"']
)
def test_another_body_is_just_not_signed(body: bytes) -> None:
    headers = sign_webhook("msg_1", samples.NOW, COMPACT, samples.GATEWAY)
    with pytest.raises(WebhookSignatureInvalid) as refused:
        verify_webhook(headers, body, KEYS, now=samples.NOW)

    assert "webhook_signature_invalid" == refused.value.code


@pytest.mark.parametrize(
    "body", [COMPACT.decode(), EVENT, None, bytearray(COMPACT)], ids=lambda b: type(b).__name__
)
def test_a_body_that_is_not_the_raw_bytes_is_refused_with_the_way_out(body: Any) -> None:
    headers = sign_webhook("msg_1", samples.NOW, COMPACT, samples.GATEWAY)
    with pytest.raises(WebhookBodyNotRaw, match="raw bytes") as refused:
        verify_webhook(headers, body, KEYS, now=samples.NOW)

    assert isinstance(refused.value, TypeError)
    assert "Grüße" not in str(refused.value)


def test_a_forger_cannot_make_a_receiver_verify_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    verify = VerifyingKey.verify

    def count(key: VerifyingKey, signature: bytes, base: bytes) -> None:
        calls.append(key.key_id)
        verify(key, signature, base)

    monkeypatch.setattr(VerifyingKey, "verify", count)
    keys = [samples.ed25519_key(f"receiver {n}").verifying_key for n in range(10)]
    forged = dict(sign_webhook("msg_1", samples.NOW, b"{}", samples.MALLORY, also=[samples.MALLORY] * 7))
    with pytest.raises(WebhookSignatureInvalid):
        verify_webhook(list(forged.items()), COMPACT, keys, now=samples.NOW)

    assert 8 * 10 + 24 == len(calls)


def test_a_verified_webhook_is_made_by_its_verification_alone() -> None:
    with pytest.raises(TypeError, match="verify_webhook alone"):
        VerifiedWebhook("msg_1", 1, b"{}", "key")  # type: ignore[call-arg, unused-ignore]


def test_the_headers_of_a_framework_may_be_a_mapping() -> None:
    key = samples.MERCHANT_ED25519
    fields = dict(sign_webhook("msg_1", samples.NOW, b"{}", key))

    webhook = verify_webhook(fields, b"{}", [key.verifying_key], now=samples.NOW)

    assert ("msg_1", samples.NOW, b"{}", key.key_id) == (
        webhook.message_id, webhook.timestamp, webhook.body, webhook.key_id,
    )  # fmt: skip
