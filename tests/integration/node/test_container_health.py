"""The health check of the containers' stores against real ones, with this machine's ports and folders."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compose.derive.container_places import places_in_containers
from compose.derive.places import Address, Places
from compose.images.healthy import require_healthy
from compose.launcher.release import checkout_root
from compose.mesh import Mesh, read_mesh
from tests.integration.nats_server import running_nats
from tests.integration.postgres_server import PostgresServer, running_postgres

MESH = read_mesh(checkout_root() / "compose" / "mesh.toml")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue("nats")
        yield server


def here(server: PostgresServer, store: str, port: int) -> Places:
    addresses = {f"{store}.tls": Address("127.0.0.1", "127.0.0.1", port)}
    return replace(places_in_containers(MESH), certs=server.pki.certs, addresses=addresses)


def named_otherwise(store: str) -> Mesh:
    """A mesh in which the store would have to prove another trust domain."""
    assert store in MESH.services
    return replace(MESH, trust_domain="elsewhere.internal")


def test_postgres_is_healthy_while_it_proves_its_identity(postgres: PostgresServer) -> None:
    places = here(postgres, "postgres", postgres.port)

    require_healthy(MESH, places, "postgres")
    with pytest.raises(ssl.SSLError):
        require_healthy(named_otherwise("postgres"), places, "postgres")


def test_nats_is_healthy_while_it_runs(postgres: PostgresServer, tmp_path: Path) -> None:
    with running_nats(tmp_path, postgres.pki.identity("nats")) as server:
        places = here(postgres, "nats", server.port)

        require_healthy(MESH, places, "nats")
        with pytest.raises(ssl.SSLError):
            require_healthy(named_otherwise("nats"), places, "nats")

    with pytest.raises(ConnectionRefusedError):
        require_healthy(MESH, places, "nats")
