"""Connections that outlive their certificate: found by leaf and by issuer, and ended on demand."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from compose.derive.stores import DATABASE
from pki.consumers.access import Access
from pki.consumers.contract import Expectation, Unconfirmed
from pki.consumers.deployment import Listener, Report
from pki.consumers.issuers import find_issuers
from pki.consumers.postgres import PostgresConsumer
from pki.consumers.probing import probe_context
from pki.consumers.python_process import PythonConsumer
from pki.consumers.running_fleet import RunningFleet
from pki.errors import ConsumerAway
from pki.tls import client_context
from services.node.postgres import DATABASE_AWAY
from tests.integration.pki_consumers.authorities import Authority, LiveTree, key_id
from tests.integration.pki_consumers.consumers import Consumers
from tests.integration.pki_consumers.deriving import PASSWORDS
from tests.integration.pki_consumers.expecting import LISTENERS, confirmed, use_of, uses


def context_of(consumers: Consumers, name: str, server: str) -> ssl.SSLContext:
    return client_context(consumers.tree.identity(name), expect=frozenset({consumers.mesh.spiffe(server)}))


@asynccontextmanager
async def session(consumers: Consumers, role: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=consumers.port("postgres.tls"), user=role, database=DATABASE,
        ssl=context_of(consumers, role, "postgres"),
    )  # fmt: skip
    try:
        yield connection
    finally:
        connection.terminate()


async def look(fleet: RunningFleet, **retired: frozenset[str]) -> list[Unconfirmed]:
    # Asked of everybody, whatever is expected of what they use.
    expectation = Expectation({}, **retired)  # type: ignore[arg-type]  # chosen by name
    found = await asyncio.to_thread(fleet.unconfirmed, expectation)
    return [fault for fault in found if fault.name == "postgres"]


async def test_a_session_is_found_by_its_leaf_and_by_every_ca_above_it(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    serial = use_of(consumers, "payments").serial
    authority = consumers.authority
    async with session(consumers, "payments"):
        by_leaf = await look(fleet, retired_serials=frozenset({serial}))
        by_issuer = await look(fleet, retired_issuers=frozenset({authority.issuing_key_id}))
        by_root = await look(fleet, retired_issuers=frozenset({key_id(authority.root)}))
        by_others = await look(fleet, retired_serials=frozenset({"abc"}), retired_issuers=frozenset({"ab"}))

    expected = Unconfirmed(
        "postgres", "pg_stat_ssl", f"a session of payments is open with the certificate {serial}"
    )
    assert [expected] == by_leaf
    # The gateway's pool is below the same CAs.
    assert expected in by_issuer
    assert expected in by_root
    assert [] == by_others


async def test_disconnecting_a_leaf_ends_its_sessions_and_no_others(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    serial = use_of(consumers, "payments").serial
    async with session(consumers, "payments") as ended, session(consumers, "notifications") as kept:
        told = await asyncio.to_thread(_disconnect_postgres, consumers, serial)
        with pytest.raises(DATABASE_AWAY):
            await ended.fetchval("select 1")

        assert 1 == told
        assert 1 == await kept.fetchval("select 1")
        assert [] == await look(fleet, retired_serials=frozenset({serial}))


def access_of(consumers: Consumers) -> Access:
    return Access(consumers.tree.certs, consumers.mesh.trust_domain, consumers.processes_file)


def trust_of(consumers: Consumers) -> bytes:
    return access_of(consumers).trust_of("gateway")


def report_of(consumers: Consumers) -> Report:
    return Report("127.0.0.1", consumers.port("gateway.ingress"), "gateway-sidecar", "/identity")


def _postgres(consumers: Consumers) -> PostgresConsumer:
    listener = Listener("postgres.tls", "127.0.0.1", consumers.port("postgres.tls"), "postgres", "pki")
    return PostgresConsumer(access_of(consumers), "postgres", "postgres", listener, DATABASE)


def _disconnect_postgres(consumers: Consumers, serial: str) -> int:
    return _postgres(consumers).disconnect({serial}, find_issuers(consumers.tree.certs, ()))


async def test_sessions_that_we_may_not_see_are_no_proof_that_there_are_none(consumers: Consumers) -> None:
    def grant(verb: str) -> None:
        consumers.alter_postgres(f"alter role pki {verb}")

    await asyncio.to_thread(grant, "noinherit")
    try:
        with pytest.raises(ConsumerAway, match="pg_read_all_stats"):
            await asyncio.to_thread(_postgres(consumers).sessions)
    finally:
        await asyncio.to_thread(grant, "inherit")


def test_connections_at_a_process_are_found_by_leaf_and_by_issuer_and_ended(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    leaf = consumers.authority.leaf("gateway-sidecar")
    issuer = consumers.authority.issuing_key_id

    def found(serials: list[str], issuers: list[str]) -> list[Unconfirmed]:
        expected = Expectation({}, retired_serials=frozenset(serials), retired_issuers=frozenset(issuers))
        return [fault for fault in fleet.unconfirmed(expected) if fault.name == "gateway"]

    fault = Unconfirmed("gateway", "report, server", f"1 open with the certificate {leaf.serial}")
    with opened(consumers, "gateway", probe_context(trust_of(consumers), leaf)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 403")
        by_leaf, by_issuer, by_others = found([leaf.serial], []), found([], [issuer]), found(["ab"], ["cd"])
        PythonConsumer(access_of(consumers), "gateway", report_of(consumers)).disconnect(serial=leaf.serial)
        assert ended(connection)

    assert [fault] == by_leaf
    assert fault in by_issuer
    assert [] == by_others
    assert [] == found([leaf.serial], [])


def test_a_pool_that_still_has_a_connection_of_an_older_leaf_is_named(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    old = use_of(consumers, "gateway").serial
    expected = Expectation({}, retired_serials=frozenset({old}))
    places = {(fault.name, fault.place) for fault in fleet.unconfirmed(expected)}
    consumers.publish("gateway")

    # The pool's own account, and the database's.
    assert {("gateway", "report, postgres"), ("postgres", "pg_stat_ssl")} <= places
    assert [] == confirmed(fleet, expected)


def test_disconnecting_everybody_below_an_issuer_reaches_every_server(
    fleet: RunningFleet, consumers: Consumers
) -> None:
    edge, payments, gateway = (
        context_of(consumers, client, server)
        for client, server in (("edge", "gateway-sidecar"), ("payments", "nats"), ("gateway", "redis"))
    )
    with opened(consumers, "gateway-sidecar", edge), opened(consumers, "nats", payments):
        with opened(consumers, "redis", gateway) as cached:
            cached.sendall(b"AUTH gateway " + PASSWORDS["gateway"] + b"\r\n")
            assert b"+OK" == cached.recv(100).strip()
            told = fleet.disconnect(issuers=[consumers.authority.issuing_key_id])
            assert ended(cached)
        for name in ("gateway-sidecar", "nats"):
            assert consumers.running[name].wait(10) is not None
            consumers.start(name)  # What the supervisor does.

    assert [] == told
    assert [] == confirmed(fleet, Expectation(uses(consumers)))


@contextmanager
def opened(consumers: Consumers, server: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    port = consumers.port(LISTENERS[server][0])
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with plain, context.wrap_socket(plain) as connection:
        yield connection


def ended(connection: ssl.SSLSocket) -> bool:
    try:
        return connection.recv(1) == b""
    except OSError as fault:
        return not isinstance(fault, TimeoutError)


def test_nothing_is_disconnected_where_nothing_was_named(fleet: RunningFleet, consumers: Consumers) -> None:
    processes: dict[str, Any] = {name: process.pid for name, process in consumers.running.items()}

    assert [] == fleet.disconnect()
    assert processes == {name: process.pid for name, process in consumers.running.items()}


def test_a_ca_of_another_authority_has_nobody_below_it(consumers: Consumers) -> None:
    issuers = find_issuers(consumers.tree.certs, {Authority.create().issuing_key_id})

    assert frozenset() == issuers.names


def test_a_name_that_postgresql_would_cut_counts_for_every_ca_that_it_could_be(
    consumers: Consumers, tmp_path: Path
) -> None:
    tree = LiveTree(tmp_path)
    domain = f"{'a' * 50}.internal"
    retired, innocent = (Authority.create(trust_domain=domain) for _ in range(2))
    for authority in (retired, innocent):
        tree.write_authority(authority)
    issuers = find_issuers(tmp_path, {retired.issuing_key_id})

    assert {retired.issuing_key_id} == issuers.key_ids
    # 63 bytes end before the part by which intermediates differ.
    assert frozenset({f"/O={domain}/"}) == issuers.names
    assert issuers.include(name=f"/O={domain}/CN=intermediate 1"[:63])
