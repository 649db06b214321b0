"""One GET over mutual TLS with the supervisor's certificate: for health, statements and metrics."""

from __future__ import annotations

import aiohttp

from compose.derive.places import Places
from compose.mesh import Mesh
from pki.tls import client_context

ANSWER_S_MAX = 5.0  # Loopback; a process that needs longer is not well.


async def get_as_supervisor(mesh: Mesh, places: Places, listener: str, peer: str, path: str) -> bytes:
    """Return the body of a 200.

    Raises:
        aiohttp.ClientError: No connection, or another status.
    """
    address = places.addresses[listener]
    context = client_context(places.identity("supervisor"), expect=frozenset({mesh.spiffe(peer)}))
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, raise_for_status=True) as session:
        url = f"https://{address.host}:{address.port}{path}"
        async with session.get(url) as response:
            return await response.read()
