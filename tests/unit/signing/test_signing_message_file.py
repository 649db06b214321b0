from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import Request, Response
from signing.errors import MessageUnreadable
from signing.message_file import request_from_file, request_to_json, response_from_file
from tests.unit.signing import signing_samples as samples

_token = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=10)


@given(
    method=st.text(max_size=9),
    target=st.text(max_size=20),
    headers=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4),
    body=st.none() | st.binary(max_size=40),
)
def test_any_request_survives_its_json_form(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    request = Request(method, target, tuple(headers), body)

    assert request == request_from_file(request_to_json(request), None)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_request_in_http_text_is_read_byte_for_byte(end: str) -> None:
    text = f"POST /v1/payments HTTP/1.1{end}Content-Type:  application/json \t{end}X:{end}{end}"
    request = request_from_file(text.encode() + b"{}\r\n\r\n\xff", samples.ORIGIN)

    assert (
        Request(
            "POST",
            f"{samples.ORIGIN}/v1/payments",
            (("Content-Type", "application/json"), ("X", "")),
            b"{}\r\n\r\n\xff",
        )
        == request
    )


def test_a_get_in_http_text_has_no_body() -> None:
    request = request_from_file(b"GET https://a.example/v1/x HTTP/2\r\nA: b\r\n\r\n", None)

    assert Request("GET", "https://a.example/v1/x", (("A", "b"),), None) == request


def test_informational_responses_are_passed_over() -> None:
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    text = before + b"HTTP/2 200 \r\na: b\r\n\r\n{}"

    assert Response(200, (("a", "b"),), b"{}") == response_from_file(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GET",
        b"GET /v1/x HTTP/1.1\r\n\r\n",
        b"GET https://a/v1/x\r\n\r\n",
        b"GET https://a/v1/x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET https://a/v1/x HTTP/1.1\r\nA b\r\n\r\n",
        b"GET https://a/v1/x HTTP/1.1\r\nA : b\r\n\r\n",
        b"{}",
        b'{"method":',
        b'{"method":1,"target_uri":"","headers":[],"body_base64":null}',
        b'{"method":"","target_uri":"","headers":{},"body_base64":null}',
        b'{"method":"","target_uri":"","headers":[["a"]],"body_base64":null}',
        b'{"method":"","target_uri":"","headers":[["a",1]],"body_base64":null}',
        b'{"method":"","target_uri":"","headers":[],"body_base64":"*"}',
        b'{"method":"","target_uri":"","headers":[],"body_base64":7}',
        b'{"method":"","target_uri":"","headers":[],"body_base64":null,"x":1}',
        b"{" + b" " * 1024 * 1024,
        b"G" * (1024 * 1024 + 1),
    ],
    ids=range(18),
)
def test_a_file_in_no_form_is_refused(content: bytes) -> None:
    with pytest.raises(MessageUnreadable):
        request_from_file(content, None)
    with pytest.raises(MessageUnreadable):
        response_from_file(content)


@given(
    start=st.sampled_from([b"", b"{", b"HTTP/1.1 200 OK\r\n", b"GET https://a/v1/x HTTP/1.1\r\n"]),
    rest=st.binary(),
)
def test_no_bytes_make_reading_fail_in_another_way(start: bytes, rest: bytes) -> None:
    for read in (lambda content: request_from_file(content, None), response_from_file):
        try:
            message = read(start + rest)
        except MessageUnreadable:
            continue

        assert isinstance(message, Request | Response)
