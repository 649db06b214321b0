"""The consumers of a running deployment, as the rotation sees them: told, looked at, disconnected.

One look asks every listener and every consumer in parallel and returns what is not as expected; a consumer
that is away is a line in that list and never an exception. What can be asked once is asked once: the
connection that proves a credential accepted also shows the leaf that the listener serves.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from pki.consumers.access import Access
from pki.consumers.consumer_looks import EnvoyLook, Look, OpenConnections, PostgresLook, PythonLook
from pki.consumers.contract import Unconfirmed
from pki.consumers.envoy import EnvoyConsumer
from pki.consumers.issuers import Issuers, find_issuers
from pki.consumers.listener_look import ListenerLook
from pki.consumers.nats_server import NatsConsumer
from pki.consumers.postgres import PostgresConsumer
from pki.consumers.probing import ProbeContexts
from pki.consumers.python_process import PythonConsumer
from pki.consumers.redis_server import RedisConsumer
from pki.errors import PKIError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from pki.consumers.contract import Expectation
    from pki.consumers.deployment import Consumer, Deployment

# Looks wait for servers most of their time; 102 handshakes at 30 listeners take 0.3 s with 16 threads, 0.5 s
# with 8 and 0.65 s with 4 on two cores.
LOOKS_AT_ONCE_MAX: Final = 16
_STRANGER: Final = "it is not part of the running deployment: start the stack again, or leave it out"

Adapter = EnvoyConsumer | PostgresConsumer | RedisConsumer | NatsConsumer | PythonConsumer


class RunningFleet:
    """Implements `contract.Fleet` over one deployment."""

    def __init__(self, deployment: Deployment, certs: Path) -> None:
        """Take the deployment as it is; nothing is connected before the first call.

        Args:
            deployment: from `read_deployment`.
            certs: the certificate tree; the rotation's own leaf is `live/pki/current` in it.
        """
        self._deployment = deployment
        self._access = Access(certs, deployment.trust_domain, deployment.processes_file)
        self._consumers = {consumer.name: consumer for consumer in deployment.consumers}
        self._adapters = {c.name: _adapter(self._access, c) for c in deployment.consumers}

    @property
    def connection_age_s_max(self) -> float:
        """Seconds after which no connection of before is open any more."""
        return self._deployment.connection_age_s_max

    @property
    def probed_peers(self) -> frozenset[str]:
        """Names of peers that some listener admits: a probe needs a credential for each."""
        listeners = [listener for consumer in self._consumers.values() for listener in consumer.listeners]
        return frozenset(listener.admits for listener in listeners if listener.admits is not None)

    def load(self, names: Collection[str]) -> list[Unconfirmed]:
        """Make these consumers take their current generation; return who could not be told."""
        tasks = {name: adapter.load for name in names if (adapter := self._adapters.get(name)) is not None}
        return self._strangers(names) + self._told(tasks)

    def unconfirmed(self, expectation: Expectation) -> list[Unconfirmed]:
        """Look once at everything expected; return what is not so (yet).

        Whom listeners must accept and refuse, and what must not be open any more, is asked of everybody; what
        a workload uses is asked of those that `uses` names.
        """
        contexts = ProbeContexts()
        opened = OpenConnections(expectation.retired_serials, self._issuers(expectation.retired_issuers))
        probes: list[Look] = []
        questions: list[Look] = []
        for name, consumer in self._consumers.items():
            use = expectation.uses.get(name)
            planned = [
                ListenerLook.plan(self._access, name, listener, expectation, contexts)
                for listener in consumer.listeners
            ]
            probes += [probe for probe in planned if probe.asked]
            match self._adapters[name]:
                case EnvoyConsumer() as envoy if use is not None:
                    questions.append(EnvoyLook(name, envoy, use, self._access))
                case PythonConsumer() as process if use is not None or opened.asked:
                    questions.append(PythonLook(name, process, use, opened))
                case PostgresConsumer() as postgres if opened.asked:
                    questions.append(PostgresLook(name, postgres, opened))
        with ThreadPoolExecutor(LOOKS_AT_ONCE_MAX) as pool:
            # Questions first and to their end: the connections that probes open, some below a retired issuer,
            # must not be reported back to us as connections that are still open.
            seen = [*pool.map(_looked, questions), *pool.map(_looked, probes)]
        return self._strangers(expectation.uses) + [fault for faults in seen for fault in faults]

    def disconnect(
        self, *, serials: Collection[str] = (), issuers: Collection[str] = ()
    ) -> list[Unconfirmed]:
        """End open connections authenticated by these leaves or issuing keys (hex), now.

        PostgreSQL and Python processes end exactly these. Redis cannot tell them apart and ends all; Envoy
        and NATS are stopped, and their supervisor starts them again at once. An Envoy whose clients need no
        certificate goes on: its connections to others end at those.
        """
        if not serials and not issuers:
            return []
        below = self._issuers(issuers)
        exact: dict[str, Callable[[], object]] = {}
        whole: dict[str, Callable[[], object]] = {}
        for name, consumer in self._consumers.items():
            match self._adapters[name]:
                case PostgresConsumer() as postgres:
                    exact[name] = partial(postgres.disconnect, serials, below)
                case PythonConsumer() as process:
                    exact[name] = partial(_end_at, process, serials, below)
                case EnvoyConsumer() if all(listener.admits is None for listener in consumer.listeners):
                    continue
                case RedisConsumer() | NatsConsumer() | EnvoyConsumer() as server:
                    whole[name] = server.disconnect
        # Processes are told through their sidecars, which therefore go last.
        return self._told(exact) + self._told(whole)

    def _issuers(self, key_ids: Collection[str]) -> Issuers:
        return find_issuers(self._access.certs, key_ids) if key_ids else Issuers(frozenset(), frozenset())

    def _strangers(self, names: Collection[str]) -> list[Unconfirmed]:
        return [Unconfirmed(n, "deployment", _STRANGER) for n in sorted(set(names) - self._consumers.keys())]

    def _told(self, tasks: Mapping[str, Callable[[], object]]) -> list[Unconfirmed]:
        def tell(name: str) -> list[Unconfirmed]:
            try:
                tasks[name]()
            except PKIError as fault:
                return [Unconfirmed(name, "process", str(fault))]
            return []

        with ThreadPoolExecutor(LOOKS_AT_ONCE_MAX) as pool:
            return [fault for faults in pool.map(tell, tasks) for fault in faults]


def _adapter(access: Access, consumer: Consumer) -> Adapter | None:
    """Return what speaks to this consumer; None for a role, which nothing runs for."""
    match consumer.type:
        case "envoy":
            assert consumer.admin_socket is not None  # held by `parse_deployment`, as the others below
            return EnvoyConsumer(access, consumer.process, consumer.admin_socket)
        case "postgres":
            listener = consumer.listeners[0]
            return PostgresConsumer(access, consumer.name, consumer.process, listener, consumer.database)
        case "redis":
            assert consumer.password_file is not None
            listener = consumer.listeners[0]
            return RedisConsumer(
                access,
                consumer.name,
                consumer.process,
                listener,
                consumer.username,
                consumer.password_file,
            )
        case "nats":
            return NatsConsumer(access, consumer.processes)
        case "python":
            assert consumer.report is not None
            return PythonConsumer(access, consumer.name, consumer.report)
        case _:
            return None


def _looked(look: Look) -> list[Unconfirmed]:
    found = []
    try:
        # One by one: what was seen before a consumer went away is told, too.
        for place, reason in look.faults():
            found.append(Unconfirmed(look.name, place, reason))
    except PKIError as fault:
        found.append(Unconfirmed(look.name, look.place, str(fault)))
    return found


def _end_at(process: PythonConsumer, serials: Collection[str], issuers: Issuers) -> None:
    for serial in serials:
        process.disconnect(serial=serial)
    for key_id in sorted(issuers.key_ids):
        process.disconnect(issuer_key_id=key_id)
