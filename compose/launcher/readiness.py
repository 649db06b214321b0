"""Is a process ready? Asked as its users would: over mutual TLS, with the supervisor's certificate.

Each attempt reads the generation in force: a probe lives as long as the stack, and certificates do not.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import asyncpg

from compose.derive.places import Places
from compose.derive.stores import DATABASE
from compose.mesh import Mesh
from pki.errors import PKIError
from pki.tls import client_context

PROBE_S_MAX = 1.0  # One attempt; the supervisor asks again until its own deadline.
_ANSWER_BYTES_MAX = 4096

# A generation that cannot be used at this moment is no reason to give up asking.
_NOT_READY = (OSError, ssl.SSLError, TimeoutError, PKIError)

Probe = Callable[[], Awaitable[bool]]


def _context(mesh: Mesh, places: Places, own: str, peer: str) -> ssl.SSLContext:
    return client_context(places.identity(own), expect=frozenset({mesh.spiffe(peer)}))


def completes_handshake(mesh: Mesh, places: Places, listener: str, peer: str) -> Probe:
    """A probe that a TLS handshake with the named peer completes."""
    address = places.addresses[listener]

    async def probe() -> bool:
        try:
            context = _context(mesh, places, "supervisor", peer)
            async with asyncio.timeout(PROBE_S_MAX):
                _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        except _NOT_READY:
            return False
        writer.close()
        return True

    return probe


def answers_health(mesh: Mesh, places: Places, listener: str, peer: str) -> Probe:
    """A probe that `GET /healthz` through the peer is answered with 200."""
    address = places.addresses[listener]

    async def probe() -> bool:
        try:
            context = _context(mesh, places, "supervisor", peer)
            async with asyncio.timeout(PROBE_S_MAX):
                reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
                try:
                    writer.write(b"GET /healthz HTTP/1.1\r\nhost: health\r\nconnection: close\r\n\r\n")
                    status = await reader.readline()
                    await reader.read(_ANSWER_BYTES_MAX)
                finally:
                    writer.close()
        except _NOT_READY:
            return False
        return status.split(b" ")[1:2] == [b"200"]

    return probe


def serves_postgres(mesh: Mesh, places: Places) -> Probe:
    """A probe that the migrator's certificate opens a session."""
    address = places.addresses["postgres.tls"]

    async def probe() -> bool:
        try:
            context = _context(mesh, places, "migrator", "postgres")
            connection = await asyncpg.connect(
                host=address.host, port=address.port, user="migrator", database=DATABASE,
                ssl=context, timeout=PROBE_S_MAX,
            )  # fmt: skip
        except (*_NOT_READY, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    return probe
