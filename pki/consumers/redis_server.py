"""Redis: takes a generation by one CONFIG SET of its three file names, all of them or none.

The names do not change, `current` does: setting one to what it was makes Redis build its TLS contexts anew.
A pair that does not match is refused by the command, and the pair before it stays. Redis 7 neither checks
CRLs nor knows which certificate a connection came with, so ending some means ending all; clients of a cache
dial again. One whose leaf has expired can be told nothing, for nobody may talk to it: it is started again.
Source: Redis documentation, "TLS support", "CLIENT KILL"; tried on 7.0.
"""

from __future__ import annotations

import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pki.consumers.access import QUESTION_S_MAX, Access
from pki.consumers.processes import send_signal
from pki.errors import ConsumerAway

if TYPE_CHECKING:
    import socket

    from pki.consumers.deployment import Listener

_FILES: Final = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")


@dataclass(frozen=True, slots=True)
class RedisConsumer:
    """One Redis server.

    Attributes:
        process: its name in the supervisor's record.
        username: of the rotation's account, which may do what is done here and nothing else.
        password_file: its password.
    """

    access: Access
    name: str
    process: str
    listener: Listener
    username: str
    password_file: Path

    def load(self) -> None:
        """Make it read its files again.

        Where its present leaf does not verify any more, it is stopped instead, and its supervisor starts it
        with the current files: what it holds may be lost at any time, and a mesh that overslept must mend.

        Raises:
            ConsumerAway: it cannot be reached, or refuses the files.
        """
        try:
            with self._connect() as client:
                files = client.config_get("tls-*-file")
                client.config_set(
                    _FILES[0], files[_FILES[0]], *(x for f in _FILES[1:] for x in (f, files[f]))
                )
        except (redis.RedisError, OSError, KeyError) as fault:
            if _is_unverified(fault):
                send_signal(self.access.processes_file, self.process, signal.SIGTERM)
                return
            raise ConsumerAway(f"it did not take its files anew ({type(fault).__name__}): {fault}") from fault

    def disconnect(self) -> int:
        """End every connection but our own, and return how many.

        Raises:
            ConsumerAway: it cannot be reached.
        """
        try:
            with self._connect() as client:
                return int(client.client_kill_filter(_type="normal", skipme=True))
        except (redis.RedisError, OSError) as fault:
            raise ConsumerAway(
                f"its connections cannot be ended ({type(fault).__name__}): {fault}"
            ) from fault

    def _connect(self) -> redis.Redis:
        context = self.access.context_to(self.name)

        class RotationConnection(redis.SSLConnection):
            """redis-py would build a context of its own, with every public authority in it."""

            def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
                return context.wrap_socket(sock, server_hostname=self.host)

        pool = redis.ConnectionPool(
            connection_class=RotationConnection,
            host=self.listener.host,
            port=self.listener.port,
            username=self.username,
            password=self.password_file.read_text(encoding="utf-8").strip(),
            socket_timeout=QUESTION_S_MAX,
            socket_connect_timeout=QUESTION_S_MAX,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            max_connections=1,
        )
        return redis.Redis.from_pool(pool)


def _is_unverified(fault: BaseException | None) -> bool:
    """Whether the server's certificate was the reason; redis-py wraps it without saying so."""
    while fault is not None:
        if isinstance(fault, ssl.SSLCertVerificationError):
            return True
        fault = fault.__cause__ or fault.__context__
    return False
