"""The sessions of one client, one after the other: each has one certificate and a short life.

A new generation or age makes a new session for the calls that begin from then on; the one before it is closed
when its last call has ended. No call is ever cut for a rotation, only at the bound itself.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp

from services.node.ageing import CLOSING_BEGINS_SHARE, IDLE_ENDS_SHARE, sweep_for_ever
from services.node.client_identity import ClientIdentity
from services.node.config_file import NodeConfig
from services.node.identity import LoadedGeneration

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]

# A session lives at least for this share of the age, however long its calls may take: dialling for each
# call would be worse than cutting the rare one that is slower than the age allows.
LIFE_SHARE_MIN = 0.1


@dataclass(eq=False, slots=True)
class _Held:
    session: aiohttp.ClientSession
    generation: LoadedGeneration
    opened_at: float
    calls: int = 0


class HopSessions:
    """Lends the session of the moment.

    Args:
        config: Identity of this process, and how old a connection may become.
        name: The callee, for the report.
        expect: The SPIFFE id that the callee must prove.
        call_s_max: How long a call may last: a session ends early enough for its last one.
        make: Builds a session over a connector.
        connections_max: Of each session.
        idle_s_max: After which a session closes an idle connection by itself.
    """

    def __init__(
        self,
        config: NodeConfig,
        name: str,
        expect: str,
        *,
        call_s_max: float,
        make: Callable[[aiohttp.TCPConnector], aiohttp.ClientSession],
        connections_max: int,
        idle_s_max: float,
    ) -> None:
        age_s_max = config.connection_age_s_max
        self._life_s = max(
            age_s_max * LIFE_SHARE_MIN,
            min(age_s_max * CLOSING_BEGINS_SHARE, age_s_max * IDLE_ENDS_SHARE - call_s_max),
        )
        self._make = make
        self._connections_max = connections_max
        self._idle_s_max = idle_s_max
        self._identity = ClientIdentity(config, name, expect)
        self._retired: list[_Held] = []
        self._current = self._open()
        self._ageing = asyncio.create_task(sweep_for_ever(age_s_max, self._sweep))

    @contextmanager
    def lend(self) -> Iterator[aiohttp.ClientSession]:
        """Lend the session to begin one call with."""
        self._renew_if_due()
        held = self._current
        held.calls += 1
        try:
            yield held.session
        finally:
            held.calls -= 1

    async def close(self) -> None:
        """Close every connection."""
        self._ageing.cancel()
        self._identity.leave()
        for held in [self._current, *self._retired]:
            await held.session.close()

    def _open(self) -> _Held:
        generation = self._identity.generation
        connector = aiohttp.TCPConnector(
            ssl=self._identity.context,
            limit=self._connections_max,
            keepalive_timeout=self._idle_s_max,
            socket_factory=lambda address: self._listed_socket(address, generation),
        )
        return _Held(self._make(connector), generation, time.monotonic())

    def _listed_socket(self, address: AddressInfo, generation: LoadedGeneration) -> socket.socket:
        """A socket that the report counts from its first byte until somebody closes it."""
        family, kind, protocol, _, _ = address
        dialling = socket.socket(family, kind, protocol)
        self._identity.list_open(generation, lambda: dialling.fileno() != -1)
        return dialling

    def _renew_if_due(self) -> None:
        held = self._current
        is_old = time.monotonic() - held.opened_at >= self._life_s
        if is_old or held.generation is not self._identity.generation:
            self._retired.append(held)
            self._current = self._open()

    async def _sweep(self) -> None:
        self._renew_if_due()
        over = [
            held for held in self._retired if not held.calls or self._identity.is_at_bound(held.opened_at)
        ]
        for held in over:
            self._retired.remove(held)
            await held.session.close()
