"""One listening socket whose certificate changes while it serves.

Each generation gets a context and a site of its own on a duplicate of the socket; then the site before it
stops. What was accepted stays open, and what waits in the kernel is taken by the new site. A live context is
never changed, and no server-name callback swaps it: either would keep parts of the old trust alive.
"""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

from pki.tls import server_context
from services.node.config_file import ListenConfig
from services.node.identity import IdentityInForce, LoadedGeneration

BACKLOG = 1024  # The kernel queues this many handshakes while the loop is busy with a burst.


class Listener:
    """The listener of one runner.

    Args:
        runner: Set up; it stops the site when it is cleaned up.
        listen: Address and admitted peers.
        identity: Whose generations it follows.

    Attributes:
        generation: What new connections are accepted with.
    """

    def __init__(self, runner: web.AppRunner, listen: ListenConfig, identity: IdentityInForce) -> None:
        self._runner = runner
        self._admit = frozenset(listen.admit)
        self._identity = identity
        self._socket = _bind(listen)
        self._served: tuple[web.SockSite, socket.socket] | None = None
        self._turn = asyncio.Lock()  # A generation that comes during the first start waits, and wins.
        self.generation = identity.generation

    async def start(self) -> None:
        """Listen with the generation in force, and with each one after it."""
        await self._take(self._identity.subscribe(self._take))

    async def stop(self) -> None:
        """Take nothing new, and leave open what was accepted; doing it again changes nothing."""
        self._identity.unsubscribe(self._take)
        async with self._turn:
            self._socket.close()
            served, self._served = self._served, None
            if served is not None:
                await _retire(*served)

    async def _take(self, generation: LoadedGeneration) -> None:
        async with self._turn:
            if self._socket.fileno() < 0:
                return  # It was stopped while this generation waited for its turn.
            context = server_context(generation.folder, admit=self._admit)
            duplicate = self._socket.dup()
            site = web.SockSite(self._runner, duplicate, ssl_context=context, backlog=BACKLOG)
            try:
                await site.start()
            except BaseException:
                await site.stop()
                duplicate.close()
                raise
            before, self._served = self._served, (site, duplicate)
            self.generation = generation
            if before is not None:
                await _retire(*before)


async def _retire(site: web.SockSite, listening: socket.socket) -> None:
    """Stop a site without losing what it has accepted.

    asyncio accepts in one turn of the loop and attaches the connection to its server in the next; closing the
    server in between drops the connection. uvloop does both at once, and knows no reader here.
    """
    asyncio.get_running_loop().remove_reader(listening)
    await asyncio.sleep(0)
    await site.stop()


def _bind(listen: ListenConfig) -> socket.socket:
    """Bind with both reuse options: the launcher keeps the port reserved, and workers share it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((listen.host, listen.port))
    listener.setblocking(False)
    return listener
