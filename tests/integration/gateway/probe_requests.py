"""What schemathesis wants to ask, signed as a merchant would: from its requests to ours, and back."""

from __future__ import annotations

import asyncio
import base64
import io
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from signing import Request, Response, SigningKey, profile, verify_receipt
from signing.digest import content_digest
from signing.keys import VerifyingKey
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN

ANSWER_S_MAX = 30.0
# What the sender of the octets writes itself, and what a probe has no say in.
_OURS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "user-agent"}
_OURS |= {"content-digest", "signature", "signature-input"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SigningAdapter(HTTPAdapter):
    """Carries a session's requests to the gateway of a stack, each signed with a real key.

    Args:
        stack: where the gateway is; its connections are made in `loop`.
        loop: runs in another thread than the caller's.
        key: registered there.
        published: the gateway's keys; the receipt of every success is verified under them.
    """

    def __init__(
        self,
        stack: Gateway,
        loop: asyncio.AbstractEventLoop,
        key: SigningKey,
        published: Mapping[str, VerifyingKey],
    ) -> None:
        super().__init__()
        self._stack, self._loop, self._key, self._published = stack, loop, key, published
        self.statuses: dict[int, int] = {}

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        signed = _from_requests(request)
        if is_meant_to_be_signed(request):
            signed = sign_anything(signed, self._key)
        asking = asyncio.run_coroutine_threadsafe(self._stack.send(signed), self._loop)
        answer = asking.result(timeout=ANSWER_S_MAX)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.status < 300 and "/v1/" in signed.target_uri:
            verify_receipt(signed, answer, self._published.get, now=int(time.time()))
        return self.build_response(request, _to_requests(answer))


def is_meant_to_be_signed(request: requests.PreparedRequest) -> bool:
    """Whether a probe has every field of the signature, with some value; one without means to be refused."""
    needed = ["Signature", "Signature-Input", *(["Content-Digest"] if request.method != "GET" else [])]
    return all(name in request.headers for name in needed)


def sign_anything(request: Request, key: SigningKey) -> Request:
    """Sign a request as it is, also one that no client of ours would sign."""
    present = {name.lower(): value for name, value in request.headers}
    now, nonce = int(time.time()), secrets.token_urlsafe(24)
    added: list[tuple[str, str]] = []
    covered = profile.COVERED_GET
    parts = {"@method": request.method, "@target-uri": request.target_uri}
    if request.method != "GET":
        covered = profile.COVERED_ACTING
        added.append(("Content-Digest", content_digest(request.body or b"")))
        parts |= {
            "content-type": present.get("content-type", ""),
            "content-digest": added[0][1],
            "idempotency-key": present.get("idempotency-key", ""),
        }
    parameters = (
        f'({covered});created={now};expires={now + 300};nonce="{nonce}";keyid="{key.key_id}"'
        f';alg="{key.alg}";tag="{profile.REQUEST_TAG}"'
    )
    lines = [f'"{name}": {value}' for name, value in parts.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode("utf-8", "surrogateescape")
    signature = f"{profile.LABEL}=:{base64.b64encode(key.sign(base)).decode()}:"
    added += [("Signature-Input", f"{profile.LABEL}={parameters}"), ("Signature", signature)]
    return request.with_headers(tuple(added))


def _from_requests(request: requests.PreparedRequest) -> Request:
    generated: Mapping[Any, Any] = request.headers  # names and values are text or bytes
    pairs = ((_text(name), _text(value)) for name, value in generated.items())
    headers = tuple((name, value) for name, value in pairs if name.lower() not in _OURS)
    path, _, query = request.path_url.partition("?")
    # A client of ours sends the one spelling of a query that can be signed.
    target = path + ("?" + "&".join(sorted(query.split("&"))) if query else "")
    body: Any = request.body  # text, where what was generated is text
    body = body.encode() if isinstance(body, str) else body
    return Request(str(request.method), ORIGIN + target, headers, body or None)


def _text(value: Any) -> str:
    """A name or value without control characters: with them it is no HTTP, and no operation is asked."""
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return _CONTROL.sub("?", text)


def _to_requests(answer: Response) -> HTTPResponse:
    return HTTPResponse(
        body=io.BytesIO(answer.body),
        headers=HTTPHeaderDict(answer.headers),
        status=answer.status,
        version=11,
        preload_content=False,
    )
