"""Bytes to messages with nothing refused, so that a fuzzer reaches the parsers with any header and target.

The form is a start line, header lines, an empty line, a body, with bare LF between them. Bytes are read as
latin-1, as the gateway reads them.
"""

from __future__ import annotations

from signing import Request, Response

_HEADER_LINES_MAX = 64  # more would only slow the fuzzer down


def request_of(octets: bytes) -> Request:
    """Read `METHOD target`, header lines, body."""
    first, headers, body = _split(octets)
    method, _, target = first.partition(" ")
    return Request(method, target, headers, body or None)


def response_of(octets: bytes) -> Response:
    """Read a status, header lines, body; what is no number is status 0."""
    first, headers, body = _split(octets)
    return Response(int(first) if first.isascii() and first.isdecimal() else 0, headers, body)


def wire_text(message: Request | Response) -> bytes:
    """Write a message that `request_of` or `response_of` reads back."""
    first = f"{message.method} {message.target_uri}" if isinstance(message, Request) else str(message.status)
    lines = [first, *(f"{name}: {value}" for name, value in message.headers)]
    return "\n".join(lines).encode("latin-1") + b"\n\n" + (message.body or b"")


def _split(octets: bytes) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    head, _, body = octets.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    pairs = (line.partition(": ") for line in lines[:_HEADER_LINES_MAX])
    return first, tuple((name, value) for name, _, value in pairs), body
