"""PostgreSQL: reloads on SIGHUP, and shows the certificate of every open session.

A reload with a pair that does not match keeps the pair before it, so what is served is looked at and the
signal proves nothing. The rotation's role sees sessions as a member of pg_read_all_stats and ends them as a
member of pg_signal_backend; both need a role that inherits.
Source: PostgreSQL documentation, "Secure TCP/IP Connections with SSL", "pg_stat_ssl"; tried on 15.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from pki.consumers.access import QUESTION_S_MAX, ROTATION, Access
from pki.consumers.processes import send_signal
from pki.errors import ConsumerAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from pki.consumers.deployment import Listener
    from pki.consumers.issuers import Issuers

# Without the right to see them, sessions of others are silently left out: that must not look like none.
_MAY_SEE: Final = "select pg_has_role(current_user, 'pg_read_all_stats', 'usage')"
_SESSIONS: Final = """
select pid, usename, client_serial::text, issuer_dn
  from pg_stat_ssl join pg_stat_activity using (pid)
 where pid <> pg_backend_pid() and client_serial is not null
 order by pid
"""
_END: Final = "select pg_terminate_backend(pid) from unnest($1::int[]) as pid"

# asyncpg says InternalClientError when the server hangs up between two of its messages.
_AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Session:
    """One open session.

    Attributes:
        role: the database role.
        serial: hex, of the client's leaf.
        issuer: its issuer's name in PostgreSQL's form.
    """

    pid: int
    role: str
    serial: str
    issuer: str

    def is_below(self, serials: Collection[str], issuers: Issuers) -> bool:
        """Whether it was authenticated by one of these leaves, or below one of these CAs."""
        return self.serial in serials or issuers.include(name=self.issuer)


@dataclass(frozen=True, slots=True)
class PostgresConsumer:
    """One PostgreSQL server."""

    access: Access
    name: str
    process: str
    listener: Listener
    database: str

    def load(self) -> None:
        """Make it read its files again.

        Raises:
            ConsumerAway: there is no such process of ours.
        """
        send_signal(self.access.processes_file, self.process, signal.SIGHUP)

    def sessions(self) -> list[Session]:
        """Return the sessions that are open, our own left out.

        Raises:
            ConsumerAway: it cannot be asked, or does not let us see the sessions of others.
        """
        return self._ask(_sessions)

    def disconnect(self, serials: Collection[str], issuers: Issuers) -> int:
        """End the sessions that these leaves or CAs authenticated, and return how many.

        Raises:
            ConsumerAway: see `sessions`.
        """

        async def end(connection: asyncpg.Connection) -> int:
            sessions = await _sessions(connection)
            pids = [session.pid for session in sessions if session.is_below(serials, issuers)]
            await connection.fetch(_END, pids)
            return len(pids)

        return self._ask(end)

    def _ask(self, question: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer:
        async def ask() -> Answer:
            async with asyncio.timeout(QUESTION_S_MAX):
                connection = await asyncpg.connect(
                    host=self.listener.host,
                    port=self.listener.port,
                    user=ROTATION,
                    database=self.database,
                    ssl=self.access.context_to(self.name),
                )
                try:
                    return await question(connection)
                finally:
                    connection.terminate()

        try:
            return asyncio.run(ask())
        except _AWAY as fault:
            raise ConsumerAway(f"its sessions cannot be listed ({type(fault).__name__}): {fault}") from fault


async def _sessions(connection: asyncpg.Connection) -> list[Session]:
    if not await connection.fetchval(_MAY_SEE):
        raise ConsumerAway(
            f"the role {ROTATION} may not see the sessions of others: "
            "make it an inheriting member of pg_read_all_stats"
        )
    return [
        Session(row["pid"], row["usename"], f"{int(row['client_serial']):x}", row["issuer_dn"])
        for row in await connection.fetch(_SESSIONS)
    ]
