"""Real TLS between two generations on disk, in memory: does each side accept the other?"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterable
from pathlib import Path

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context, server_context

NAMES = ("edge", "gateway")
EVERYBODY = frozenset(spiffe_id(name, TRUST_DOMAIN_DEFAULT) for name in NAMES)
ROUNDS_MAX = 10  # A TLS 1.3 handshake takes two flights; more rounds than this is a dead end.


def talk(server: Path, client: Path) -> bytes:
    """Return what the client reads of what the server says after a handshake that both sides finished."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    accepting = server_context(server, admit=EVERYBODY).wrap_bio(to_server, to_client, server_side=True)
    connecting = client_context(client, expect=EVERYBODY).wrap_bio(to_client, to_server)
    waiting = [connecting, accepting]
    for _ in range(ROUNDS_MAX):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            accepting.write(b"well")
            return connecting.read(4)
    raise AssertionError("the handshake does not end")


def generations(live: Path) -> list[Path]:
    return [live / name / "current" for name in NAMES]


def assert_all_trust_each_other(*trees: Iterable[Path]) -> None:
    """Every workload of every tree talks to every other, in both roles."""
    places = list(itertools.chain.from_iterable(trees))
    for server, client in itertools.product(places, places):
        assert talk(server, client) == b"well", (server, client)
