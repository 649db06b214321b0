from __future__ import annotations

import pytest

from gateway.access.kept_request import HEAD_BYTES_MAX, REFUSED_BODY_BYTES_MAX, refused_body, request_head
from signing import Request

TARGET = "https://pay.example/v1/payments?limit=1"


def head_of(*headers: tuple[str, str], method: str = "POST", target: str = TARGET) -> str:
    return request_head(Request(method, target, headers, None)).decode("latin-1")


def test_the_head_is_what_was_received_in_its_order() -> None:
    head = head_of(("Host", "pay.example"), ("X-Trace", "1"), ("x-trace", "2"), ("Signature", "s"))

    assert "POST /v1/payments?limit=1\nHost: pay.example\nX-Trace: 1\nx-trace: 2\nSignature: s\n" == head


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "COOKIE",
        "x-forwarded-client-cert",
        "X-Envoy-Peer",
        "x-request-id",
    ],
)
def test_credentials_and_what_the_mesh_added_are_left_out(name: str) -> None:
    assert "POST /v1/payments?limit=1\nHost: pay.example\n" == head_of(
        ("Host", "pay.example"), (name, "secret")
    )


def test_a_head_that_is_too_long_keeps_the_fields_of_the_signature() -> None:
    long = ("X-Long", "x" * HEAD_BYTES_MAX)

    assert "POST /v1/payments?limit=1\nSignature: s\n" == head_of(long, ("Signature", "s"))


def test_a_byte_above_ascii_stays_the_byte_that_it_was() -> None:
    assert b"GET /v1/a\nX: \xe9\n" == request_head(
        Request("GET", "https://pay.example/v1/a", (("X", "\xe9"),), None)
    )


def test_a_refused_body_is_kept_unless_it_is_long_or_may_hold_a_secret() -> None:
    def kept(body: bytes, route: str) -> bytes | None:
        return refused_body(Request("POST", TARGET, (), body), route)

    longest = b"x" * REFUSED_BODY_BYTES_MAX

    assert longest == kept(longest, "/v1/payments")
    assert None is kept(longest + b"x", "/v1/payments")
    assert None is kept(b"{}", "/v1/keys")
    assert None is kept(b"{}", "unmatched")


@pytest.mark.parametrize(
    "body",
    [
        b'{"instrument":"4242424242424242"}',
        b'{"instrument":"4242 4242-4242 4242"}',
        b'{"note":"card 378282246310005 of mine"}',
        b'{"account":"DE89370400440532013000"}',
        b'{"account":"GB29 NWBK 6016 1331 9268 19"}',
    ],
)
def test_a_refused_body_that_may_hold_a_card_or_account_number_is_not_kept(body: bytes) -> None:
    assert None is refused_body(Request("POST", TARGET, (), body), "/v1/payments")


@pytest.mark.parametrize(
    "body", [b'{"amount":1999,"reference":"4242424242424241"}', b'{"reference":"order-2026-11-25-000123"}']
)
def test_a_refused_body_with_other_numbers_is_kept(body: bytes) -> None:
    assert body == refused_body(Request("POST", TARGET, (), body), "/v1/payments")
