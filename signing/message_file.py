"""Messages in files: what `sign --json` writes, and HTTP as `curl --include` and proxies show it.

Read strictly, and never repaired: a file that was edited shows as a refused
signature, not as a guess. Pure: bytes in, message out.
Source: RFC 9112 §2 and §5 for the text form.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final, cast

from .errors import MessageUnreadable
from .message import Request, Response

FILE_BYTES_MAX: Final = 1024 * 1024  # a message has at most a 64 KiB body, in base64, and its header
_REQUEST_LINE = re.compile(r"([A-Za-z]{1,16}) (\S{1,4096}) HTTP/[0-9.]{1,4}")
_STATUS_LINE = re.compile(r"HTTP/[0-9.]{1,4} ([0-9]{3})(?: .*)?")
_FIELD_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INFORMATIONAL: Final = range(100, 200)


def request_to_json(request: Request) -> bytes:
    """Return a request as one JSON object, which `request_from_file` reads."""
    document = {
        "method": request.method,
        "target_uri": request.target_uri,
        "headers": [list(field) for field in request.headers],
        "body_base64": None if request.body is None else base64.b64encode(request.body).decode("ascii"),
    }
    return json.dumps(document, indent=2).encode("ascii") + b"\n"


def request_from_file(content: bytes, origin: str | None) -> Request:
    """Read a request, either form.

    Args:
        content: the file.
        origin: put before a target in origin form, such as `/v1/payments`; None if targets are absolute.

    Raises:
        MessageUnreadable: neither form.
    """
    if content.lstrip()[:1] == b"{":
        return _request_from_json(content)
    first_line, headers, body = _split(content)
    match = _REQUEST_LINE.fullmatch(first_line)
    if match is None:
        raise MessageUnreadable(
            "a request begins with a line such as: POST https://host/v1/payments HTTP/1.1"
        )
    target = match[2]
    if target.startswith("/"):
        if origin is None:
            raise MessageUnreadable("the request line has a path alone: give the origin with --origin")
        target = origin + target
    return Request(match[1], target, headers, body or None)


def response_from_file(content: bytes) -> Response:
    """Read a response as `curl --include` prints it; informational responses before it are passed over.

    Raises:
        MessageUnreadable: not such a text.
    """
    while True:
        first_line, headers, body = _split(content)
        match = _STATUS_LINE.fullmatch(first_line)
        if match is None:
            raise MessageUnreadable("a response begins with a line such as: HTTP/1.1 202 Accepted")
        status = int(match[1])
        if status not in _INFORMATIONAL:
            return Response(status, headers, body)
        content = body


def _split(content: bytes) -> tuple[str, tuple[tuple[str, str], ...], bytes]:
    if len(content) > FILE_BYTES_MAX:
        raise MessageUnreadable(f"the message has more than {FILE_BYTES_MAX} bytes")
    end = _HEAD_END.search(content)
    if end is None:
        raise MessageUnreadable("no empty line ends the header")
    first_line, *lines = content[: end.start()].decode("latin-1").replace("\r\n", "\n").split("\n")
    headers = []
    for number, line in enumerate(lines, start=2):
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise MessageUnreadable(f"line {number} is no header field; folded lines are not accepted")
        headers.append((match[1], match[2]))
    return first_line, tuple(headers), content[end.end() :]


def _request_from_json(content: bytes) -> Request:
    if len(content) > FILE_BYTES_MAX:
        raise MessageUnreadable(f"the message has more than {FILE_BYTES_MAX} bytes")
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MessageUnreadable("the file is not JSON in UTF-8") from error
    if document.keys() != {"method", "target_uri", "headers", "body_base64"}:
        raise MessageUnreadable("a request has exactly method, target_uri, headers and body_base64")
    method, target_uri, encoded = document["method"], document["target_uri"], document["body_base64"]
    if not isinstance(method, str) or not isinstance(target_uri, str):
        raise MessageUnreadable("method and target_uri are texts")
    headers = document["headers"]
    if not isinstance(headers, list) or not all(_is_field(field) for field in headers):
        raise MessageUnreadable("headers is a list of pairs of texts")
    if encoded is None:
        return Request(method, target_uri, _as_fields(headers), None)
    try:
        body = base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise MessageUnreadable("body_base64 is base64 or null") from error
    return Request(method, target_uri, _as_fields(headers), body)


def _is_field(field: object) -> bool:
    return isinstance(field, list) and [type(part) for part in field] == [str, str]


def _as_fields(headers: list[object]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in cast("list[list[str]]", headers))
