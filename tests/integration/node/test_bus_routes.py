"""Between the nodes of the bus: who is let in, whom a node believes, and new certificates while it runs.

A route is worth more than any client: whoever has one hears and says everything on the bus.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nats.errors
import pytest
from nats.js import JetStreamContext

from compose.derive.deployment import deployment_text
from compose.launcher.proc import started_at_ticks
from pki.consumers.contract import Credential, Expectation, Unconfirmed, Use
from pki.consumers.deployment import Deployment, parse_deployment
from pki.consumers.running_fleet import RunningFleet
from pki.identity import TRUST_DOMAIN_DEFAULT
from pki.tls import client_context, server_context
from services.node.bus import connect_bus
from tests.integration.nats_cluster import LOOPBACK, NatsCluster, running_cluster
from tests.integration.node.generations import renew, serial_of
from tests.integration.node.mtls import node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

ANSWER_S_MAX = 10.0
ROUTE_HELLO = (
    b'CONNECT {"name":"stranger","server":"stranger","cluster":"nats","tls_required":true}\r\nPING\r\n'
)
BUS = frozenset({spiffe("nats")})


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> ThrowAwayPki:
    certs = ThrowAwayPki.create(tmp_path_factory.mktemp("routes") / "certs")
    certs.issue("nats", "payments", "notifications", "pki")
    return certs


@pytest.fixture(scope="module")
def cluster(pki: ThrowAwayPki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), pki.certs) as running:
        yield running


def knock(cluster: NatsCluster, context: ssl.SSLContext) -> bytes:
    """Ask a node for a route, and return all that it says until it has answered or hung up."""
    heard = b""
    address = (LOOPBACK, cluster.port("nats-1", "routes"))
    with (
        socket.create_connection(address, timeout=ANSWER_S_MAX) as plain,
        context.wrap_socket(plain, server_hostname=f"nats.{TRUST_DOMAIN_DEFAULT}") as connection,
    ):
        try:
            connection.sendall(ROUTE_HELLO)
            while b"PONG" not in heard and b"-ERR" not in heard and (more := connection.recv(65536)):
                heard += more
        except (ssl.SSLError, ConnectionError):
            return heard + b" hung up"
    return heard


@pytest.mark.parametrize("name", ["payments", "notifications", "pki"])
def test_no_other_identity_is_let_in_as_a_node(cluster: NatsCluster, pki: ThrowAwayPki, name: str) -> None:
    own = knock(cluster, client_context(pki.identity("nats"), expect=BUS))
    other = knock(cluster, client_context(pki.identity(name), expect=BUS))

    assert b"PONG" in own
    assert b"-ERR" not in own
    assert b"-ERR 'Authorization Violation'" in other
    assert b"PONG" not in other


def test_the_same_name_below_another_authority_is_told_nothing(
    cluster: NatsCluster, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    foreign = ThrowAwayPki.create(tmp_path / "foreign")
    foreign.issue("nats")
    stranger, nobody = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
    for context in (stranger, nobody):
        context.load_verify_locations(pki.identity("nats") / "trust.pem")
    identity = foreign.identity("nats")
    stranger.load_cert_chain(identity / "cert.pem", identity / "key.pem")

    assert b" hung up" == knock(cluster, stranger)
    assert b" hung up" == knock(cluster, nobody)


def dialled_as(cluster: NatsCluster, context: ssl.SSLContext) -> str:
    """Listen where a node is expected until a node has dialled; return what it said to the certificate."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, cluster.port("nats-3", "routes")))
        listener.listen()
        listener.settimeout(ANSWER_S_MAX)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(ANSWER_S_MAX)
            try:
                with context.wrap_socket(accepted, server_side=True):
                    return "believed"
            except ssl.SSLError as fault:
                return str(fault.reason)


def test_a_node_believes_nobody_else_where_a_node_should_be(cluster: NatsCluster, pki: ThrowAwayPki) -> None:
    cluster.stop("nats-3")
    try:
        own = dialled_as(cluster, server_context(pki.identity("nats"), admit=BUS))
        other = dialled_as(cluster, server_context(pki.identity("payments"), admit=BUS))
    finally:
        cluster.start("nats-3")

    assert "believed" == own
    assert "BAD_CERTIFICATE" in other


def deployment(cluster: NatsCluster) -> Deployment:
    """What a rotation is told of the bus, with a record of the nodes that run."""
    found = parse_deployment(json.loads(deployment_text(cluster.mesh, cluster.places)))
    record = [
        {"name": name, "pid": pid, "started_at_ticks": started_at_ticks(pid)}
        for name, pid in cluster.pids().items()
    ]
    found.processes_file.write_text(json.dumps(record))
    return replace(found, consumers=tuple(c for c in found.consumers if c.name == "nats"))


async def seen(fleet: RunningFleet, pki: ThrowAwayPki) -> list[Unconfirmed]:
    """What is not as it must be, once nothing changes any more or the time is over."""
    identity = pki.identity("nats")
    files = {name: (identity / f"{name}.pem").read_bytes() for name in ("cert", "key")}
    own = Credential(files["cert"], files["key"], serial_of(identity))
    expectation = Expectation(uses={"nats": Use(own.serial, "", "")}, accepted={"nats": (own,)})
    deadline = asyncio.get_running_loop().time() + ANSWER_S_MAX
    while (faults := await asyncio.to_thread(fleet.unconfirmed, expectation)) and (  # noqa: ASYNC110
        asyncio.get_running_loop().time() < deadline
    ):
        await asyncio.sleep(0.05)
    return faults


async def _is_made(stream: JetStreamContext) -> bool:
    """Whether there is a stream with a copy on every node, which takes all of them."""
    try:
        await stream.add_stream(name="FACTS", subjects=["countermark.facts"], num_replicas=3)
    except nats.errors.Error:
        return False
    return True


async def test_a_rotation_sees_every_node_take_the_new_certificate_for_clients_and_routes(
    cluster: NatsCluster, pki: ThrowAwayPki, tmp_path: Path
) -> None:
    told = deployment(cluster)
    fleet = RunningFleet(told, pki.certs)
    before = await seen(fleet, pki)
    pids = cluster.pids()
    await renew(pki, "nats")
    unloaded = fleet.unconfirmed(Expectation(uses={"nats": Use(serial_of(pki.identity("nats")), "", "")}))
    refused = fleet.load(["nats"])
    after = await seen(fleet, pki)

    listeners = {f"listener {node}.{listener}" for node in cluster.nodes for listener in ("tls", "routes")}
    assert ([], [], []) == (before, refused, after)
    assert listeners == {fault.place for fault in unloaded}
    assert pids == cluster.pids()

    # What was dialled before lives on; a node that comes back is dialled and dials with what is new.
    cluster.stop("nats-2")
    cluster.start("nats-2")
    client = await connect_bus(node_config(pki, "payments", tmp_path), cluster.reach())
    try:
        async with asyncio.timeout(4 * ANSWER_S_MAX):
            stream = client.jetstream(timeout=2)
            while not await _is_made(stream):  # noqa: ASYNC110 - what is waited for is in other processes
                await asyncio.sleep(0.1)
            stored = await stream.publish("countermark.facts", b"fact", timeout=ANSWER_S_MAX)
    finally:
        await client.close()
    assert 1 == stored.seq
