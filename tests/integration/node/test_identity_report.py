"""Whoever rotates certificates asks a process what it uses, and ends what a revoked certificate opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509

from services.node.config_file import ListenConfig
from services.node.server import serve
from tests.integration.node.generations import renew, serial_of
from tests.integration.node.mtls import Connection, as_client, connected, node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki

AS_PKI = ("x-forwarded-client-cert", f"URI={spiffe('pki')}")
AS_SUPERVISOR = ("x-forwarded-client-cert", f"URI={spiffe('supervisor')}")
AS_EDGE = ("x-forwarded-client-cert", f"URI={spiffe('edge')}")


@dataclass
class Node:
    pki: ThrowAwayPki
    port: int
    folder: Path

    @asynccontextmanager
    async def running(self, *, behind_sidecar: bool = True) -> AsyncIterator[None]:
        admit = [spiffe(name) for name in ("gateway-sidecar", "pki", "banks")]
        listen = ListenConfig(host="127.0.0.1", port=self.port, admit=admit)
        config = node_config(self.pki, "gateway", self.folder)
        async with serve(web.Application(), config, listen, callers={}, behind_sidecar=behind_sidecar):
            yield

    def as_peer(self, name: str) -> Any:
        return connected(self.port, as_client(self.pki, name))


@pytest.fixture
def node(tmp_path: Path, port: int) -> Node:
    pki = ThrowAwayPki.create(tmp_path / "certs")
    pki.issue("gateway", "gateway-sidecar", "pki", "banks")
    return Node(pki, port, tmp_path)


async def report(connection: Connection, *fields: tuple[str, str]) -> dict[str, Any]:
    answer = await connection.ask("/identity", *fields)
    assert answer is not None
    assert 200 == answer.status
    document: dict[str, Any] = json.loads(answer.body)
    return document


def issuer_of(identity: Path) -> str:
    certificate = x509.load_pem_x509_certificate((identity / "cert.pem").read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert found is not None
    return found.hex()


def digest(identity: Path, name: str) -> str:
    file = identity / name
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""


async def test_the_report_names_the_certificate_the_trust_and_every_peer(node: Node) -> None:
    own, sidecar = node.pki.identity("gateway"), node.pki.identity("gateway-sidecar")
    old = serial_of(sidecar)
    async with node.running(), node.as_peer("gateway-sidecar") as first:
        await first.ask("/healthz", AS_SUPERVISOR)
        new = await renew(node.pki, "gateway-sidecar")
        async with node.as_peer("gateway-sidecar"), node.as_peer("gateway-sidecar") as third:
            seen = await report(third, AS_PKI)

    peers = {peer["serial"]: peer for peer in seen["server"].pop("peers")}
    age_s = seen["server"].pop("oldest_age_s")
    assert 0 <= age_s < 10
    assert {
        "name": "gateway",
        "generation": "gen-0001",
        "server": {
            "serial": serial_of(own),
            "trust_sha256": digest(own, "trust.pem"),
            "crl_sha256": digest(own, "crl.pem"),
            "open": 3,
        },
        "clients": [],
    } == seen
    named = {"spiffe_id": spiffe("gateway-sidecar"), "issuer_key_id": issuer_of(sidecar)}
    assert {
        old: {**named, "serial": old, "open": 1},
        new: {**named, "serial": new, "open": 2},
    } == peers


async def test_the_report_and_the_ending_are_for_pki_alone(node: Node) -> None:
    async with node.running(), node.as_peer("gateway-sidecar") as connection:
        answers = [
            await connection.ask(path, caller, method=method)
            for caller in (AS_EDGE, AS_SUPERVISOR)
            for method, path in (("GET", "/identity"), ("DELETE", "/connections?serial=1"))
        ]

    assert [403] * 4 == [answer.status for answer in answers if answer]


async def test_a_party_without_a_sidecar_tells_whoever_proves_to_be_pki(node: Node) -> None:
    async with node.running(behind_sidecar=False):
        async with node.as_peer("banks") as connection:
            claimed = await connection.ask("/identity", AS_PKI)
        async with node.as_peer("pki") as connection:
            seen = await report(connection)

    assert claimed is not None
    assert 403 == claimed.status
    assert [spiffe("pki")] == [peer["spiffe_id"] for peer in seen["server"]["peers"]]


@pytest.mark.parametrize("selector", ["serial", "issuer_key_id"])
async def test_connections_of_a_certificate_are_ended_at_once(node: Node, selector: str) -> None:
    banks = node.pki.identity("banks")
    value = {"serial": serial_of(banks), "issuer_key_id": issuer_of(banks)}[selector]
    async with (
        node.running(behind_sidecar=False),
        node.as_peer("banks") as first,
        node.as_peer("banks") as second,
        node.as_peer("pki") as asking,
    ):
        await first.ask("/identity")
        answer = await asking.ask(f"/connections?{selector}={value}", method="DELETE")

        assert answer is not None
        # All of them have the one issuer, the connection that carries the question too.
        number, ending = {"serial": (2, None), "issuer_key_id": (3, "close")}[selector]
        assert {"ended": number} == json.loads(answer.body)
        assert ending == answer.headers.get("connection")
        assert await first.is_ended_by_the_server()
        assert await second.is_ended_by_the_server()
        if ending is None:
            seen = await report(asking)
            assert [spiffe("pki")] == [peer["spiffe_id"] for peer in seen["server"]["peers"]]


@pytest.mark.parametrize(
    "query",
    ["", "?serial=", "?serial=XYZ", "?serial=1&issuer_key_id=2", "?spiffe_id=1", "?serial=" + "a" * 65],
)
async def test_what_does_not_name_one_certificate_or_issuer_ends_nothing(node: Node, query: str) -> None:
    async with node.running(behind_sidecar=False), node.as_peer("pki") as connection:
        answer = await connection.ask("/connections" + query, method="DELETE")
        assert answer is not None
        assert 400 == answer.status
        assert 1 == (await report(connection))["server"]["open"]
