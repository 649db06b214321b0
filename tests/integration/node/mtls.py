"""What the tests of this folder share: identities, a port that stays ours, and a raw connection over mTLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context
from services.node.config_file import NodeConfig
from tests.integration.postgres_server import ThrowAwayPki

NAMES = ("gateway", "gateway-sidecar", "payments", "banks", "supervisor")
ANSWER_S_MAX = 10.0


def spiffe(name: str) -> str:
    return spiffe_id(name, TRUST_DOMAIN_DEFAULT)


def node_config(pki: ThrowAwayPki, name: str, state: Path, *, age_s_max: float = 60.0) -> NodeConfig:
    return NodeConfig(
        name=name,
        cell="eu",
        trust_domain=TRUST_DOMAIN_DEFAULT,
        identity=str(pki.identity(name)),
        state_dir=str(state),
        connection_age_s_max=age_s_max,
    )


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that is bound and not listened on: a server of the test may share it, nobody else gets it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Connection:
    """One connection, so that a test sees when the server ends it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, path: str, *fields: tuple[str, str], method: str = "GET") -> Answer | None:
        """Send one request; None when the server ended the connection without an answer."""
        lines = [f"{method} {path} HTTP/1.1", "host: node", *(f"{name}: {value}" for name, value in fields)]
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                await self.writer.drain()
                head = await self.reader.readuntil(b"\r\n\r\n")
                status, *rest = head.decode().split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (x.partition(":") for x in rest if x)
                }
                body = await self.reader.readexactly(int(headers["content-length"]))
        except (asyncio.IncompleteReadError, OSError):
            return None
        return Answer(int(status.split()[1]), headers, body)

    async def is_ended_by_the_server(self) -> bool:
        async with asyncio.timeout(ANSWER_S_MAX):
            try:
                return await self.reader.read(1) == b""
            except OSError:
                return True


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext | None) -> AsyncIterator[Connection]:
    name = "node" if context is not None else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def as_client(pki: ThrowAwayPki, name: str, expect: str = "gateway") -> ssl.SSLContext:
    return client_context(pki.identity(name), expect=frozenset({spiffe(expect)}))
