"""The health checks of compose.yaml, run as they stand against the real stores."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from compose.derive.container_places import HOME, places_in_containers
from compose.launcher.release import checkout_root
from compose.mesh import read_mesh
from tests.integration.nats_server import running_nats
from tests.integration.postgres_server import PostgresServer, running_postgres

FOLDER = checkout_root() / "compose"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        server.pki.issue("nats")
        yield server


def check(store: str, live: Path, port: int, *, wanted_name: str | None = None) -> bool:
    """Run the health check of one store with this machine's paths and port in it."""
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    kind, *command = services[store]["healthcheck"]["test"]
    declared = places_in_containers(read_mesh(FOLDER / "mesh.toml")).addresses[f"{store}.tls"].port
    changes = {f"{HOME}/certs/live": str(live), f"127.0.0.1:{declared}": f"127.0.0.1:{port}"}
    if wanted_name:
        changes[f"{store}.countermark.internal"] = wanted_name
    for old, new in changes.items():
        assert any(old in word for word in command)
        command = [word.replace(old, new) for word in command]

    assert "CMD" == kind
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    return done.returncode == 0


def test_postgres_is_healthy_while_it_proves_its_name(postgres: PostgresServer) -> None:
    live = postgres.pki.certs / "live"

    assert check("postgres", live, postgres.port)
    assert not check("postgres", live, postgres.port, wanted_name="redis.countermark.internal")


def test_nats_is_healthy_while_it_runs(postgres: PostgresServer, tmp_path: Path) -> None:
    live = postgres.pki.certs / "live"
    with running_nats(tmp_path, postgres.pki.identity("nats")) as server:
        assert check("nats", live, server.port)
        assert not check("nats", live, server.port, wanted_name="redis.countermark.internal")

    assert not check("nats", live, server.port)
