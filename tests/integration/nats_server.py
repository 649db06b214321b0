"""A real nats-server for tests: mutual TLS 1.3 from the first byte, users by certificate, durable file store.

The same configuration as in production but for the folders: `verify_and_map` finds the user whose name is the
URI of the client's certificate, and each user may do what its service needs and nothing else.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from compose.launcher.release import checkout_root
from compose.mesh import read_mesh
from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from services.node.config_file import NatsConfig

START_S_MAX = 20.0
POLL_S = 0.01


@dataclass(frozen=True)
class Permissions:
    """Subjects that one user may publish to and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


# Who may do what is what the mesh declares.
USERS: Mapping[str, Permissions] = {
    hop.caller: Permissions(hop.publish, hop.subscribe)
    for hop in read_mesh(checkout_root() / "compose" / "mesh.toml").callers_of("nats", "nats")
}


@dataclass
class NatsServer:
    """One server that can be stopped, killed, wiped and started again on the same port."""

    home: Path
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def reach(self) -> NatsConfig:
        """The configuration with which a process reaches this server."""
        expect = spiffe_id("nats", TRUST_DOMAIN_DEFAULT)
        return NatsConfig(host="127.0.0.1", port=self.port, expect=expect)

    @property
    def process_id(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until connections are taken."""
        self._process = begin_server(self.home)
        await_server(self._process, self.home)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop (or, with SIGKILL, kill) and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Lose everything that was stored; the server must be stopped."""
        assert self._process is None
        shutil.rmtree(self.home / "store")


def begin_server(home: Path) -> subprocess.Popen[bytes]:
    """Start a server with `nats.conf` in its folder, where its log goes, too."""
    for old in home.glob("*.ports"):
        old.unlink()
    program = Path(sys.executable).with_name("nats-server")
    command = [str(program), "-c", str(home / "nats.conf"), "--ports_file_dir", str(home)]
    with (home / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def await_server(process: subprocess.Popen[bytes], home: Path) -> None:
    """Wait until it takes connections: the file of ports is written once the listeners are open."""
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        if any(home.glob("*.ports")):
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"nats-server did not start: {(home / 'log').read_text()[-2000:]}")


@contextmanager
def running_nats(
    home: Path, identity: Path, users: Mapping[str, Permissions] = USERS
) -> Iterator[NatsServer]:
    """Run a server in `home` with the leaf at `identity`; stop it at the end.

    Args:
        home: An empty folder.
        identity: `live/nats/current` of the authority that the clients' certificates come from.
        users: Workload name to what it may do.
    """
    server = NatsServer(home, free_ports(1)[0])
    (home / "nats.conf").write_text(_configuration(home, server.port, identity, users))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _configuration(home: Path, port: int, identity: Path, users: Mapping[str, Permissions]) -> str:
    listed = [
        {
            "user": spiffe_id(name, TRUST_DOMAIN_DEFAULT),
            "permissions": {
                "publish": {"allow": list(permissions.publish)},
                "subscribe": {"allow": list(permissions.subscribe)},
            },
        }
        for name, permissions in users.items()
    ]
    # The server reads JSON as well as its own form.
    return json.dumps(
        {
            "server_name": "nats",
            "host": "127.0.0.1",
            "port": port,
            "jetstream": {
                "store_dir": str(home / "store"),
                "sync_interval": "always",
                "max_mem": 0,
                "max_file": 1 << 30,
            },
            "tls": {
                "cert_file": str(identity / "cert.pem"),
                "key_file": str(identity / "key.pem"),
                "ca_file": str(identity / "trust.pem"),
                "min_version": "1.3",
                "verify_and_map": True,
                "handshake_first": True,
                "timeout": 5,
            },
            "authorization": {"users": listed},
        },
        indent=1,
    )


def free_ports(count: int) -> list[int]:
    """Ports of the kernel's choice, all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for probe in held:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in held]
    finally:
        for probe in held:
            probe.close()
