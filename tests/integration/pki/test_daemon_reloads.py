"""A server that must be told to load: if somebody died between publishing and telling, the daemon tells."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from compose.launcher.proc import started_at_ticks
from pki.authority import IssuingAuthority
from pki.tls import client_context
from tests.integration.nats_server import NatsServer, Permissions, running_nats
from tests.integration.pki.conftest import DOMAIN
from tests.integration.pki.daemon_process import Place, place, policy_of_the_tests, roles
from tests.integration.pki.following_listener import serial_of

NAMES = ("nats", "payments", "pki")
USERS = {"payments": Permissions((), ())}


@pytest.fixture
def authority(tmp_path: Path, make_authority: Callable[..., IssuingAuthority]) -> IssuingAuthority:
    return make_authority(tmp_path / "certs", *NAMES)


@pytest.fixture
def nats(tmp_path: Path, authority: IssuingAuthority) -> Iterator[NatsServer]:
    home = tmp_path / "nats"
    home.mkdir()
    with running_nats(home, tmp_path / "certs/live/nats/current", USERS) as server:
        yield server


@pytest.fixture
def there(tmp_path: Path, nats: NatsServer) -> Place:
    assert nats._process is not None
    pid = nats._process.pid
    record = [{"name": "nats", "pid": pid, "started_at_ticks": started_at_ticks(pid)}]
    (tmp_path / "processes.json").write_text(json.dumps(record))
    listener = {"name": "nats.tls", "host": "127.0.0.1", "port": nats.port, "protocol": "nats"}
    consumer: dict[str, Any] = {"name": "nats", "type": "nats", "process": "nats"}
    consumer["listeners"] = [listener | {"admits": "payments"}]
    found = place(tmp_path, tmp_path / "certs", [consumer, *roles("payments", "pki")])
    policy_of_the_tests(found.policy, NAMES)
    return found


def served(nats: NatsServer, certs: Path) -> str:
    expect = frozenset({f"spiffe://{DOMAIN}/nats"})
    context = client_context(certs / "live/payments/current", expect=expect)
    with (
        socket.create_connection(("127.0.0.1", nats.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=f"nats.{DOMAIN}") as connection,
    ):
        certificate = connection.getpeercert()
    assert certificate is not None
    return f"{int(str(certificate['serialNumber']), 16):x}"


def test_what_was_published_and_never_loaded_is_loaded_by_the_next_start(
    there: Place, nats: NatsServer, authority: IssuingAuthority
) -> None:
    current = there.certs / "live/nats/current"
    before = served(nats, there.certs)
    authority.issue(["nats"], owners={}, now=datetime.now(UTC))
    published, held = serial_of(current), served(nats, there.certs)
    done = there.once()

    assert before == held != published
    assert 0 == done.returncode, done.stderr
    assert published == serial_of(current) == served(nats, there.certs)
    assert "consumers do not use what their files say; telling them" in done.stderr
    assert 1 == len(list(current.parent.glob("gen-*")))  # the key of before is gone, now that nobody uses it


def test_a_server_that_is_due_is_told_and_seen(there: Place, nats: NatsServer) -> None:
    before = served(nats, there.certs)
    (there.certs / "live/nats/current/trust.pem").write_bytes(b"")
    done = there.once()

    assert 0 == done.returncode, done.stderr
    assert before != serial_of(there.certs / "live/nats/current") == served(nats, there.certs)
