"""GET of the document and of the page: made once at the start, cacheable, read by anyone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from gateway.api.conditions import matches
from gateway.api.operations import Bound
from gateway.api.surface import DOCUMENT, PAGE
from gateway.openapi.document import build_document
from gateway.openapi.page import api_page, content_security_policy

CACHE_CONTROL = "max-age=300"  # A new release is seen within minutes; meanwhile nobody asks twice.


@dataclass(frozen=True)
class _Published:
    """Bytes with the header fields that they are sent with."""

    body: bytes
    fields: dict[str, str]


class DocumentHandlers:
    """The handlers of the interface's own description.

    Args:
        origins: of the gateway; the document's servers.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        document = build_document(origins)
        self._document = _published(json.dumps(document, ensure_ascii=False).encode(), "application/json")
        self._page = _published(
            api_page(document).encode(),
            "text/html; charset=utf-8",
            {"Content-Security-Policy": content_security_policy(), "Referrer-Policy": "no-referrer"},
        )

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((DOCUMENT, self.document), (PAGE, self.page))

    async def document(self, request: web.Request) -> web.Response:
        """GET /.well-known/countermark-openapi.json."""
        return _answer(request, self._document)

    async def page(self, request: web.Request) -> web.Response:
        """GET /.well-known/countermark-api."""
        return _answer(request, self._page)


def _published(body: bytes, media_type: str, fields: dict[str, str] | None = None) -> _Published:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return _Published(
        body,
        {
            "Content-Type": media_type,
            "ETag": tag,
            "Cache-Control": CACHE_CONTROL,
            "X-Content-Type-Options": "nosniff",
            **(fields or {}),
        },
    )


def _answer(request: web.Request, published: _Published) -> web.Response:
    if matches(request.headers.get("If-None-Match"), published.fields["ETag"]):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, body=b"", headers=published.fields)
    return web.Response(body=published.body, headers=published.fields)
