"""Call one other service through the own sidecar, and say truthfully what happened to the request.

Three ends: an answer; `HopUnsent` (no byte of the request left, repeat freely); `HopUnknown` (it may have had
its effect, ask before repeating). Whatever cannot be proven unsent is unknown.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import aiohttp
from yarl import URL

from pki.identity import WorkloadIdentity
from services.node.config_file import EgressConfig, NodeConfig
from services.node.errors import HopUnknown, HopUnsent
from services.node.hop_sessions import HopSessions

ANSWER_BYTES_MAX = 1024 * 1024  # An internal answer is a few hundred bytes; a flood must not fill memory.
CONNECTIONS_MAX = 128  # Bounds calls under way to one callee; more wait here.
# Of a call's deadline, for having a connection. Beyond it the request certainly never left; only a deadline
# that ends while an answer is waited for leaves the outcome unknown.
CONNECT_SHARE = 0.5
IDLE_S_MAX = (
    2.0  # Shorter than any server's idle limit here, so that a call seldom meets a closing connection.
)
# Half of what a sidecar waits before it closes an idle connection whose age is up: we are gone before.
IDLE_SHARE = 0.05
# An outside party without a sidecar is left by the session's own age; a burst of calls that comes a second
# after the last one must not pay for a handshake each.
IDLE_SHARE_OUTSIDE = 0.2
URLS_KEPT_MAX = 256  # A few paths of each callee; parsing one takes as long as sending it.
UNSENT_HEADER = "x-countermark-unsent"  # A sidecar or connector sets it when it never reached the next hop.


@dataclass(frozen=True)
class HopAnswer:
    """What the callee answered: status, raw body, header fields (names in lower case)."""

    status: int
    body: bytes
    headers: dict[str, str]


class HopClient:
    """One callee behind one egress listener.

    Args:
        config: Identity of this process.
        egress: Where the own sidecar listens for this callee, and whose identity it must prove.
        timeout_s: Deadline of one call, connection included.
        believes_unsent: Whether the other side may vouch that it forwarded nothing. True for our own sidecar;
            False for an outside party, which could say so after moving money.
        callee: Name in the report of this process; whoever terminates TLS, if it is not told.
    """

    def __init__(
        self,
        config: NodeConfig,
        egress: EgressConfig,
        *,
        timeout_s: float,
        believes_unsent: bool,
        callee: str | None = None,
    ) -> None:
        self._believes_unsent = believes_unsent
        self._config = config
        self._egress = egress
        self._timeout_s = timeout_s
        self._callee = callee
        self._sessions: HopSessions | None = None

    async def start(self) -> None:
        """Follow the identity in force from now on; connections are opened by the first call."""
        self._sessions = HopSessions(
            self._config,
            self._callee or WorkloadIdentity.parse(self._egress.expect).name,
            self._egress.expect,
            call_s_max=self._timeout_s,
            make=self._make_session,
            connections_max=CONNECTIONS_MAX,
            idle_s_max=idle_s_max(self._config.connection_age_s_max, is_sidecar=self._believes_unsent),
        )

    def _make_session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=self._timeout_s * CONNECT_SHARE),
            auto_decompress=False,
            headers={"accept-encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),  # A callee sets nothing that later calls would carry.
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._sessions is not None:
            await self._sessions.close()

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str] | None = None,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> HopAnswer:
        """Send one request and return the answer, whatever its status.

        What moves money is POST: aiohttp's client repeats GET, PUT and DELETE once by itself when a kept
        connection drops (aio-libs/aiohttp#10790).

        Raises:
            HopUnsent: No byte of the request was written, or the next hop vouches that it forwarded none.
            HopUnknown: Anything else that is not a complete answer of the callee.
        """
        async with self._answered(method, path, body, headers or {}) as response:
            return HopAnswer(
                response.status,
                await _whole_body(response, answer_bytes_max),
                {k.lower(): v for k, v in response.headers.items()},
            )

    async def call_for_lines(
        self, path: str, body: bytes, take: Callable[[bytes], None], *, answer_bytes_max: int
    ) -> None:
        """POST, and hand on each line of the answer as it comes, without its end.

        Args:
            take: What it raises ends the call.
            answer_bytes_max: All lines together, their ends included.

        Raises:
            HopUnsent: As `call`; no line was handed on.
            HopUnknown: Any other status than 200, or an answer that ended too early; lines that were handed
                on before are true all the same.
        """
        async with self._answered("POST", path, body, {}) as response:
            if response.status != HTTPStatus.OK:
                raise HopUnknown(f"status {response.status}")
            received, rest = 0, b""
            async for chunk in response.content.iter_any():
                received += len(chunk)
                if received > answer_bytes_max:
                    raise HopUnknown("the answer is too large to be one of ours")
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    take(line)
            if rest:
                raise HopUnknown("the answer ends within a line")

    @asynccontextmanager
    async def _answered(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; its answer has begun. Faults are told as `call` promises, while it is read too."""
        if self._sessions is None:
            raise HopUnsent("the client was not started")
        fields = {"content-type": "application/json"} if body is not None else {}
        try:
            with self._sessions.lend() as session:
                async with session.request(
                    method,
                    _url_of(self._egress.url + path),
                    data=body,
                    headers=fields | headers,
                    allow_redirects=False,
                ) as response:
                    if self._believes_unsent and response.headers.get(UNSENT_HEADER) == "1":
                        await _whole_body(response, ANSWER_BYTES_MAX)  # So that the connection is kept.
                        raise HopUnsent(f"the next hop could not forward it (status {response.status})")
                    yield response
        except (aiohttp.ClientConnectorError, ssl.SSLCertVerificationError) as fault:
            raise HopUnsent(type(fault).__name__) from fault
        except aiohttp.ConnectionTimeoutError as fault:
            raise HopUnsent("no connection in time") from fault
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise HopUnknown(type(fault).__name__) from fault


@lru_cache(maxsize=URLS_KEPT_MAX)
def _url_of(text: str) -> URL:
    return URL(text, encoded=True)  # As it stands: nothing is quoted anew.


def idle_s_max(connection_age_s_max: float, *, is_sidecar: bool) -> float:
    """How long a connection may be kept without a call, seconds."""
    share = IDLE_SHARE if is_sidecar else IDLE_SHARE_OUTSIDE
    return min(IDLE_S_MAX, share * connection_age_s_max)


async def _whole_body(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """Read to the end: a body that is cut short raises, a prefix is never taken for an answer."""
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) > bytes_max:
            raise HopUnknown("the answer is too large to be one of ours")
    return bytes(received)
