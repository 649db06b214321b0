"""The parts of an HTTP message that can be signed, as they were received or will be sent.

Nothing here normalises: header values, target and body are the very characters and
bytes of the wire, because any rewriting before verification is a difference that an
attacker can use. Source: RFC 9421 §2.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: as on the request line, for example `POST`.
        target_uri: origin and raw request target, for example
            `https://edge.countermark.internal:8443/v1/payments`. The origin comes from
            configuration, never from a header field.
        headers: name and value of each field line in order, names in any case.
        body: raw bytes as received; None or empty when there is none. Not in the `repr`: it may hold a
            card number.
    """

    method: str
    target_uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = field(repr=False)

    def with_headers(self, added: tuple[tuple[str, str], ...]) -> Request:
        """Return the same request with more field lines at the end."""
        return Request(self.method, self.target_uri, self.headers + added, self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    Attributes:
        status: the final status code, for example 202.
        headers: name and value of each field line in order, names in any case.
        body: raw bytes as received, without transfer or content encoding.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_headers(self, added: tuple[tuple[str, str], ...]) -> Response:
        """Return the same response with more field lines at the end."""
        return Response(self.status, self.headers + added, self.body)
