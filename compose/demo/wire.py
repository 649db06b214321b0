"""The merchant's HTTP: exactly the bytes that were signed go out, and no receipt is believed unverified."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from signing import (
    Request,
    Response,
    SigningKey,
    VerifiedReceipt,
    VerifyingKey,
    keys_from_jwks,
    sign_request,
    verify_receipt,
)

ANSWER_S_MAX = 20.0  # The gateway answers in milliseconds; a cold machine may take seconds.
# Shorter than the edge waits for an idle connection that it is about to close: nothing is sent into its end.
IDLE_S_MAX = 0.5
NONCE_BYTES = 18  # 144 random bits; the profile asks for 128.


@dataclass(frozen=True)
class Exchange:
    """One signed request and its verified answer."""

    request: Request
    response: Response
    receipt: VerifiedReceipt

    def header(self, name: str) -> str:
        """A response header field, empty when absent."""
        return next((v for k, v in self.response.headers if k.lower() == name), "")


class Wire:
    """A connection of one merchant to the gateway's public origin.

    Args:
        origin: `https://NAME:PORT` as it is signed.
        address: Where that name is found; on one machine this is loopback.
        trust_file: Authority of the edge's certificate; looked at before each request, since it changes when
            certificates are rotated.
    """

    def __init__(self, origin: str, address: str, trust_file: str) -> None:
        self._origin = origin
        self._trust_file = Path(trust_file)
        self._trusted: bytes | None = None
        self._context: ssl.SSLContext
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_OneHost(address), keepalive_timeout=IDLE_S_MAX),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        )
        self.gateway_keys: dict[str, VerifyingKey] = {}

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    def _trust(self) -> ssl.SSLContext:
        """A context of the authority in force; a new one is a new connection."""
        trusted = self._trust_file.read_bytes()
        if trusted != self._trusted:
            self._context = ssl.create_default_context(cadata=trusted.decode("ascii"))
            self._context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._trusted = trusted
        return self._context

    async def learn_keys(self) -> None:
        """Fetch the gateway's public keys; a real merchant pins them from its contract."""
        url = URL(f"{self._origin}/.well-known/countermark-keys", encoded=True)
        async with self._session.get(url, ssl=self._trust()) as response:
            self.gateway_keys = keys_from_jwks(await response.read())

    def sign(
        self, key: SigningKey, method: str, path: str, body: bytes | None = None, idempotency_key: str = ""
    ) -> Request:
        """Build and sign one request."""
        headers: tuple[tuple[str, str], ...] = ()
        if body is not None:
            headers = (("Content-Type", "application/json"), ("Idempotency-Key", f'"{idempotency_key}"'))
        request = Request(method, self._origin + path, headers, body)
        added = sign_request(request, key, now=int(time.time()), nonce=secrets.token_urlsafe(NONCE_BYTES))
        return request.with_headers(added)

    async def send(self, request: Request) -> Exchange:
        """Send it and verify the receipt before anybody looks at the answer.

        Raises:
            signing.ReceiptRefused: The answer is not provably the gateway's answer to this request.
        """
        url = URL(request.target_uri, encoded=True)
        async with self._session.request(
            request.method,
            url,
            headers=list(request.headers),
            data=request.body,
            allow_redirects=False,
            ssl=self._trust(),
        ) as answer:
            body = await answer.read()
            fields = tuple((k.decode().lower(), v.decode("latin-1")) for k, v in answer.raw_headers)
        response = Response(answer.status, fields, body)
        keys: Callable[[str], VerifyingKey | None] = self.gateway_keys.get
        return Exchange(request, response, verify_receipt(request, response, keys, now=int(time.time())))


class _OneHost(AbstractResolver):
    """Finds the public name on this machine; the certificate is still checked against the name."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=self._address, port=port, family=family or 2, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """Nothing is held."""
